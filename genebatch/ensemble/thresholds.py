"""Chooses the probability from which a row is called as a class, on held-out rows."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.rows import base_scores, identity_names, label_codes, plain_weights
from genebatch.io.tables import open_shard, record_batches, table_columns
from genebatch.metrics.binary import missing_rows
from genebatch.metrics.ranking import Ranking, called, last_of_ties, rank
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import score_names

SCHEMA = {
    "system": pl.String,
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

    `called` counts the rows at or above it, `rows` all rows; weights do not count here.
    """

    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    called: int | None
    rows: int
    reason: str | None


class _Rows(NamedTuple):
    codes: np.ndarray  # (n,) uint16 class, as row files have it
    probability: dict[str, np.ndarray]  # system to (classes, n) float32
    weight: np.ndarray | None  # (n,) float64


def choose(model: EnsembleModel, held_out: str | Path, system: str) -> pl.DataFrame:
    """Choose the probability threshold of highest F1 of every class on training rows.

    For the model and, where the data set has base scores, by the same rule on the same rows for
    these as they are: what is judged beside another must not be the only one that is tuned. Every
    row has the probability by models of the final one's kind that never saw its group, and it goes
    through the model's change of prevalence, so no test group and no fitted row decides anything.
    Thresholds are chosen for every class, the most common one included: which class is the one
    nobody looks for is not the model's to know.

    Parameters
    ----------
    model
        The final model.
    held_out
        Parquet with `{system}:{class}`, held-out probabilities of training rows, and what the rows
        are.
    system
        Name of its columns.

    Returns
    -------
    polars.DataFrame
        One line per system ("model", "base") and class for the rows as they are and, where they
        have weights, one for the rows by their weights, that is at the prevalence of the genome:
        `system, class, weighted` and the fields of `Threshold`.

    Notes
    -----
    Streams over record batches. Holds the probabilities and the base scores, 4 bytes x rows x
    classes each, with 10 bytes a row of classes and weights; and while one class is sorted another
    60 bytes a row.
    """
    with open_shard(held_out) as file:
        size = file.metadata.num_rows
    return _choose(model, _rows(model, _read(model, held_out, system), size))


def with_thresholds(
    model: EnsembleModel, rows: pl.DataFrame, probability: np.ndarray
) -> EnsembleModel:
    """Give the model with the thresholds that `choose` finds, from rows in memory.

    Parameters
    ----------
    model
        Of one batch, or of all rows.
    rows
        Identity columns.
    probability
        (rows, classes), held out and cross-fitted.
    """
    table = _choose(model, _rows(model, [(rows, probability)], rows.height))
    return replace(model, facts=model.facts | threshold_facts(table))


def _choose(model: EnsembleModel, rows: _Rows) -> pl.DataFrame:
    lines = []
    for name_of_system, probability in rows.probability.items():
        for column, name in enumerate(model.classes):
            y, ranking = rows.codes == column, rank(probability[column])
            for weighted in [False] if rows.weight is None else [False, True]:
                weight = rows.weight if weighted else None
                threshold = best_f1(y, probability[column], weight, ranking)
                lines.append((name_of_system, name, weighted, *threshold))
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def threshold_facts(table: pl.DataFrame) -> dict[str, Any]:
    """Give what the model file records: `thresholds`, and `base_thresholds` if there are any."""
    facts = {"thresholds": by_class(table), "base_thresholds": by_class(table, "base")}
    return {name: found for name, found in facts.items() if found}


def by_class(table: pl.DataFrame, system: str = "model") -> dict[str, dict[str, float | None]]:
    """The thresholds that `choose` found for a system: class to `rows` and `weighted`."""
    thresholds: dict[str, dict[str, float | None]] = {}
    lines = table.filter(pl.col("system") == system).select("class", "weighted", "threshold")
    for name, weighted, threshold in lines.iter_rows():
        kinds = thresholds.setdefault(name, {"rows": None, "weighted": None})
        kinds["weighted" if weighted else "rows"] = threshold
    return thresholds


def best_f1(
    y: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray | None = None,
    ranking: Ranking | None = None,
) -> Threshold:
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
    ranking
        The rows by falling probability, if they are sorted already.
    """
    reason = missing_rows(y if weight is None else y[weight > 0], weight is not None, positive=True)
    n_rows = len(y) if weight is None else int(np.count_nonzero(weight > 0))
    if reason is not None:
        return Threshold(None, None, None, None, None, n_rows, reason)
    order, last = rank(probability) if ranking is None else ranking
    if weight is not None and n_rows < len(y):
        order = order[weight[order] > 0]
        last = last_of_ties(probability[order])
    counts = called(Ranking(order, last), y, weight)
    f1 = 2 * counts.positive / (counts.rows + counts.positive[-1])
    best = int(np.argmax(f1))
    end = last[best]
    falling = probability[order[end : end + 2]]
    below = float(falling[1]) if len(falling) > 1 else 0.0
    threshold = (float(falling[0]) + below) / 2
    precision = float(counts.positive[best] / counts.rows[best])
    recall = float(counts.positive[best] / counts.positive[-1])
    return Threshold(threshold, precision, recall, float(f1[best]), int(end) + 1, n_rows, None)


def _read(
    model: EnsembleModel, path: str | Path, system: str
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Stream identity and probabilities of the rows of a table of held-out scores."""
    columns = score_names(system, model.classes)
    identity = identity_names(table_columns(path))
    for batch in record_batches(path, [*identity, *columns]):
        frame = pl.from_arrow(batch)
        yield frame, frame.select(columns).to_numpy().astype(np.float64)


def _rows(
    model: EnsembleModel, parts: Iterable[tuple[pl.DataFrame, np.ndarray]], size: int
) -> _Rows:
    """Class, probabilities, base scores and weight of `size` rows."""
    classes = list(model.classes)
    codes = np.empty(size, np.uint16)
    weights = []
    probability: dict[str, np.ndarray] = {}
    end = 0
    for frame, scores in parts:
        start, end = end, end + frame.height
        codes[start:end] = label_codes(frame["label"], classes, None)
        weights.append(plain_weights(frame))
        given = {"model": model.at_prevalence(scores)} | base_scores(frame, classes)
        for name, values in given.items():
            kept = probability.setdefault(name, np.empty((len(classes), size), np.float32))
            kept[:, start:end] = values.T
    weighted = bool(weights) and weights[0] is not None
    return _Rows(codes, probability, np.concatenate(weights) if weighted else None)
