"""Tabulates complete tracks: curves, errors corrected and made, the cost of hybrids, the counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from genebatch.calls.evaluation.counts import LOWS, Tracks
from genebatch.calls.evaluation.ranking import Ranking, rank
from genebatch.calls.evaluation.reading import CANDIDATES
from genebatch.calls.rescoring import Band
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import METRICS, ScoredClass
from genebatch.metrics.ranking import called, precision_recall_points

CURVE_STEPS = 1_000  # points of a curve that differ by less, in recall and precision, are one


def corrections(tracks: Tracks) -> pl.DataFrame:
    """Count the errors of the base scores that the model corrected, and the errors it made.

    The model calls from its own threshold of each class. The base scores call from 0.5, as their
    users do, and once more from their best threshold, if the model has it.

    Returns
    -------
    polars.DataFrame
        A line for each threshold of the base scores, per class and for "all": `class`, `base_at`
        (one of `counts.BASE_AT`), `base_threshold`, `model_threshold`, `n` (sites), `corrected`
        and `made` (all errors), `missed_corrected` and `missed_made` (sites), `false_corrected`
        and `false_made` (other positions), `base_missed` and `model_missed` (sites that a
        candidate misses), `base_false` and `model_false` (other positions that it calls).
    """
    lines = []
    for (at, limits), calls in zip(tracks.base_thresholds.items(), tracks.calls, strict=True):
        for name, cells in zip((*SITES, "all"), (*calls, calls.sum(axis=0)), strict=True):
            line = {"class": name, "base_at": at, "base_threshold": limits.get(name)}
            line["model_threshold"] = tracks.thresholds.get(name)
            lines.append(line | _errors(cells))
    return pl.DataFrame(lines, infer_schema_length=None)


def curves(rankings: Mapping[str, Ranking]) -> pl.DataFrame:
    """Give precision over recall of the model and of the base scores, at every position.

    Of neighbouring points that agree in three decimals one is given, so that the curves of millions
    of positions stay short.

    Returns
    -------
    polars.DataFrame
        Columns `class`, `scores` (base or model), `recall`, `precision` and the
        `average_precision` of the whole curve. A class without sites has no lines.
    """
    parts = [
        _curve(ranking, side).select(
            pl.lit(name).alias("class"), pl.lit(side).alias("scores"), pl.all()
        )
        for name, ranking in rankings.items()
        if ranking.y.any()
        for side in CANDIDATES
    ]
    kinds = {"class": pl.String, "scores": pl.String}
    kinds |= dict.fromkeys(("recall", "precision", "average_precision"), pl.Float64)
    return pl.concat([pl.DataFrame(schema=kinds), *parts])


def _curve(ranking: Ranking, side: str) -> pl.DataFrame:
    scored, weight = ScoredClass(ranking.y, ranking.score[side]), ranking.weight
    precision, recall = precision_recall_points(called(scored.ranking, scored.y, weight))
    places = np.round(np.stack([recall, precision]) * CURVE_STEPS)
    moved = np.append(True, (np.diff(places) != 0).any(axis=0))
    table = pl.DataFrame({"recall": recall[moved], "precision": precision[moved]})
    value = METRICS["average_precision"].of(scored, weight).value
    return table.with_columns(pl.lit(value).alias("average_precision"))


def hybrid_costs(tracks: Tracks, groups: np.ndarray, score_floor: float) -> pl.DataFrame:
    """Compute what is lost if the model re-scores only positions above some base score.

    Parameters
    ----------
    tracks
        The counts.
    groups : (genes,) int
        Place of each gene's group.
    score_floor
        The floor of the features, as in `rescoring.Band`.

    Returns
    -------
    polars.DataFrame
        A line for complete re-scoring (`low` 0) and for each of `counts.LOWS`: `low`, number of
        `rescored` positions, their `share`, `average_precision_{class}` of this hybrid, its
        `change_{class}` against complete re-scoring, and the `largest_change` by size. Null for a
        class without sites.
    """
    total = int(tracks.positions.sum())
    complete = _precisions(tracks, groups, Band(0, np.inf), score_floor)
    lines = []
    for low, count in zip((0.0, *LOWS), (total, *tracks.rescored.tolist()), strict=True):
        precisions = _precisions(tracks, groups, Band(low, np.inf), score_floor)
        changes = {
            name: value - complete[name] for name, value in precisions.items() if value is not None
        }
        line = {"low": low, "rescored": count, "share": count / total}
        line |= {f"average_precision_{name}": precisions[name] for name in SITES}
        line |= {f"change_{name}": changes.get(name) for name in SITES}
        lines.append(line | {"largest_change": max(changes.values(), key=abs, default=None)})
    counts = {"rescored": pl.Int64}
    return pl.DataFrame(lines, schema={name: counts.get(name, pl.Float64) for name in lines[0]})


def summarise(tracks: Tracks, groups: np.ndarray) -> dict[str, Any]:
    """Summarise the counts as plain JSON.

    `positions` were counted, `left_out` were not. `kept` is the number of positions kept one by
    one, `sites_below_floor` the number of sites that rank last for a candidate.
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
            candidate: int((tracks.scores[number, column, own] < tracks.floor).sum())
            for number, candidate in enumerate(CANDIDATES)
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
    """Errors by kind; the axes of calls are: is a site, called by base, called by the model."""
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
    """Average precision by class, with the model's scores inside a band and the base outside."""
    rescored = band.holds(tracks.scores[0], score_floor)
    precisions = {}
    for name in SITES:
        y, score, _, weight = rank(tracks, groups, name, rescored)
        precisions[name] = METRICS["average_precision"](y, score["model"], weight).value
    return precisions
