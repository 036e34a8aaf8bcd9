"""Adds the single model to the ensemble, as the member that was trained on every group."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from genebatch.dataset.row_file import GENES
from genebatch.ensemble.combining import OF_ONE
from genebatch.ensemble.cross_scores import IDENTITY, OutOfFold
from genebatch.io.tables import record_batches, table_columns
from genebatch.model.ensemble import EQUAL, EnsembleModel, merge
from genebatch.model.held_out import Scores, score_names

NAME = "both"


def join_single(ensemble: EnsembleModel, single: EnsembleModel) -> EnsembleModel:
    """Put the single model behind the members of the ensemble; no combiner is learned yet."""
    facts = {name: fact for name, fact in ensemble.facts.items() if name not in OF_ONE}
    if GENES in single.facts:
        facts[GENES] = single.facts[GENES]  # it was trained on the genes of every batch
    return merge([ensemble, single], EQUAL, facts)


def single_log_odds(
    single: EnsembleModel, out_of_fold: str | Path, scores: str | Path, use_weights: bool
) -> np.ndarray:
    """Give the held-out log-odds of the single model for every training row.

    The single model holds every group, as a batch holds its own. So each row has its out-of-fold
    score, calibrated by a fit on the other folds. The finished model scores no row here.

    Holds the out-of-fold scores of all rows in the beginning; then 4 bytes x rows x classes.

    Parameters
    ----------
    single
        The single model.
    out_of_fold
        Parquet: its out-of-fold log-odds.
    scores
        Parquet: the held-out scores of the ensemble's members, whose rows these must be.
    use_weights
        `learner.use_weights`: whether calibrators are fitted with weights.

    Returns
    -------
    numpy.ndarray
        (rows, classes) float32, in the order of `scores`.

    Raises
    ------
    InputError
        If the out-of-fold scores are of other rows.
    """
    own = OutOfFold(single.members[0], single.classes, out_of_fold, use_weights)
    identity = [name for name in IDENTITY if name in table_columns(scores)]
    parts = []
    for batch in record_batches(scores, identity):
        rows = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
        parts.append(own.next_rows(rows))
    own.check_end()
    return np.concatenate(parts)


def beside_single(scores: Iterable[Scores], log_odds: np.ndarray) -> Iterator[Scores]:
    """Put the log-odds of the single model behind those of the ensemble's members.

    Distances are left out: the single model is near every group, so no row is routed.
    """
    start = 0
    for part in scores:
        end = start + part.rows.height
        joined = np.concatenate([part.log_odds, log_odds[start:end, None]], axis=1)
        yield Scores(part.rows, joined, None)
        start = end


def renamed(parts: Iterable[pl.DataFrame], model: EnsembleModel) -> Iterator[pl.DataFrame]:
    """Combined scores under the name of this candidate; see `combining.combined_scores`."""
    columns = score_names(model.combiner["name"], model.classes)
    names = dict(zip(columns, score_names(NAME, model.classes), strict=True))
    for part in parts:
        yield part.rename(names)
