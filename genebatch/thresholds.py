"""The probability from which a row is called as a class, chosen on out-of-fold rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.files import InputError
from genebatch.gene_models import SITES
from genebatch.metrics import last_of_ties, missing_rows
from genebatch.model import EnsembleModel, Member
from genebatch.rows import label_codes, plain_weights
from genebatch.tables import open_shard, record_batches, table_columns

SCHEMA = {
    "class": pl.String,
    "weighted": pl.Boolean,
    "threshold": pl.Float64,
    "precision": pl.Float64,
    "recall": pl.Float64,
    "f1": pl.Float64,
    "called": pl.Int64,
    "rows": pl.Int64,
    "reason": pl.String,
}


class Threshold(NamedTuple):
    """A threshold and what the rows at or above it are worth; null with a reason if there is none.

    `called` counts the rows at or above it and `rows` all that were judged, whatever their weight.
    """

    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    called: int | None
    rows: int
    reason: str | None


class _Rows(NamedTuple):
    codes: np.ndarray  # (n,) int8 class
    probability: np.ndarray  # (classes, n) float32
    weight: np.ndarray | None  # (n,) float64


def choose(model: EnsembleModel, out_of_fold: Sequence[str | Path]) -> pl.DataFrame:
    """Choose the probability threshold of highest F1 of every class on out-of-fold rows.

    Every row is scored by boosters that never saw its group, put through the calibrators of its
    batch and through the model's change of prevalence, so no test group and no fitted row decides
    anything. A group that several batches share counts once, with the scores of the first member
    that holds it. Thresholds are chosen for every class, the most common one included: which class
    is the one nobody looks for is not the model's to know.

    Parameters
    ----------
    model
        The model of all batches.
    out_of_fold
        The out-of-fold scores of each member's batch, in the order of the members.

    Returns
    -------
    polars.DataFrame
        One line per class for the rows as they are and, where they have weights, one for the rows
        by their weights, that is at the prevalence of the genome: `class, weighted` and the fields
        of `Threshold`.

    Raises
    ------
    InputError
        If a file is not of its member's groups.

    Notes
    -----
    Streams over record batches. Holds the probabilities, 4 bytes x rows x classes, with 9 bytes a
    row of classes and weights; and while one class is sorted another 60 bytes a row.
    """
    rows = _read(model, out_of_fold)
    lines = []
    for column, name in enumerate(model.classes):
        y, probability = rows.codes == column, rows.probability[column]
        for weighted in [False] if rows.weight is None else [False, True]:
            found = best_f1(y, probability, rows.weight if weighted else None)
            lines.append((name, weighted, *found))
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def by_class(table: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """The thresholds of `choose` as the model file has them: class to `rows` and `weighted`."""
    found: dict[str, dict[str, float | None]] = {}
    for name, weighted, threshold in table.select("class", "weighted", "threshold").iter_rows():
        kinds = found.setdefault(name, {"rows": None, "weighted": None})
        kinds["weighted" if weighted else "rows"] = threshold
    return found


def call_thresholds(
    model: EnsembleModel, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Give the probability from which a donor and an acceptor are called.

    Raises
    ------
    InputError
        If neither the model nor the caller names one, or if it is no probability.
    """
    known = model.facts.get("thresholds") or {}
    found = {}
    for name in SITES:
        kinds = known.get(name) or {}
        options = (given.get(name),) if given else (kinds.get("weighted"), kinds.get("rows"))
        value = next((option for option in options if option is not None), None)
        if value is None:
            raise InputError(
                f"the model holds no threshold for '{name}'; give the probabilities from which "
                "donors and acceptors are called: --threshold DONOR ACCEPTOR"
            )
        if not 0 <= value <= 1:
            raise InputError(f"--threshold of {name} is {value}, wanted a probability")
        found[name] = float(value)
    return found


def best_f1(y: np.ndarray, probability: np.ndarray, weight: np.ndarray | None = None) -> Threshold:
    """Find the threshold of highest F1 by sorting the rows once.

    It lies midway between the lowest probability called and the next lower one (0 below the
    lowest of all), so it separates the same rows after rounding. Tied rows are called together. Of
    several equally good thresholds it is the highest, which calls the fewest rows.

    Parameters
    ----------
    y : (n,) bool
        Which rows are of the class.
    probability : (n,)
        Of the class.
    weight : (n,), optional
        Row weights; rows of weight 0 are left out.
    """
    if weight is not None:
        used = weight > 0
        y, probability, weight = y[used], probability[used], weight[used]
    reason = missing_rows(y, weight is not None, positive=True)
    if reason is not None:
        return Threshold(None, None, None, None, None, len(y), reason)
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    last = last_of_ties(falling)
    mass = np.ones(len(y)) if weight is None else weight[order]
    called, found = np.cumsum(mass)[last], np.cumsum(mass * y[order])[last]
    f1 = 2 * found / (called + found[-1])
    best = int(np.argmax(f1))
    end = last[best]
    below = float(falling[end + 1]) if end + 1 < len(falling) else 0.0
    threshold = (float(falling[end]) + below) / 2
    precision, recall = float(found[best] / called[best]), float(found[best] / found[-1])
    return Threshold(threshold, precision, recall, float(f1[best]), int(end) + 1, len(y), None)


def _read(model: EnsembleModel, paths: Sequence[str | Path]) -> _Rows:
    """Class, probabilities and weight of the rows of all batches, every group once."""
    size = sum(_n_rows(path) for path in paths)
    weighted = "weight" in table_columns(paths[0])
    codes = np.empty(size, np.int8)
    probability = np.empty((len(model.classes), size), np.float32)
    weight = np.empty(size) if weighted else None
    seen: set[str] = set()
    end = 0
    for member, path in zip(model.members, paths, strict=True):
        fresh = pl.Series(sorted(set(member.groups) - seen), dtype=pl.String)
        for frame in _frames(model, member, path, weighted):
            part = frame.filter(pl.col("group").is_in(fresh.implode()))
            start, end = end, end + part.height
            codes[start:end] = label_codes(part["label"], model.classes, None)
            probability[:, start:end] = _probabilities(model, member, part).T
            if weight is not None:
                weight[start:end] = plain_weights(part)
        seen |= set(member.groups)
    return _Rows(codes[:end], probability[:, :end], None if weight is None else weight[:end])


def _frames(model: EnsembleModel, member: Member, path: str | Path, weighted: bool):
    """Stream a batch's rows, and raise at their end unless they were those of the member."""
    columns = ["group", "label", *_margins(model), *(["weight"] if weighted else [])]
    met: set[str] = set()
    for batch in record_batches(path, columns):
        frame = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
        met.update(frame["group"].unique())
        yield frame
    if met != set(member.groups):
        raise InputError(
            f"{path} does not hold the out-of-fold scores of batch {member.name}: its groups are "
            "not those that the batch was trained on; run the batch again"
        )


def _probabilities(model: EnsembleModel, member: Member, frame: pl.DataFrame) -> np.ndarray:
    """What the model would say if this were its only member, (rows, classes)."""
    margins = frame.select(_margins(model)).to_numpy()
    return model.combine(member.probabilities(margins)[:, np.newaxis])


def _margins(model: EnsembleModel) -> list[str]:
    return [f"margin_{name}" for name in model.classes]


def _n_rows(path: str | Path) -> int:
    with open_shard(path) as file:
        return file.metadata.num_rows
