"""Sums losses, disagreement and errors of every group over its held-out rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.rows import base_scores, label_codes, plain_weights, score_columns
from genebatch.evaluation.ambiguity import Decomposition, decompose
from genebatch.io.files import InputError, first_names
from genebatch.io.tables import BATCH_ROWS, record_batches, table_columns
from genebatch.metrics.binary import CLIP, checked_probabilities, checked_weights, own_log_loss
from genebatch.model.routing import DISTANCE

# Cells of a record batch, so that one of hundreds of members is not larger than one of few:
# 2 million are 8 MB of float32, and twice that in float64 beside them.
CELLS = 2_000_000
IDENTITY = ("group", "label", "position", "weight", "batch", "fold")
WEIGHTED = "weighted_"  # begins the name of a sum of weighted rows


class Layout(NamedTuple):
    """What the two files of held-out scores hold."""

    classes: list[str]
    members: list[str]
    weighted: bool
    has_base: bool


class GroupSums(NamedTuple):
    """Sums over the rows of each group.

    Attributes
    ----------
    table
        A line per group, sorted by name: `group`, `batch`, and the sums that `row_values` names,
        with weights those of the weighted rows as `weighted_{name}` too. `squares` is that of the
        squared ambiguity.
    layout
        What the files hold.
    base_off
        How far the base scores of a row are from a sum of 1 at most; None without base scores.
    """

    table: pl.DataFrame
    layout: Layout
    base_off: float | None


def read_layout(cross_batch: str | Path, combined: str | Path, combiner: str) -> Layout:
    """Tell classes and members from the columns of the two files.

    Raises
    ------
    InputError
        If a file is missing or not of the other's run, or if it lacks the combiner or a class of a
        member.
    """
    columns = [table_columns(existing(path)) for path in (cross_batch, combined)]
    pairs = [name.partition(":") for name in columns[1] if ":" in name]
    classes = [name for prefix, _, name in pairs if prefix == combiner]
    if not classes:
        combiners = sorted({prefix for prefix, _, name in pairs if not prefix.startswith("score_")})
        raise InputError(
            f"{combined} has no probabilities by the combiner '{combiner}' (it has those by "
            f"{', '.join(combiners)}); name one of them: --combiner"
        )
    scores = set(score_columns(classes).values())
    identity = scores.union(IDENTITY)
    other = [n for n in columns[0] if n not in identity and not n.startswith(DISTANCE)]
    members = list(dict.fromkeys(name.partition(":")[0] for name in other))
    lacking = {f"{m}:{c}" for m in members for c in classes} ^ set(other)
    if lacking or not members:
        names = first_names(sorted(lacking)) or "no member"
        raise InputError(
            f"{cross_batch}: wanted a column MEMBER:CLASS for every member and each of the classes "
            f"{', '.join(classes)} of {combined}; see {names}"
        )
    return Layout(classes, members, "weight" in columns[0], scores <= set(columns[0]))


def sum_groups(
    cross_batch: str | Path, combined: str | Path, combiner: str, batch_rows: int | None = None
) -> GroupSums:
    """Sum losses, disagreement and errors over the rows of every group.

    The rows of a group may stand anywhere.

    Parameters
    ----------
    cross_batch
        Parquet, a line per row: `group`, `label`, `batch`, `weight` and `score_{class}` where there
        are any, and the log-odds of every member and class as `{member}:{class}`.
    combined
        Parquet, the same rows in the same order, with the probabilities of every combiner and
        class as `{combiner}:{class}`.
    combiner
        Whose probabilities count.
    batch_rows
        Rows that are held at a time; as many as there is room for by default.

    Raises
    ------
    InputError
        If the files do not hold the same rows, or numbers that are no log-odds, no probabilities
        or no weights.

    Notes
    -----
    Holds a record batch of at most 8,192 rows and some 50 MB, what Arrow reads ahead of a row group
    of `cross_batch` (three times its bytes, measured), and for each group some 8 bytes x (14 + 4
    classes), twice that with weights. With 300 members, three classes and weights in 60,000 rows
    the process peaked at 460 MB with row groups of 5,000 rows and at 1,080 MB with one of 60,000.
    """
    layout = read_layout(cross_batch, combined, combiner)
    members = [f"{m}:{c}" for m in layout.members for c in layout.classes]
    scores = list(score_columns(layout.classes).values()) if layout.has_base else []
    weight = ["weight"] if layout.weighted else []
    probabilities = [f"{combiner}:{name}" for name in layout.classes]
    rows = batch_rows or int(np.clip(CELLS // len(members), 256, BATCH_ROWS))
    pairs = _same_rows(
        _frames(cross_batch, ["group", "label", "batch", *weight, *scores, *members], rows),
        _frames(combined, ["group", "label", *probabilities], rows),
        f"{cross_batch} and {combined} are not of the same rows; delete both and run again",
    )
    totals, off = _Totals(), 0.0
    for identity, combination in pairs:
        if layout.has_base:
            sums = identity.select(scores).to_numpy().sum(axis=1)
            off = max(off, float(np.abs(sums - 1).max(initial=0)))
        values = row_values(identity, combination.select(probabilities).to_numpy(), layout)
        totals.add(identity, values)
    return GroupSums(totals.table(), layout, off if layout.has_base else None)


def row_values(
    rows: pl.DataFrame, probability: np.ndarray, layout: Layout
) -> dict[str, np.ndarray]:
    """Everything that is summed over the rows of a group, (rows,) each.

    Calls are the class of highest probability, the first of the classes on a tie.

    Returns
    -------
    dict of numpy.ndarray
        `rows` and `rows_{class}` (by label); `log_loss` of the combined probabilities (nats,
        multiclass); `member_log_loss`, `ambiguity`, `ambiguity_{class}` (by label), `squares` of
        the ambiguity and `disagreement` (see `evaluation.ambiguity`; the last five not of a single
        member); `errors`, `missed_{class}` and `false_{class}`; with base scores `base_log_loss`,
        `base_errors`, `corrected` (base wrong, model right) and `made` (base right, model wrong).
        With weights each again, times the weight of the row, as `weighted_{name}`.
    """
    codes = label_codes(rows["label"], layout.classes, None)
    right, called, loss = _judged(probability, codes)
    values = {"rows": np.ones(rows.height), "log_loss": loss, "errors": ~right}
    values |= _member_values(decompose(_margins(rows, layout), codes))
    for column, name in enumerate(layout.classes):
        own = codes == column
        values[f"rows_{name}"] = own
        if "ambiguity" in values:
            values[f"ambiguity_{name}"] = own * values["ambiguity"]
        values[f"missed_{name}"] = own & ~right
        values[f"false_{name}"] = ~own & (called == column)
    for base in base_scores(rows, layout.classes).values():
        base_right, _, values["base_log_loss"] = _judged(base, codes)
        values |= {"base_errors": ~base_right}
        values |= {"corrected": ~base_right & right, "made": base_right & ~right}
    if layout.weighted:
        weight = checked_weights(plain_weights(rows), rows.height)
        values |= {f"{WEIGHTED}{name}": weight * value for name, value in values.items()}
    squared = {"": "ambiguity", WEIGHTED: f"{WEIGHTED}ambiguity"}
    sums = {f"{p}squares": values[name] ** 2 for p, name in squared.items() if name in values}
    return values | sums


def existing(path: str | Path) -> Path:
    """The path of a file of held-out scores, or an error that says what makes it."""
    if not Path(path).is_file():
        raise InputError(
            f"{path} does not exist; run the workflow again, which makes what is missing"
        )
    return Path(path)


def _member_values(parts: Decomposition) -> dict[str, np.ndarray]:
    names = {"member_log_loss": parts.member_loss}
    names |= {"ambiguity": parts.ambiguity, "disagreement": parts.disagreement}
    return {name: value for name, value in names.items() if value is not None}


def _judged(
    probability: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each row is called right, the class it is called as, and its log loss."""
    probability = checked_probabilities(probability)
    called = probability.argmax(axis=1)
    # Rounding alone keeps a row from a sum of 1; where more does, the loss is not reported.
    own = probability[np.arange(len(codes)), codes] / np.maximum(probability.sum(axis=1), CLIP)
    return called == codes, called, own_log_loss(own)


