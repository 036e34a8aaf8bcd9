"""The finished model beside the base scores at every position of the test genes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.calls.calling import feature_spec
from genebatch.calls.evaluation.counts import LOSSES, Counter, Tracks
from genebatch.calls.evaluation.ranking import PrecisionAtRecall, Ranking, rank, top_k_by_gene
from genebatch.calls.evaluation.reading import SYSTEMS, read_tracks
from genebatch.calls.evaluation.tables import corrections, hybrid_costs, summarise
from genebatch.ensemble.thresholds import base_call_thresholds, call_thresholds
from genebatch.evaluation.systems import refuse_seen_groups
from genebatch.features.gene_rows import genes_of_groups, label_sites, read_gene_groups
from genebatch.genome.genes import SITES, Gene, foreign_sites, read_gene_models, select_genes
from genebatch.io.files import write_json, write_tsv
from genebatch.metrics.binary import METRICS, THRESHOLD
from genebatch.metrics.bootstrap import (
    bootstrap_average_precision,
    bootstrap_mean,
    group_draws,
    interval,
    positive_groups,
    why_no_interval,
)
from genebatch.model.archive import load_model
from genebatch.plan.planning import read_groups_list
from genebatch.report.figures.tracks import precision_recall

log = logging.getLogger(__name__)

# Where the average precision is computed apart, and which positions that are: `rank(near_end=...)`.
PARTS = {"average_precision_near_ends": True, "average_precision_inside": False}


class Outcome(NamedTuple):
    """A metric by system, and on resampled groups, the same groups for both; or why it is null."""

    value: dict[str, float | None]
    resampled: dict[str, np.ndarray]
    reason: str | None = None


def evaluate_tracks(
    inputs: Mapping[str, str | Path],
    transcripts: str,
    evaluation: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Judge a model and the base scores at every position of the test genes.

    Truth are the splice sites of the gene models. Left out, and counted, are positions that are a
    site of another gene on the same strand and of none of this one, since what they are depends on
    which gene one asks, and positions that are donor and acceptor at once. Losses are sums over all
    positions. For ranking, positions that no system scores above `track_counts.FLOOR` are only
    counted, and sites that are not above it rank below all of these, so no metric is flattered.

    Streams over genes. Holds the longest gene (20 bytes a position), the sites, and the positions
    above the floor, at most `track_counts.MOST_KEPT`.

    Parameters
    ----------
    inputs
        Paths `positions` (what `genebatch.calling` writes in mode "meta"), `genes` (the gene
        models), `table` (genes.tsv of the training table, which has the group of each gene),
        `model` and `test_groups`.
    transcripts
        `sequence.transcripts`.
    evaluation
        Part of the config.
    outputs
        Paths `comparison` (TSV: metrics of both, with bootstrap intervals over groups),
        `corrections` (TSV: errors corrected and made), `hybrid` (TSV: what re-scoring some
        positions only costs), `summary` (JSON: what was counted) and `figure` (PNG).

    Raises
    ------
    InputError
        If a member of the model was trained on a test group, or if the positions are not every
        one of every test gene.
    """
    model = load_model(inputs["model"])
    refuse_seen_groups({"the model": model}, read_groups_list(inputs["test_groups"]))
    limits = {"thresholds": call_thresholds(model), "base_thresholds": base_call_thresholds(model)}
    score_floor = feature_spec(model, inputs["model"]).floor
    known = read_gene_models(inputs["genes"], transcripts)
    wanted = genes_of_groups(inputs["table"], inputs["test_groups"])
    genes = select_genes(known, wanted, str(inputs["table"]))
    groups = group_places(inputs["table"], genes)
    tracks = count_tracks(inputs["positions"], known, genes, score_floor=score_floor, **limits)
    rankings = {name: rank(tracks, groups, name) for name in SITES}
    summary, errors = summarise(tracks, groups), corrections(tracks)
    title = f"All {summary['positions']:,} positions of {summary['genes']:,} test genes"
    write_tsv(outputs["comparison"], compare(tracks, rankings, groups, evaluation))
    write_tsv(outputs["corrections"], errors)
    write_tsv(outputs["hybrid"], hybrid_costs(tracks, groups, score_floor))
    write_json(outputs["summary"], summary)
    precision_recall(outputs["figure"], rankings, errors, title)
    log.info("%s; %s of them kept for ranking", title, f"{len(tracks.code):,}")


def group_places(table: str | Path, genes: Sequence[Gene]) -> np.ndarray:
    """Place of each gene's group among the sorted names of their groups, (genes,) int64."""
    group = read_gene_groups(table)
    return np.unique([group[gene.id] for gene in genes], return_inverse=True)[1]


