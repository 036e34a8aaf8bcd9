"""Adds the single model to the ensemble, as the member that was trained on every group."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.row_file import GENES
from genebatch.dataset.rows import ROW_KEYS
from genebatch.ensemble.combining import OF_ONE
from genebatch.ensemble.cross_scores import OutOfFold
from genebatch.io.files import read_parquet
from genebatch.io.tables import record_batches, table_columns
from genebatch.model.ensemble import EQUAL, EnsembleModel, merge
from genebatch.model.held_out import Scores, score_names, scored_groups

NAME = "both"


def join_single(ensemble: EnsembleModel, single: EnsembleModel) -> EnsembleModel:
    """Put the single model behind the members of the ensemble; no combiner is learned yet."""
    facts = {name: fact for name, fact in ensemble.facts.items() if name not in OF_ONE}
    if GENES in single.facts:
        facts[GENES] = single.facts[GENES]  # it was trained on the genes of every batch
    return merge([ensemble, single], EQUAL, facts)


class SingleScores(NamedTuple):
    """The held-out scores of the single model, in the order of the ensemble's.

    Attributes
    ----------
    log_odds
        (rows, classes) float32; NaN where the single model has none.
    fold
        (rows,) the part of the row in cross-fits; -1 where there is no score.
    groups
        The groups with scores, those of the ensemble's sample alone.
    """

    log_odds: np.ndarray
    fold: np.ndarray
    groups: frozenset[str]


def single_log_odds(
    single: EnsembleModel, out_of_fold: str | Path, scores: str | Path, use_weights: bool
) -> SingleScores:
    """Give the held-out log-odds of the single model for the rows of folds that were held out.

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
        Parquet: the held-out scores of the ensemble's members, whose rows these must be. Where they
        are of a sample of the groups, the others are passed over.
    use_weights
        `learner.use_weights`: whether calibrators are fitted with weights.

    Raises
    ------
    InputError
        If the out-of-fold scores are of other rows.
    """
    groups = frozenset(read_parquet(out_of_fold, columns=["group"])["group"].cast(pl.String))
    chosen = scored_groups(scores)
    own = OutOfFold(single.members[0], single.classes, out_of_fold, use_weights, groups, chosen)
    identity = [name for name in ROW_KEYS if name in table_columns(scores)]
    parts, folds = [], []
    for batch in record_batches(scores, identity):
        rows = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
        log_odds = np.full((rows.height, len(single.classes)), np.nan, np.float32)
        folds.append(own.put(log_odds, rows))
        parts.append(log_odds)
    own.check_end()
    return SingleScores(np.concatenate(parts), np.concatenate(folds), own.groups)


def beside_single(scores: Iterable[Scores], single: SingleScores) -> Iterator[Scores]:
    """Put the log-odds of the single model behind those of the ensemble's members.

    Rows without a score of the single model are left out. Cross-fits go by its folds. Distances are
    left out: the single model is near every group, so no row is routed.
    """
    start = 0
    for part in scores:
        own = slice(start, start + part.rows.height)
        start = own.stop
        known = single.fold[own] >= 0
        if not known.any():
            continue
        joined = np.concatenate([part.log_odds, single.log_odds[own, None]], axis=1)
        fold = pl.Series("fold", single.fold[own], dtype=part.rows.schema["fold"])
        yield Scores(part.rows.with_columns(fold).filter(known), joined[known], None)


def renamed(parts: Iterable[pl.DataFrame], model: EnsembleModel) -> Iterator[pl.DataFrame]:
    """Combined scores under the name of this candidate; see `combining.combined_scores`."""
    columns = score_names(model.combiner["name"], model.classes)
    names = dict(zip(columns, score_names(NAME, model.classes), strict=True))
    for part in parts:
        yield part.rename(names)