def _margins(rows: pl.DataFrame, layout: Layout) -> Iterator[np.ndarray]:
    for member in layout.members:
        margin = rows.select(f"{member}:{name}" for name in layout.classes).to_numpy()
        if np.isnan(margin).any():
            raise InputError(
                f"member {member} has no log-odds for rows of group '{rows['group'][0]}' or near; "
                "delete ensemble/cross_batch.parquet in the results folder and run again"
            )
        yield margin


def _frames(path: str | Path, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    for batch in record_batches(path, columns, batch_rows=rows):
        yield pl.from_arrow(batch).with_columns(pl.col("group", "label").cast(pl.String))


def _same_rows(
    left: Iterator[pl.DataFrame], right: Iterator[pl.DataFrame], message: str
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Cut two streams to frames of the same rows; raise `message` where they differ."""
    one, two = next(left, None), next(right, None)
    while one is not None and two is not None:
        size = min(one.height, two.height)
        pair = one[:size], two[:size]
        if not all(pair[0][name].equals(pair[1][name]) for name in ("group", "label")):
            raise InputError(message)
        yield pair
        one = one[size:] if one.height > size else next(left, None)
        two = two[size:] if two.height > size else next(right, None)
    if one is not None or two is not None:
        raise InputError(message)


class _Totals:
    """Sums by group, of groups that are met in any order."""

    def __init__(self):
        self.places: dict[str, int] = {}
        self.batches: list[str] = []
        self.names: list[str] = []
        self.sums = np.empty((0, 0))

    def add(self, rows: pl.DataFrame, values: dict[str, np.ndarray]) -> None:
        groups, first, local = np.unique(
            rows["group"].to_numpy(), return_index=True, return_inverse=True
        )
        batches = rows["batch"][first.tolist()].cast(pl.String)
        for group, batch in zip(groups.tolist(), batches, strict=True):
            if self.places.setdefault(group, len(self.places)) == len(self.batches):
                self.batches.append(batch)
        self.names = list(values)
        self._grow(len(self.names))
        places = [self.places[group] for group in groups.tolist()]
        for column, value in enumerate(values.values()):
            self.sums[places, column] += np.bincount(local, value, minlength=len(groups))

    def _grow(self, width: int) -> None:
        """Make room for twice as many groups, so that groups are seldom copied."""
        if len(self.sums) < len(self.places):
            held, self.sums = self.sums, np.zeros((2 * len(self.places), width))
            self.sums[: len(held), : held.shape[1]] = held

    def table(self) -> pl.DataFrame:
        names = {"group": list(self.places), "batch": self.batches}
        identity = pl.DataFrame(names, schema={"group": pl.String, "batch": pl.String})
        sums = pl.DataFrame(self.sums[: len(self.places)], schema=self.names, orient="row")
        return identity.hstack(sums).sort("group")
