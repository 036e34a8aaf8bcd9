"""Finds the tracks of evidence that a model needs among those that are given."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genebatch.calls.told_columns import asked_for, check_made
from genebatch.config.tracks import KEY, Tracks
from genebatch.features.evidence import track_columns
from genebatch.io.files import InputError

TRACK_KEY = f"{KEY} or --tracks {{name}}=FILE"


def tracks_for(
    sequence: Mapping[str, Any],
    columns: Collection[str],
    given: Tracks,
    model_file: str | Path,
    key: str = TRACK_KEY,
) -> Tracks:
    """The given tracks that a model needs, and those that are only carried into the calls.

    A track is needed if a tree splits on one of its columns, whatever role it is given.

    Parameters
    ----------
    sequence
        How the features of the model are made, from its file.
    columns
        The columns that the model asks for.
    given
        The tracks of the genome.
    model_file
        For messages.
    key
        How a message names a track.

    Raises
    ------
    InputError
        If a needed track is not given, is of another kind, or if this version makes other columns
        of it. The message names the key to set.
    """
    by_name = {track.name: track for track in given.all}
    tracks = sequence.get("tracks", {})
    needed = asked_for({name: told["columns"] for name, told in tracks.items()}, columns)
    for name in needed:
        kind, where = tracks[name]["kind"], key.format(name=name)
        if name not in by_name:
            raise InputError(
                f"{model_file} was trained with the track {name!r} ({kind}), which is not given; "
                f"set {where} to that of this genome"
            )
        if by_name[name].kind != kind:
            raise InputError(
                f"the track {name!r} is of kind {by_name[name].kind}, but {model_file} was trained "
                f"with kind {kind}; set {where}"
            )
        made = track_columns(name, kind)
        check_made(tracks[name]["columns"], made, f"the track {name!r}", model_file)
    kept = [replace(t, role="feature") if t.name in needed else t for t in given.all]
    return Tracks(tuple(track for track in kept if track.name in needed or track.role == "ignore"))
