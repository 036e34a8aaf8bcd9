"""Scores training rows by the model of every batch, none of which has seen its group."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import logit

from genebatch.dataset.row_file import RowFile, merged
from genebatch.dataset.rows import ROW_KEYS, label_codes, row_weights
from genebatch.io.files import InputError, read_parquet
from genebatch.io.tables import record_batches, table_columns
from genebatch.model.calibration import Calibrator, fold_calibrators
from genebatch.model.ensemble import EQUAL, EnsembleModel, Member, merge
from genebatch.model.held_out import score_series
from genebatch.model.routing import distance_series

# Rows that are read ahead of each batch's out-of-fold scores: with hundreds of batches all of them
# wait at once.
AHEAD_ROWS = 2048


def cross_scores(
    models: Mapping[str, EnsembleModel],
    out_of_fold: Mapping[str, str | Path],
    files: Sequence[RowFile],
    use_weights: bool,
    routing: Mapping[str, Any] | None = None,
    groups: pl.Series | None = None,
) -> Iterator[pl.DataFrame]:
    """Score training rows by every batch's model, with boosters that never saw their group.

    A batch that holds the group of a row gives its out-of-fold score, calibrated by a fit on the
    batch's other folds. Every other batch gives its finished model's score. So whatever is learned
    from the table, or judged by it, sees no score of a fitted row. A row of a group that several
    batches hold stands once, and each of them gives its out-of-fold score.

    Streams the rows once. Holds one record batch of each row file, the scores of 8,192 rows, all
    members' boosters and `AHEAD_ROWS` out-of-fold rows of each batch; and, in the beginning, the
    out-of-fold scores of one batch at a time.

    Parameters
    ----------
    models, out_of_fold
        Batch to its finished model, and to its Parquet file of out-of-fold scores.
    files
        The row files of all batches, those without a model among them, sorted by name.
    use_weights
        `learner.use_weights`: whether calibrators are fitted with weights.
    routing
        What `routing.make_routing` gives, or None where batches are not of similar groups.
    groups
        The groups whose rows are scored, or None for all. Calibrators are fitted on all
        out-of-fold scores of their batch in any case.

    Yields
    ------
    polars.DataFrame
        Identity columns, `batch` and `fold` (of the first batch that holds the group), for each
        member and class the calibrated log-odds `{member}:{class}`, float32, and with `routing`
        the distance to each member's groups, `distance_{member}`. Rows in the order of the data
        set.

    Raises
    ------
    InputError
        If models, out-of-fold scores and rows do not belong together.
    """
    names = sorted(models)
    everyone = merge([models[name] for name in names], EQUAL, {})
    chosen = None if groups is None else frozenset(groups)
    own = [
        OutOfFold(member, everyone.classes, out_of_fold[member.name], use_weights, chosen=chosen)
        for member in everyone.members
    ]
    routed_by = [] if routing is None else routing["columns"]
    for part in merged(files, [*everyone.columns_in_, *routed_by], groups):
        log_odds = everyone.frame_log_odds(part.features)
        for number, batch in enumerate(own):
            batch.put(log_odds[:, number], part.identity)
        scored = part.identity.hstack(score_series(names, everyone.classes, log_odds))
        if routing is not None:
            scored = scored.hstack(distance_series(part.features, routing, names))
        yield scored
    for batch in own:
        batch.check_end()


class OutOfFold:
    """The out-of-fold log-odds of one batch, calibrated, in the order of the data set.

    `groups` are those with scores: all groups of the member, or some of them where only some folds
    were held out. Of these the `chosen` are given, all by default; all of them teach calibrators.
    """

    def __init__(
        self,
        member: Member,
        classes: Sequence[str],
        path: str | Path,
        use_weights: bool,
        groups: frozenset[str] | None = None,
        chosen: frozenset[str] | None = None,
    ):
        self.path = path
        known = frozenset(member.groups) if groups is None else groups
        self.groups = known if chosen is None else known & chosen
        self.group_names = pl.Series(sorted(self.groups), dtype=pl.String)
        self.margins = [f"margin_{name}" for name in classes]
        self.calibrators = held_out_calibrators(member, classes, path, use_weights, known)
        self.identity = [name for name in ROW_KEYS if name in table_columns(path)]
        self.coming = self._frames([*self.identity, "fold", *self.margins])
        self.ready = pl.DataFrame()

    def put(self, log_odds: np.ndarray, identity: pl.DataFrame) -> np.ndarray:
        """Put the scores of the rows whose group has scores in their place.

        Returns
        -------
        numpy.ndarray
            (rows,) fold of each of these rows; -1 of the others.
        """
        folds = np.full(identity.height, -1, np.int32)
        rows = np.flatnonzero(identity["group"].is_in(self.group_names.implode()).to_numpy())
        if len(rows):
            taken = self._take(len(rows))
            if not taken.select(self.identity).equals(identity[rows].select(self.identity)):
                raise self._wrong()
            log_odds[rows], folds[rows] = self._calibrated(taken), taken["fold"].to_numpy()
        return folds

    def check_end(self) -> None:
        """Raise if rows are left that the row files do not have."""
        if self.ready.height or next(self.coming, None) is not None:
            raise self._wrong()

    def _frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Stream the rows of the groups that are given; no frame is empty."""
        for batch in record_batches(self.path, columns, batch_rows=AHEAD_ROWS):
            frame = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
            kept = frame.filter(pl.col("group").is_in(self.group_names.implode()))
            if kept.height:
                yield kept

    def _take(self, n_rows: int) -> pl.DataFrame:
        while self.ready.height < n_rows:
            more = next(self.coming, None)
            if more is None:
                raise self._wrong()
            self.ready = pl.concat([self.ready, more]) if self.ready.height else more
        taken, self.ready = self.ready[:n_rows], self.ready[n_rows:]
        return taken

    def _calibrated(self, rows: pl.DataFrame) -> np.ndarray:
        margins, fold = rows.select(self.margins).to_numpy(), rows["fold"].to_numpy()
        log_odds = np.empty_like(margins)
        for number in np.unique(fold).tolist():
            part = fold == number
            for column, by_fold in enumerate(self.calibrators):
                log_odds[part, column] = logit(by_fold[number].apply(margins[part, column]))
        return log_odds

    def _wrong(self) -> InputError:
        return InputError(
            f"{self.path} does not hold the out-of-fold scores of the batch's rows in their "
            "order; delete it and run again, which repeats the batch"
        )


def held_out_calibrators(
    member: Member,
    classes: Sequence[str],
    path: str | Path,
    use_weights: bool,
    groups: frozenset[str] | None = None,
) -> list[dict[int, Calibrator]]:
    """By class, the calibrator of every fold: the batch's method, fitted on the other folds.

    `groups` are those with scores, by default all of the member; the member has to hold them.
    """
    rows = read_parquet(path)
    groups = frozenset(member.groups) if groups is None else groups
    if set(rows["group"].cast(pl.String)) != groups or not groups <= set(member.groups):
        raise InputError(
            f"{path} does not hold the out-of-fold scores of batch {member.name}: its groups are "
            "not those that the batch was trained on; delete it and run again, which repeats the "
            "batch"
        )
    codes, fold = label_codes(rows["label"], classes, None), rows["fold"].to_numpy()
    weight = row_weights(rows, use_weights)
    by_class = []
    for column, name in enumerate(classes):
        calibrator = member.calibrators[column]
        if calibrator.method == "identity":
            by_class.append(dict.fromkeys(np.unique(fold).tolist(), calibrator))
            continue
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        by_class.append(fold_calibrators(calibrator.method, margin, codes == column, fold, weight))
    return by_class
