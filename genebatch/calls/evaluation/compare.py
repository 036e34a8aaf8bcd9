"""Compares the finished model with the base scores at every position of the test genes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.evaluation.counts import LOSSES, TrackCounter, Tracks
from genebatch.calls.evaluation.ranking import PrecisionAtRecall, Ranking, rank, top_k_by_gene
from genebatch.calls.evaluation.reading import CANDIDATES, read_tracks
from genebatch.calls.evaluation.tiers import tier_codes
from genebatch.config.settings import Evaluation
from genebatch.features.gene_rows import label_sites
from genebatch.genome.genes import SITES, Gene, sites_on_strand, unlabelled
from genebatch.metrics.binary import METRICS, THRESHOLD
from genebatch.metrics.bootstrap import (
    bootstrap_average_precision,
    bootstrap_mean,
    group_draws,
    interval,
    positive_groups,
    why_no_interval,
)

# The average precision of some positions only, and their `rank(near_end=...)`.
PARTS = {"average_precision_near_ends": True, "average_precision_inside": False}


class Outcome(NamedTuple):
    """A metric by candidate, also on resampled groups, or the reason why it is null.

    Both candidates are resampled on the same groups.
    """

    value: dict[str, float | None]
    resampled: dict[str, np.ndarray]
    reason: str | None = None


def group_places(group_of: Mapping[str, str], genes: Sequence[Gene]) -> np.ndarray:
    """Place of each gene's group among the sorted names of their groups, (genes,) int64."""
    return np.unique([group_of[gene.id] for gene in genes], return_inverse=True)[1]


def count_tracks(
    path: str | Path,
    annotated: Sequence[Gene],
    genes: Sequence[Gene],
    thresholds: Mapping[str, float],
    score_floor: float,
    base_thresholds: Mapping[str, float] | None = None,
) -> Tracks:
    """Count the complete tracks of some genes beside their annotated splice sites.

    Streams over the genes. Holds the longest gene (22 bytes per position), the sites, and the
    positions above the floor, at most `counts.MOST_KEPT`.

    Parameters
    ----------
    path
        Positions file, see `reading.read_tracks`.
    annotated
        All genes of the gene models; the sites of one are foreign to the others.
    genes
        The genes whose tracks are in the file.
    thresholds, score_floor, base_thresholds
        See `counts.TrackCounter`.
    """
    on_strand = sites_on_strand(annotated)
    counter = TrackCounter(len(genes), thresholds, score_floor, base_thresholds)
    for place, scores in read_tracks(path, genes):
        gene = genes[place]
        labels = label_sites(gene, unlabelled(gene, on_strand[gene.id]))
        counter.add(place, labels, tier_codes(gene, labels, on_strand[gene.id]), scores)
    return counter.finish()


def compare(
    tracks: Tracks,
    rankings: Mapping[str, Ranking],
    groups: np.ndarray,
    evaluation: Evaluation,
) -> pl.DataFrame:
    """Compute every metric of the model and of the base scores.

    Parameters
    ----------
    tracks
        The counts.
    rankings
        Class to its ranking.
    groups : (genes,) int
        Place of each gene's group.
    evaluation
        `n_replicates` and `seed` of the bootstrap.

    Returns
    -------
    polars.DataFrame
        Columns:

        - `class`, `metric`, `base`, `model`, `difference`;
        - `groups`: number of groups with sites of the class;
        - `{name}_low`, `{name}_high`: 95 % bootstrap intervals over groups of the three values;
        - `reason`: why a value or an interval is null.

        Metrics:

        - `average_precision` of all positions, `average_precision_near_ends` of those within
          `counts.NEAR_END` nt of an end of their gene, `average_precision_inside` of the others;
        - `top_k`: share of a gene's k sites among its k best positions, as the mean over genes
          with sites;
        - `precision_at_base_recall`, see `PrecisionAtRecall`;
        - `log_loss` and `brier`: means over positions, one class against the rest.
    """
    draws = {"n_replicates": evaluation.n_replicates, "seed": evaluation.seed}
    lines = []
    for name, ranking in rankings.items():
        n_groups = positive_groups(ranking.y, ranking.group)
        parts = {key: rank(tracks, groups, name, near_end=near) for key, near in PARTS.items()}
        for metric, part in {"average_precision": ranking, **parts}.items():
            lines.append(_line(name, metric, *_average_precision(name, part, draws)))
        outcomes = dict.fromkeys(("top_k", "precision_at_base_recall"), _none(f"no {name} sites"))
        if n_groups:
            outcomes = {
                "top_k": _top_k(tracks, name, groups, draws),
                "precision_at_base_recall": _precision(ranking, draws),
            }
        for metric in LOSSES:
            outcomes[metric] = _loss(tracks, metric, name, groups, draws)
        lines += [_line(name, metric, outcome, n_groups) for metric, outcome in outcomes.items()]
    return pl.DataFrame(lines, schema_overrides=_numbers(), infer_schema_length=None)


