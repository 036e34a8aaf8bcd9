"""Reads what `rules/results.smk` says at the end of a run."""

from pathlib import Path

import polars as pl

from genebatch.io.tables import read_tsv
from genebatch.report.closing_words import closing_words


def read_closing_words(
    *,
    comparison: str | Path,
    candidates: str | Path,
    results: str | Path,
    predictions: str | Path,
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
    tracks
        `comparison.tsv` of the evaluation on complete tracks, where there is one.
    """
    # Versions before `EnsembleModel.origin` recorded nothing.
    missing = pl.read_parquet_metadata(predictions).get("genebatch.missing_batches", "")
    return closing_words(
        read_tsv(comparison),
        read_tsv(candidates),
        str(results),
        None if tracks is None else read_tsv(tracks),
        missing.split(",") if missing else [],
    )
