"""Writes commands that use the results of a run, with files that are there."""

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from genebatch.config.base_models import BaseModels
from genebatch.config.places import in_this_folder, program
from genebatch.config.tracks import BOTH, Tracks


def commands(
    results: str,
    dataset: Mapping[str, Any],
    sequence: Mapping[str, Any],
    scores: Any,
    unscored: str,
) -> list[tuple[str, str]]:
    """Give what can be done next, and the command for it. They can be pasted in this order.

    Where the run was started from another folder, the first one goes to that of the run.

    Parameters
    ----------
    results
        The folder of the results.
    dataset, sequence
        The sections of the configuration.
    scores
        The base scores that the run read or made, as in `sequence.scores`.
    unscored
        How it treated genes without any score.
    """
    table = dataset["path"]
    predict = ["predict", results, table, "-o", "predictions.parquet"]
    listed = [("predict a table, this one or another", predict)]
    if sequence["fasta"] is not None:
        call = ["call", results, "--fasta", sequence["fasta"], "--genes", sequence["genes"]]
        call += ["--scores", *_scores(scores)]
        call += ["--unscored", unscored] if unscored != "error" else []
        tracks = [*_tracks(sequence["tracks"])]
        call += ["--tracks", *tracks] if tracks else []
        listed.append(("call every gene, of this genome or another", [*call, "-o", "calls"]))
    init = ["init", table, "--label", dataset["label"], "--group", dataset["group"]]
    listed.append(
        ("train on a table of your own, for which this one stands", [*init, "-o", "own.yaml"])
    )
    listed.append(("every key, with its meaning", ["config"]))
    own = [(what, shlex.join([program(), *words])) for what, words in listed]
    if in_this_folder():
        return own
    return [("go to the folder of this run", shlex.join(["cd", os.getcwd()])), *own]


def _scores(scores: Any) -> Iterator[str]:
    """Base scores as `--scores` takes them."""
    for name, source in BaseModels.build(scores).sources.items():
        if isinstance(source, str):
            yield f"{name}={source}" if name else source
            continue
        for strand, files in source.items():
            for site, file in files.items():
                yield f"{'.'.join(filter(None, (name, strand, site)))}={file}"


def _tracks(tracks: Mapping[str, Any]) -> Iterator[str]:
    """Tracks of evidence as `--tracks` takes them; those that make no features are left out."""
    for track in Tracks.build(tracks).features.all:
        for side, file in track.files.items():
            yield f"{track.name}={file}" if side == BOTH else f"{track.name}.{side}={file}"