def _average_precision(
    name: str, ranking: Ranking, draws: Mapping[str, int]
) -> tuple[Outcome, int]:
    """Average precision of the ranked positions, and number of groups with sites among them."""
    metric, (y, score, group, weight) = METRICS["average_precision"], ranking
    n_groups = positive_groups(y, group)
    if not n_groups:
        return _none(f"no {name} sites there"), 0
    value = {candidate: metric(y, score[candidate], weight).value for candidate in score}
    drawn = bootstrap_average_precision(y, score, group, weight, **draws)
    return Outcome(value, drawn), n_groups


def _top_k(tracks: Tracks, name: str, groups: np.ndarray, draws: Mapping[str, int]) -> Outcome:
    """Mean over genes with sites; other genes have weight 0, so that all groups are drawn."""
    hits = top_k_by_gene(tracks, name)
    own = tracks.gene[tracks.code == SITES.index(name) + 1]
    weight = (np.bincount(own, minlength=len(groups)) > 0).astype(float)
    value = {
        candidate: float(np.average(shares, weights=weight)) for candidate, shares in hits.items()
    }
    return Outcome(value, bootstrap_mean(hits, groups, weight, **draws))


def _precision(ranking: Ranking, draws: Mapping[str, int]) -> Outcome:
    precision, n_groups = PrecisionAtRecall(ranking), int(ranking.group.max()) + 1
    value = precision(np.ones(n_groups))
    if np.isnan(value["base"]):
        return _none(f"no site has a base score of {THRESHOLD} or more")
    drawn = [precision(times) for times in group_draws(n_groups, **draws)]
    return Outcome(
        value, {candidate: np.array([p[candidate] for p in drawn]) for candidate in value}
    )


def _loss(
    tracks: Tracks, metric: str, name: str, groups: np.ndarray, draws: Mapping[str, int]
) -> Outcome:
    sums = tracks.losses[:, LOSSES.index(metric), :, SITES.index(name)]
    size = np.bincount(groups, tracks.positions)
    value, means = {}, {}
    for number, candidate in enumerate(CANDIDATES):
        by_group = np.bincount(groups, sums[:, number])
        value[candidate] = float(by_group.sum() / size.sum())
        means[candidate] = by_group / size
    return Outcome(value, bootstrap_mean(means, np.arange(len(size)), size, **draws))


def _none(reason: str) -> Outcome:
    return Outcome(dict.fromkeys(CANDIDATES), {}, reason)


def _line(name: str, metric: str, outcome: Outcome, n_groups: int) -> dict[str, Any]:
    value, resampled, reason = outcome
    if reason is None:
        value = value | {"difference": value["model"] - value["base"]}
        resampled = resampled | {"difference": resampled["model"] - resampled["base"]}
    line = {"class": name, "metric": metric, **dict.fromkeys(_sides()), **value, "groups": n_groups}
    for side in _sides():
        ends = interval(resampled[side], n_groups) if side in resampled else None
        line[f"{side}_low"], line[f"{side}_high"] = ends or (None, None)
    if reason is None and line["difference_low"] is None:
        reason = f"no interval: {why_no_interval(name, n_groups)}"
    return line | {"reason": reason}


def _sides() -> tuple[str, ...]:
    return (*CANDIDATES, "difference")


def _numbers() -> dict[str, pl.DataType]:
    kinds = {side: pl.Float64 for side in _sides()}
    kinds |= {f"{side}_{end}": pl.Float64 for side in _sides() for end in ("low", "high")}
    return kinds | {"reason": pl.String}
