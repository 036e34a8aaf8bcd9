"""Complete tracks in tables: errors corrected and made, the cost of hybrids, what was counted."""

from typing import Any

import numpy as np
import polars as pl

from genebatch.calls.evaluation.counts import LOWS, Tracks
from genebatch.calls.evaluation.ranking import rank
from genebatch.calls.evaluation.reading import SYSTEMS
from genebatch.calls.rescoring import Band
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import METRICS


def corrections(tracks: Tracks) -> pl.DataFrame:
    """Errors of the base scores that the model corrected, beside those it made itself.

    The model calls from its own threshold of each class on. The base scores call from 0.5 on,
    as their users do, and once more from a threshold on that was chosen as the model's was,
    where the model has one.

    Returns
    -------
    polars.DataFrame
        For each threshold of the base scores per class and for "all": `class, base_at` (one of
        `track_counts.BASE_AT`), `base_threshold, model_threshold, n` (sites), `corrected` and
        `made` (errors of both kinds), `missed_corrected, missed_made` (sites), `false_corrected,
        false_made` (positions that are none), and what each system misses and calls falsely in
        all: `base_missed, model_missed, base_false, model_false`.
    """
    lines = []
    for (at, limits), calls in zip(tracks.base_thresholds.items(), tracks.calls, strict=True):
        for name, cells in zip((*SITES, "all"), (*calls, calls.sum(axis=0)), strict=True):
            line = {"class": name, "base_at": at, "base_threshold": limits.get(name)}
            line["model_threshold"] = tracks.thresholds.get(name)
            lines.append(line | _errors(cells))
    return pl.DataFrame(lines, infer_schema_length=None)


def hybrid_costs(tracks: Tracks, groups: np.ndarray, score_floor: float) -> pl.DataFrame:
    """What is lost where the model is asked only from some base score on.

    Parameters
    ----------
    tracks
        The counts.
    groups : (genes,) int
        Place of each gene's group.
    score_floor
        The floor of the features, as in `genebatch.calls.rescoring.Band`.

    Returns
    -------
    polars.DataFrame
        A line for complete re-scoring (`low` 0) and for each of `track_counts.LOWS`: `low`,
        `rescored` positions and their `share`, `average_precision_{class}` of the model's
        probabilities there and the base scores elsewhere, its `change_{class}` against complete
        re-scoring, and the `largest_change` by size; null for a class without sites.
    """
    total = int(tracks.positions.sum())
    complete = _precisions(tracks, groups, Band(0, np.inf), score_floor)
    lines = []
    for low, count in zip((0.0, *LOWS), (total, *tracks.rescored.tolist()), strict=True):
        found = _precisions(tracks, groups, Band(low, np.inf), score_floor)
        changes = {name: found[name] - complete[name] for name in SITES if found[name] is not None}
        line = {"low": low, "rescored": count, "share": count / total}
        line |= {f"average_precision_{name}": found[name] for name in SITES}
        line |= {f"change_{name}": changes.get(name) for name in SITES}
        lines.append(line | {"largest_change": max(changes.values(), key=abs, default=None)})
    counts = {"rescored": pl.Int64}
    return pl.DataFrame(lines, schema={name: counts.get(name, pl.Float64) for name in lines[0]})


def summarise(tracks: Tracks, groups: np.ndarray) -> dict[str, Any]:
    """What was counted, as plain JSON.

    `positions` are those judged, `left_out` those that were not; `kept` are those whose rank is
    known, and `sites_below_floor` the sites that rank last for a system.
    """
    sites, below = {}, {}
    for column, name in enumerate(SITES):
        own = tracks.code == column + 1
        sites[name] = {
            "sites": int(own.sum()),
            "genes": len(np.unique(tracks.gene[own])),
            "groups": len(np.unique(groups[tracks.gene[own]])),
        }
        below[name] = {
            system: int((tracks.scores[number, column, own] < tracks.floor).sum())
            for number, system in enumerate(SYSTEMS)
        }
    return {
        "genes": len(groups),
        "groups": len(np.unique(groups)),
        "positions": int(tracks.positions.sum()),
        "left_out": tracks.left_out,
        "classes": sites,
        "thresholds": tracks.thresholds,
        "base_thresholds": tracks.base_thresholds,
        "floor": tracks.floor,
        "kept": len(tracks.code),
        "sites_below_floor": below,
    }


def _errors(calls: np.ndarray) -> dict[str, int]:
    """Errors by kind; calls are (site or not, called by base or not, by the model or not)."""
    missed = {"missed_corrected": calls[1, 0, 1], "missed_made": calls[1, 1, 0]}
    false = {"false_corrected": calls[0, 1, 0], "false_made": calls[0, 0, 1]}
    totals = {"base_missed": calls[1, 0].sum(), "model_missed": calls[1, :, 0].sum()}
    totals |= {"base_false": calls[0, 1].sum(), "model_false": calls[0, :, 1].sum()}
    counts = {
        "n": calls[1].sum(),
        "corrected": missed["missed_corrected"] + false["false_corrected"],
        "made": missed["missed_made"] + false["false_made"],
        **missed,
        **false,
        **totals,
    }
    return {name: int(count) for name, count in counts.items()}


def _precisions(
    tracks: Tracks, groups: np.ndarray, band: Band, score_floor: float
) -> dict[str, float | None]:
    """Average precision by class of the model inside a band and the base scores outside."""
    rescored = band.holds(tracks.scores[0], score_floor)
    found = {}
    for name in SITES:
        y, score, _, weight = rank(tracks, groups, name, rescored)
        found[name] = METRICS["average_precision"](y, score["model"], weight).value
    return found