def count_tracks(
    path: str | Path,
    known: Sequence[Gene],
    genes: Sequence[Gene],
    thresholds: Mapping[str, float],
    score_floor: float,
    base_thresholds: Mapping[str, float] | None = None,
) -> Tracks:
    """Put the complete tracks of some genes beside their splice sites.

    Parameters
    ----------
    path
        Positions file, as `track_reading.read_tracks` takes and refuses it.
    known
        All genes of the gene models, whose sites are foreign to each other.
    genes
        Those of them whose tracks are in the file.
    thresholds, score_floor, base_thresholds
        As `track_counts.Counter` takes them.
    """
    foreign = foreign_sites(known)
    counter = Counter(len(genes), thresholds, score_floor, base_thresholds)
    for place, scores in read_tracks(path, genes):
        gene = genes[place]
        counter.add(place, label_sites(gene, foreign[gene.id]), scores)
    return counter.finish()


def compare(
    tracks: Tracks,
    rankings: Mapping[str, Ranking],
    groups: np.ndarray,
    evaluation: Mapping[str, Any],
) -> pl.DataFrame:
    """Every metric of the model beside the base scores.

    Parameters
    ----------
    tracks
        The counts.
    rankings
        Class to its ranking.
    groups : (genes,) int
        Place of each gene's group.
    evaluation
        Part of the config: `n_replicates` and `seed` of the bootstrap.

    Returns
    -------
    polars.DataFrame
        Columns `class, metric, base, model, difference`, the number of `groups` with sites of
        the class, 95 % bootstrap intervals over groups of the three as `{name}_low` and
        `{name}_high`, and `reason`, which says why a value or an interval is null. Metrics are
        `average_precision`, and that of the positions within `track_counts.NEAR_END` nt of an end
        of their gene (`average_precision_near_ends`) and of the others
        (`average_precision_inside`); `top_k`, the mean over genes with sites of the share of a
        gene's k sites among its k best positions; `precision_at_base_recall` (see
        `PrecisionAtRecall`); `log_loss` and `brier`, means over positions of one class against
        the rest.
    """
    draws = {"n_replicates": evaluation["n_replicates"], "seed": evaluation["seed"]}
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
        lines += [_line(name, metric, found, n_groups) for metric, found in outcomes.items()]
    return pl.DataFrame(lines, schema_overrides=_numbers(), infer_schema_length=None)


def _average_precision(
    name: str, ranking: Ranking, draws: Mapping[str, int]
) -> tuple[Outcome, int]:
    """Average precision of the ranked positions, and how many groups have sites among them."""
    metric, (y, score, group, weight) = METRICS["average_precision"], ranking
    n_groups = positive_groups(y, group)
    if not n_groups:
        return _none(f"no {name} sites there"), 0
    value = {system: metric(y, score[system], weight).value for system in score}
    drawn = bootstrap_average_precision(y, score, group, weight, **draws)
    return Outcome(value, drawn), n_groups


def _top_k(tracks: Tracks, name: str, groups: np.ndarray, draws: Mapping[str, int]) -> Outcome:
    """The mean over genes with sites; the others have weight 0, so that all groups are drawn."""
    found = top_k_by_gene(tracks, name)
    own = tracks.gene[tracks.code == SITES.index(name) + 1]
    weight = (np.bincount(own, minlength=len(groups)) > 0).astype(float)
    value = {system: float(np.average(hits, weights=weight)) for system, hits in found.items()}
    return Outcome(value, bootstrap_mean(found, groups, weight, **draws))


def _precision(ranking: Ranking, draws: Mapping[str, int]) -> Outcome:
    precision, n_groups = PrecisionAtRecall(ranking), int(ranking.group.max()) + 1
    value = precision(np.ones(n_groups))
    if np.isnan(value["base"]):
        return _none(f"no site has a base score of {THRESHOLD} or more")
    drawn = [precision(times) for times in group_draws(n_groups, **draws)]
    return Outcome(value, {system: np.array([p[system] for p in drawn]) for system in value})


def _loss(
    tracks: Tracks, metric: str, name: str, groups: np.ndarray, draws: Mapping[str, int]
) -> Outcome:
    sums = tracks.losses[:, LOSSES.index(metric), :, SITES.index(name)]
    size = np.bincount(groups, tracks.positions)
    value, means = {}, {}
    for number, system in enumerate(SYSTEMS):
        by_group = np.bincount(groups, sums[:, number])
        value[system] = float(by_group.sum() / size.sum())
        means[system] = by_group / size
    return Outcome(value, bootstrap_mean(means, np.arange(len(size)), size, **draws))


def _none(reason: str) -> Outcome:
    return Outcome(dict.fromkeys(SYSTEMS), {}, reason)


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
    return (*SYSTEMS, "difference")


def _numbers() -> dict[str, pl.DataType]:
    kinds = {side: pl.Float64 for side in _sides()}
    kinds |= {f"{side}_{end}": pl.Float64 for side in _sides() for end in ("low", "high")}
    return kinds | {"reason": pl.String}
