"""Compares the candidates for the final model on training groups that none of them saw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.rows import group_codes, identity_names, label_codes, plain_weights
from genebatch.io.files import InputError
from genebatch.io.tables import record_batches, table_columns
from genebatch.metrics.bootstrap import bootstrap_mean, interval
from genebatch.model.combiners import log_losses
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import score_names

# Draws of groups by which candidates are told apart. It is no key of the config, so that settings
# of the evaluation never change which model is delivered.
REPLICATES = 1_000
KEPT = ("group", "label", "weight")
SCHEMA = {
    "candidate": pl.String,
    "log_loss": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "groups": pl.Int64,
    "rows": pl.Int64,
    "members": pl.Int64,
    "trees": pl.Int64,
    "chosen": pl.Boolean,
    "reason": pl.String,
}


class Candidate(NamedTuple):
    """A model that may become the final one.

    Attributes
    ----------
    name
        `ensemble`, `single`, `both` or `distilled`.
    model
        The model, ready to predict.
    held_out
        Parquet with `{scores}:{class}`: each training row, scored by models of its kind that never
        saw its group.
    scores
        Name of these columns: the name, or for the ensemble that of its combiner.
    """

    name: str
    model: EnsembleModel
    held_out: str | Path
    scores: str


def compare_candidates(candidates: Sequence[Candidate], final: str) -> pl.DataFrame:
    """Compare the candidates by held-out log loss, and choose the final model.

    They are judged on the training rows that every candidate has held-out scores of, by weights
    where the data set has them. `best` takes the candidate with the fewest trees among those that
    are not worse than the one of lowest loss by more than chance. An ensemble costs as many times
    as it has members, and must be shown to be better to be worth it.

    Parameters
    ----------
    candidates
        At least one, of the same classes.
    final
        The candidate to take, or `best`.

    Returns
    -------
    polars.DataFrame
        One line per candidate: `candidate`, `log_loss` (weighted multiclass, in nats),
        `difference` to the lowest with its 95 % interval over groups, `groups` and `rows` judged,
        `members` and `trees` of the model, `chosen`, and `reason` where there is no interval.

    Notes
    -----
    Holds 8 bytes a row and candidate.
    """
    names = [candidate.name for candidate in candidates]
    if final != "best" and final not in names:
        raise InputError(f"final: {final} is not among the models given: {', '.join(names)}")
    losses, groups, weight = _losses(candidates)
    means = {name: float(np.average(loss, weights=weight)) for name, loss in losses.items()}
    lead = min(means, key=means.get)
    n_groups = int(groups.max()) + 1
    drawn = bootstrap_mean(
        {name: loss - losses[lead] for name, loss in losses.items()},
        groups,
        weight,
        REPLICATES,
    )
    ends = {
        name: None if name == lead else interval(values, n_groups) for name, values in drawn.items()
    }
    chosen = final if final != "best" else _cheapest(candidates, lead, ends)
    lines = [
        (
            each.name,
            means[each.name],
            means[each.name] - means[lead],
            *(ends[each.name] or (None, None)),
            n_groups,
            len(groups),
            len(each.model.members),
            each.model.n_trees,
            each.name == chosen,
            _why_none(each.name, lead, ends, n_groups),
        )
        for each in candidates
    ]
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def with_left_out(compared: pl.DataFrame, left_out: Mapping[str, str]) -> pl.DataFrame:
    """The table of candidates with a line for each that was not trained; its `reason` says why."""
    lines = [{"candidate": name, "chosen": False, "reason": why} for name, why in left_out.items()]
    return pl.concat([compared, pl.DataFrame(lines, schema=SCHEMA)])


def _cheapest(
    candidates: Sequence[Candidate], lead: str, ends: Mapping[str, tuple[float, float] | None]
) -> str:
    """The candidate with the fewest trees among the leader and those not worse beyond chance."""
    level = [c for c in candidates if c.name == lead or (ends[c.name] and ends[c.name][0] <= 0)]
    return min(level, key=lambda candidate: candidate.model.n_trees).name


def _why_none(
    name: str, lead: str, ends: Mapping[str, tuple[float, float] | None], n_groups: int
) -> str | None:
    if name == lead:
        return "lowest loss"
    return None if ends[name] else f"no interval from {n_groups} groups"


def _losses(
    candidates: Sequence[Candidate],
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Log loss of the rows that all candidates have, their group codes and weights."""
    loaded = {each.name: _read(each) for each in candidates}
    common = set.intersection(*(set(rows["group"].unique()) for rows in loaded.values()))
    if not common:
        raise InputError("the candidates for the final model have no groups in common to judge by")
    # A file has all rows of a group or none, and all files follow the order of the shards.
    kept = {name: rows.filter(pl.col("group").is_in(common)) for name, rows in loaded.items()}
    first, *others = kept.values()
    if not all(rows["group"].equals(first["group"]) for rows in others):
        raise InputError(
            "the candidates for the final model were judged on different rows; delete "
            "ensemble, single and distilled in the results folder and run again"
        )
    losses = {name: rows["loss"].to_numpy() for name, rows in kept.items()}
    return losses, group_codes(first), plain_weights(first)


def _read(candidate: Candidate) -> pl.DataFrame:
    """Group, weight and log loss of the rows with held-out scores."""
    classes = list(candidate.model.classes)
    columns = score_names(candidate.scores, classes)
    identity = [name for name in identity_names(table_columns(candidate.held_out)) if name in KEPT]
    parts = []
    for batch in record_batches(candidate.held_out, [*identity, *columns]):
        frame = pl.from_arrow(batch).with_columns(pl.col("group").cast(pl.String))
        codes = label_codes(frame["label"], classes, None)
        loss = log_losses(frame.select(columns).to_numpy(), codes)
        parts.append(frame.drop("label", *columns).with_columns(pl.Series("loss", loss)))
    return pl.concat(parts)
