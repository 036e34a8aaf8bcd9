"""Reads what `rules/results.smk` says at the end of a run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from genebatch.config import places
from genebatch.io.tables import read_tsv
from genebatch.report.closing_words import closing_words
from genebatch.report.next_commands import commands


def read_closing_words(
    *,
    comparison: str | Path,
    candidates: str | Path,
    results: str | Path,
    predictions: str | Path,
    dataset: Mapping[str, Any],
    sequence: Mapping[str, Any],
    scores: Any,
    unscored: str,
    tracks: str | Path | None = None,
) -> str:
    """Read the results of a finished run, and put them into closing words.

    Parameters
    ----------
    comparison
        `comparison.tsv` of the evaluation.
    candidates
        `candidates.tsv` of the final model.
    results
        The folder of the results.
    predictions
        `predictions.parquet` of the evaluation, which names the batches that the ensemble lacks.
    dataset, sequence, scores, unscored
        What commands read that can be pasted, see `genebatch.report.next_commands`.
    tracks
        `comparison.tsv` of the evaluation on complete tracks, where there is one.
    """
    shown = str(results) if places.in_this_folder() else os.path.abspath(results)
    manual = places.home() / "docs" / "index.md"
    # Versions before `EnsembleModel.origin` recorded nothing.
    missing = pl.read_parquet_metadata(predictions).get("genebatch.missing_batches", "")
    return closing_words(
        read_tsv(comparison),
        read_tsv(candidates),
        shown,
        commands(str(results), dataset, sequence, scores, unscored),
        None if tracks is None else read_tsv(tracks),
        missing.split(",") if missing else [],
        manual=str(manual) if manual.is_file() else None,
    )
