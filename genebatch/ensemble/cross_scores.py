"""The honest table: what every batch's model says of every training row, never having seen it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import logit

from genebatch.dataset.columns import described, read_groups
from genebatch.dataset.rows import identity_columns, label_codes, row_columns, row_weights
from genebatch.ensemble.batch_models import load_batches
from genebatch.io.files import InputError, read_json
from genebatch.io.tables import parquet_rows, read_tsv, record_batches
from genebatch.model.calibration import Calibrator, fold_calibrators
from genebatch.model.ensemble import EQUAL, Member, merge
from genebatch.model.held_out import score_series
from genebatch.model.routing import distance_series, read_routing

log = logging.getLogger(__name__)

# Rows that are read ahead of each batch's out-of-fold scores: with hundreds of batches all of them
# wait at once.
AHEAD_ROWS = 2048


def cross_batch_scores(
    inputs: Mapping[str, Any],
    dataset: Mapping[str, Any],
    use_weights: bool,
    threads: int,
    output: str | Path,
    missing: Sequence[str] = (),
) -> None:
    """Score every training row by every batch's model, with boosters that never saw its group.

    A batch that holds the group of a row gives its out-of-fold score, calibrated by a fit on the
    batch's other folds; every other batch gives its finished model's. So whatever is learned from
    the table, or judged by it, sees no score of a fitted row. A row of a group that several batches
    hold stands once, and each of them gives its out-of-fold score.

    Streams the rows once. Holds one record batch, its scores, all members' boosters and
    `AHEAD_ROWS` out-of-fold rows of each batch; and, in the beginning, the out-of-fold scores of
    one batch at a time.

    Parameters
    ----------
    inputs
        Lists of paths `models` and `out_of_fold` of the batches, in the same order; paths
        `manifest`, `plan` (batches/genes.parquet) and `profile`; where batches are of similar
        groups also `similarity` and `group_features`.
    dataset
        Part of the config.
    use_weights
        `learner.use_weights`: whether calibrators are fitted with weights.
    threads
        Threads of the prediction.
    output
        Parquet: identity columns, `batch` and `fold` (of the first batch that holds the group),
        for each member and class the calibrated log-odds `{member}:{class}`, float32, and where
        batches are of similar groups the distance to each member's, `distance_{member}`. Rows in
        the order of the shards.
    missing
        Batches of the plan without a model. Their rows are scored by the others.

    Raises
    ------
    InputError
        If models, out-of-fold scores and data do not belong together.
    """
    models = load_batches(inputs["models"], read_tsv(inputs["manifest"]), threads, missing)
    paths = dict(zip(models, inputs["out_of_fold"], strict=True))
    names = sorted(models)
    everyone = merge([models[name] for name in names], EQUAL, {})
    roles, shards = described(read_json(inputs["profile"]))
    plan = pl.read_parquet(inputs["plan"]).filter(~pl.col("test"))
    places = plan.sort("batch").unique("group", keep="first", maintain_order=True)
    held = places.select("group", "batch", "fold")
    routing = read_routing(inputs, names)
    rows = 0
    with parquet_rows(output) as write:
        own = [
            _OutOfFold(member, everyone.classes, paths[member.name], use_weights)
            for member in everyone.members
        ]
        columns = row_columns(everyone.features, roles)
        for frame in read_groups(shards, places, columns, roles.group):
            identity = identity_columns(frame, roles, dataset)
            log_odds = everyone.frame_log_odds(frame)
            for number, batch in enumerate(own):
                batch.put(log_odds[:, number], identity["group"])
            part = identity.join(held, on="group", how="left", maintain_order="left")
            part = part.hstack(score_series(names, everyone.classes, log_odds))
            if routing is not None:
                part = part.hstack(distance_series(frame, routing, names))
            write(part)
            rows += part.height
        for batch in own:
            batch.check_end()
    log.info("%s rows scored by %d members", f"{rows:,}", len(own))


class _OutOfFold:
    """The out-of-fold log-odds of one batch, calibrated, in the order of the shards."""

    def __init__(self, member: Member, classes: Sequence[str], path: str | Path, use_weights: bool):
        self.path, self.groups = path, set(member.groups)
        self.margins = [f"margin_{name}" for name in classes]
        self.calibrators = _calibrators(member, classes, path, use_weights)
        self.coming = record_batches(path, ["group", "fold", *self.margins], batch_rows=AHEAD_ROWS)
        self.ready = pl.DataFrame()

    def put(self, log_odds: np.ndarray, groups: pl.Series) -> None:
        """Put the scores of the rows whose group the batch holds in their place."""
        rows = np.flatnonzero(groups.is_in(self.groups).to_numpy())
        if not len(rows):
            return
        taken = self._take(len(rows))
        if not taken["group"].equals(groups.gather(rows), check_names=False):
            raise self._wrong()
        log_odds[rows] = self._calibrated(taken)

    def check_end(self) -> None:
        """Raise if rows are left that the data set does not have."""
        if self.ready.height or next(self.coming, None) is not None:
            raise self._wrong()

    def _take(self, n_rows: int) -> pl.DataFrame:
        while self.ready.height < n_rows:
            batch = next(self.coming, None)
            if batch is None:
                raise self._wrong()
            more = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
            self.ready = pl.concat([self.ready, more]) if self.ready.height else more
        taken, self.ready = self.ready[:n_rows], self.ready[n_rows:]
        return taken

    def _calibrated(self, rows: pl.DataFrame) -> np.ndarray:
        margins, fold = rows.select(self.margins).to_numpy(), rows["fold"].to_numpy()
        found = np.empty_like(margins)
        for number in np.unique(fold).tolist():
            part = fold == number
            for column, by_fold in enumerate(self.calibrators):
                found[part, column] = logit(by_fold[number].apply(margins[part, column]))
        return found

    def _wrong(self) -> InputError:
        return InputError(
            f"{self.path} does not hold the out-of-fold scores of the batch's rows in the data "
            "set; run the batch again"
        )


def _calibrators(
    member: Member, classes: Sequence[str], path: str | Path, use_weights: bool
) -> list[dict[int, Calibrator]]:
    """By class, the calibrator of every fold: the batch's method, fitted on the other folds."""
    rows = pl.read_parquet(path)
    if set(rows["group"].cast(pl.String)) != set(member.groups):
        raise InputError(
            f"{path} does not hold the out-of-fold scores of batch {member.name}: its groups are "
            "not those that the batch was trained on; run the batch again"
        )
    codes, fold = label_codes(rows["label"], classes, None), rows["fold"].to_numpy()
    weight = row_weights(rows, use_weights)
    found = []
    for column, name in enumerate(classes):
        calibrator = member.calibrators[column]
        if calibrator.method == "identity":
            found.append(dict.fromkeys(np.unique(fold).tolist(), calibrator))
            continue
        margin = rows[f"margin_{name}"].to_numpy().astype(np.float64)
        found.append(fold_calibrators(calibrator.method, margin, codes == column, fold, weight))
    return found
