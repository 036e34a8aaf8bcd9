"""Judges every model on training groups, by scores that never saw the group."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Evaluation
from genebatch.dataset.rows import (
    base_scores,
    group_codes,
    identity_names,
    label_codes,
    plain_weights,
)
from genebatch.io.tables import record_batches, table_columns
from genebatch.metrics.binary import binary_losses
from genebatch.metrics.bootstrap import GroupDraws, interval, positive_groups
from genebatch.metrics.multiclass import score_table
from genebatch.model.held_out import score_names

log = logging.getLogger(__name__)

KEYS = ("system", "class", "metric", "weighted")


class _Known(NamedTuple):
    """What is known of the rows of a table of held-out scores, without the scores."""

    codes: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray
    base: np.ndarray | None

    @property
    def counted(self) -> list[bool]:
        return [False] if self.weight is None else [False, True]


def estimate(
    scores: Mapping[str, str | Path], classes: list[str], evaluation: Evaluation
) -> pl.DataFrame:
    """Judge combiners and other models on training rows, from none of which they learned.

    The test groups are few; these are all others, or the sample that was scored. Weights of
    combiners are cross-fitted, and so are calibrators. One small leak is left. What a member says
    of a group that another batch holds was learned from groups that the combiner's weights are
    judged on. That concerns a handful of numbers, and the test groups remain the last word.

    Holds identity and the probabilities of one model and of the base scores.

    Parameters
    ----------
    scores
        Model to the Parquet file with its held-out scores `{model}:{class}`.
    classes
        Labels.
    evaluation
        Settings.

    Returns
    -------
    polars.DataFrame
        `system, class, metric, weighted, value, reason`, and for log loss and Brier score
        `over_base`, the difference to the base scores, with its 95 % interval over groups. The
        lines of a model are on the groups that it has scores of, and so is its `over_base`: those
        that all members scored, those of the folds held out of a single model, those whose batches
        a student was without.
    """
    tables = list(_tables(scores, classes, evaluation))
    log.info("%d models judged on training groups", len(scores))
    return pl.concat(tables, how="diagonal")


def _tables(
    systems: Mapping[str, str | Path], classes: list[str], evaluation: Evaluation
) -> Iterator[pl.DataFrame]:
    read, rows, base = None, None, None
    for system, path in systems.items():
        if path != read:
            read, rows = path, _read_rows(path, classes)
            if rows.base is not None:
                if path == next(iter(systems.values())):
                    yield _scored(rows, rows.base, classes, "base")
                base = _Losses(rows, rows.base, classes, evaluation)
        probability = _read_scores(path, system, classes)
        table = _scored(rows, probability, classes, system)
        if rows.base is not None:
            gains = base.gains(rows, probability, system)
            table = table.join(gains, on=list(KEYS), how="left", maintain_order="left")
        yield table


def _scored(rows: _Known, probability: np.ndarray, classes: list[str], system: str) -> pl.DataFrame:
    return score_table(rows.codes, probability, classes, rows.weight, rows.groups, system)


def _read_rows(path: str | Path, classes: list[str]) -> _Known:
    columns = identity_names(table_columns(path))
    parts = [pl.from_arrow(batch) for batch in record_batches(path, columns)]
    rows = pl.concat(parts)
    codes = label_codes(rows["label"], classes, None)
    base = base_scores(rows, classes).get("base")
    return _Known(codes, plain_weights(rows), group_codes(rows), base)


def _read_scores(path: str | Path, system: str, classes: list[str]) -> np.ndarray:
    columns = score_names(system, classes)
    parts = [pl.from_arrow(batch).to_numpy() for batch in record_batches(path, columns)]
    return np.concatenate(parts).astype(np.float64)


class _Losses:
    """Sums of the losses of the base scores by group, with the resamples of the groups."""

    def __init__(self, rows: _Known, base: np.ndarray, classes: list[str], evaluation: Evaluation):
        self.classes = classes
        self.draws = GroupDraws(rows.groups, evaluation.n_replicates, evaluation.seed)
        weights = {weighted: rows.weight if weighted else None for weighted in rows.counted}
        ones = np.ones(len(rows.codes))
        self.mass = {
            weighted: self.draws.sums(ones if weight is None else weight)
            for weighted, weight in weights.items()
        }
        self.n_groups = {
            (name, weighted): positive_groups(rows.codes == column, rows.groups, weight)
            for column, name in enumerate(classes)
            for weighted, weight in weights.items()
        }
        self.base = self._sums(rows, base)

    def gains(self, rows: _Known, probability: np.ndarray, system: str) -> pl.DataFrame:
        """Difference to the base scores in log loss and Brier score, with intervals."""
        lines = []
        for key, sums in self._sums(rows, probability).items():
            name, _, weighted = key
            gained, mass = sums - self.base[key], self.mass[weighted]
            drawn = self.draws.ratios(gained, mass)
            ends = interval(drawn, self.n_groups[name, weighted]) or (None, None)
            lines.append((system, *key, float(gained.sum() / mass.sum()), *ends))
        ends = ["over_base", "over_base_low", "over_base_high"]
        kinds = dict.fromkeys(ends, pl.Float64)
        return pl.DataFrame(lines, schema=[*KEYS, *ends], schema_overrides=kinds, orient="row")

    def _sums(
        self, rows: _Known, probability: np.ndarray
    ) -> dict[tuple[str, str, bool], np.ndarray]:
        """Sums of losses by group, for each class, metric and way of counting."""
        sums = {}
        for column, name in enumerate(self.classes):
            losses = binary_losses(rows.codes == column, probability[:, column])
            for weighted in rows.counted:
                for metric, loss in losses.items():
                    mass = rows.weight * loss if weighted else loss
                    sums[name, metric, weighted] = self.draws.sums(mass)
        return sums
