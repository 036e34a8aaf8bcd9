"""Which strategy of dealing groups into batches gives the best ensemble.

Out-of-fold average precision and log loss on real genes, weighted to the prevalence of the genome:
the training clusters of each fold are dealt into batches by every strategy, a member is trained on
each batch, and the mean of the members' log-odds is judged. Writes benchmarks/batching.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/batching.py
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from boosted import OneClass, fit, predict
from real_rows import BESIDE, LANDSCAPE, Rows, average_precision, read_rows
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from genebatch.config import schema as configuration
from genebatch.config.settings import Batching, Learner, Settings
from genebatch.dataset.feature_set import Features
from genebatch.dataset.similarity import centroids, standardise
from genebatch.features.landscape import CHANNELS
from genebatch.groups import deal, measures, overlapping
from genebatch.io.files import read_json, write_json, write_tsv
from genebatch.metrics.binary import log_loss_rows
from genebatch.metrics.bootstrap import (
    bootstrap_average_precision,
    bootstrap_mean,
    interval,
    positive_groups,
)
from genebatch.plan.strategies import SIMILAR, STRATEGIES
from genebatch.steps.dataset import analyze_dataset, describe_groups

BASES = ("mouse", "mane")
CLASSES = ["neither", *CHANNELS]
N_BATCHES, N_SPLITS, STOP_SHARE, SEEDS, REPLICATES = 6, 3, 1 / 8, (7, 8), 500
BASE, ONE, BALANCED, ROUTED = (
    "base scores alone",
    "one model",
    "balanced",
    "similarity, by nearness",
)
DEALS = {  # name: strategy, overlap
    BALANCED: ("balanced", 0.0),
    "balanced, overlap 0.2": ("balanced", 0.2),
    "size": ("size", 0.0),
    "similarity": ("similarity", 0.0),
    "adaptive": ("adaptive", 0.0),
}
SYSTEMS = [BASE, ONE, *DEALS, ROUTED]

# Read off the tables once they were made.
SEEN = """## What this says

- No strategy beats `balanced` on both base models. On mouse `size` and `adaptive` cannot be told
  from it. On mane `adaptive` gains .0005 [.0002, .0008] for acceptors and nothing certain for
  donors.
- `similarity` is worse than `balanced` for both classes on both base models. Weighing the members
  by nearness wins back at most a part of that. A batch of similar genes is a smaller share of what
  there is to learn.
- An overlap of .2 helps a little in all four cases (log loss: certain in three). But every batch
  then has a fifth more rows: the larger batches help.
- One model on all rows is better than any deal into six batches (log loss: certain in all four
  cases), most of all for acceptors.
"""


class Data(NamedTuple):
    """One base model's rows in memory, and the same as an analysed data set on disk."""

    rows: Rows
    clusters: np.ndarray  # (rows,) as text
    frame: pl.DataFrame  # features
    profile: Path
    groups: Path
    features: Path
    learner: Learner
    batching: Batching


class Dealt(NamedTuple):
    """The batches of one deal, and what they are like."""

    members: list[list[str]]  # groups of each batch
    largest: float  # rows of the largest batch, as a share of the mean
    spread: float  # groups of the largest batch by those of the smallest


def main() -> None:
    human = Path(os.environ.get("GENEBATCH_REAL_DATA", BESIDE)) / "human"
    if not human.is_dir():
        sys.exit(f"no real data in {human}; set GENEBATCH_REAL_DATA")
    with tempfile.TemporaryDirectory() as folder:
        parts = [section(base, human, Path(folder) / base) for base in BASES]
    text = f"""# Strategies of batching

Made by `python benchmarks/batching.py`.

- {N_SPLITS} folds. Each leaves a third of the clusters of genes out. The clusters of the rest are
  dealt into {N_BATCHES} batches.
- A member is trained on each batch: boosters from the base log-odds with row weights, default
  settings, columns around the position and the landscape, no words. An eighth of a batch's clusters
  stops its boosters.
- The mean of the members' log-odds is judged on the clusters left out, weighted to the prevalence
  of the genome.
- `{ONE}` is trained on all clusters of the rest at once.
- `{ROUTED}` weighs the members of the similarity batches by exp(-d^2 / m).
  d is the distance of the row's own standardised columns to the batch's centroid. m is the mean of
  d^2 over batches.
- Everything is done {len(SEEDS)} times, with other seeds of folds, deals, stopping clusters and
  boosters. Figures are means.
- In brackets: 95 % intervals of the difference from {REPLICATES} draws of clusters.
"""
    Path(__file__).with_suffix(".md").write_text("\n".join([text, *parts, SEEN]))


def section(base: str, human: Path, folder: Path) -> str:
    data = prepare(human, base, folder)
    runs = [out_of_fold(data, seed, folder) for seed in SEEDS]
    margins = [run[0] for run in runs]
    lines = [f"## {base}\n"]
    for metric, judge in (("Average precision", precision), ("Log loss, 1/1,000 nat", loss)):
        lines += [f"{metric}:\n", "| batches | class | value | less base | less balanced |"]
        lines += ["|---|---|---|---|---|"]
        for channel in CHANNELS:
            lines += judged(data, margins, channel, judge)
        lines.append("")
    lines += ["What the batches are like, means over folds and draws (only `size` goes below"]
    lines += ["`batching.min_groups`, 20, which a plan would refuse):\n"]
    lines += ["| batches | largest by mean batch, rows | most by fewest groups |", "|---|---|---|"]
    for name in DEALS:
        deals = [dealt for run in runs for dealt in run[1][name]]
        largest, spread = (np.mean([d[place] for d in deals]) for place in (1, 2))
        lines.append(f"| {name} | {largest:.2f} | {spread:.2f} |")
    chosen = sorted({name for run in runs for name in run[2]})
    lines += ["", f"Similar by (in any fold): {', '.join(f'`{name}`' for name in chosen)}.", ""]
    return "\n".join(lines)


def prepare(human: Path, base: str, folder: Path) -> Data:
    """Write the rows as a data set of our own, and analyse it."""
    rows = read_rows(human, base)
    columns = rows.around | {k: v for group in LANDSCAPE for k, v in rows.groups[group].items()}
    frame = pl.DataFrame(columns)
    clusters = rows.clusters.astype(str)
    scores = {f"{name}_score": expit(rows.base[name].astype(float)) for name in CHANNELS}
    scores["neither_score"] = np.clip(1 - sum(scores.values()), 0, 1)
    identity = {"cluster": clusters, "label": rows.labels, "weight": rows.weight}
    (folder / "data").mkdir(parents=True)
    kept = frame.drop([name for name in scores if name in frame.columns])
    pl.DataFrame(identity | scores).hstack(kept).write_parquet(folder / "data" / "part.parquet")
    dataset = {"path": str(folder / "data"), "group": "cluster", "label": "label"}
    dataset |= {"classes": CLASSES, "weight": "weight", "null_label": "neither"}
    dataset["scores"] = {name: f"{name}_score" for name in CLASSES}
    chosen = Settings.build(configuration.resolve({"dataset": dataset}))
    names = ("profile.json", "groups.parquet", "features.json")
    profile, groups, features = (folder / name for name in names)
    written = {"profile": profile, "groups": groups}
    analyze_dataset(table=chosen.table, test_column=None, threads=1, **written)
    write_json(features, Features(tuple(frame.columns), frame.width).to_json())
    learner = chosen.learner.for_rows(0).with_threads(1)
    return Data(rows, clusters, frame, profile, groups, features, learner, chosen.batching)


def out_of_fold(data: Data, seed: int, folder: Path):
    """Log-odds of every row by system and class, the deals, and the columns of similarity."""
    block = data.frame.select(pl.all().cast(pl.Float32)).to_numpy()
    size = data.clusters.size
    margins = {name: {c: np.zeros(size) for c in CHANNELS} for name in SYSTEMS}
    margins[BASE] = {c: data.rows.base[c].astype(np.float64) for c in CHANNELS}
    deals: dict[str, list[Dealt]] = {name: [] for name in DEALS}
    chosen: set[str] = set()
    splits = GroupKFold(N_SPLITS, shuffle=True, random_state=seed)
    for rest, test in splits.split(data.clusters, groups=data.clusters):
        genes, similarity, described = describe(data, test, folder)
        chosen |= set(similarity["columns"])
        everyone = genes["group"].to_list()
        fill(margins[ONE], test, [member(data, block, everyone, genes, test, seed)])
        for name, (strategy, overlap) in DEALS.items():
            dealt = deal_groups(genes, strategy, overlap, replace(data.batching, seed=seed))
            deals[name].append(dealt)
            found = [member(data, block, held, genes, test, seed) for held in dealt.members]
            fill(margins[name], test, found)
            if strategy == "similarity":
                weights = nearness(data.frame[test], similarity, described, dealt.members)
                fill(margins[ROUTED], test, found, weights)
            print(f"{folder.name}, seed {seed}, {rest.size:,} rows: {name}", flush=True)
    return margins, deals, chosen


def describe(
    data: Data, test: np.ndarray, folder: Path
) -> tuple[pl.DataFrame, dict[str, Any], pl.DataFrame]:
    """Per-group table of the training clusters with their features, and how these were made."""
    names = ("test_groups.tsv", "group_features.parquet", "similarity.json")
    aside, means, similarity = (folder / name for name in names)
    write_tsv(aside, pl.DataFrame({"group": np.unique(data.clusters[test])}))
    describe_groups(
        profile=data.profile,
        groups=data.groups,
        test_groups=aside,
        features=data.features,
        similar_by=None,
        group_features=means,
        similarity=similarity,
    )
    described = pl.read_parquet(means)
    columns = described.select("group", pl.exclude("group").name.prefix(SIMILAR))
    genes = pl.read_parquet(data.groups).join(columns, on="group").sort("group")
    return genes, read_json(similarity), described


def deal_groups(genes: pl.DataFrame, strategy: str, overlap: float, batching: Batching) -> Dealt:
    batches = STRATEGIES[strategy](genes, N_BATCHES, batching)
    parts = overlapping(genes, batches, overlap, batching.seed)
    names, rows = genes["group"].to_numpy(), genes["rows"].to_numpy()
    held = np.array([rows[part].sum() for part in parts])
    sizes = np.array([len(part) for part in parts])
    members = [names[part].tolist() for part in parts]
    return Dealt(members, held.max() / held.mean(), sizes.max() / sizes.min())


def member(
    data: Data,
    block: np.ndarray,
    groups: list[str],
    genes: pl.DataFrame,
    test: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Train on some groups, an eighth of which stops the boosters; log-odds of the test rows."""
    own = genes.filter(pl.col("group").is_in(groups))
    shares = [STOP_SHARE, 1 - STOP_SHARE]
    stopping = own["group"].to_numpy()[
        deal(own["group"].to_list(), measures(own), shares, seed) == 0
    ]
    stop = np.isin(data.clusters, stopping)
    train = np.isin(data.clusters, groups) & ~stop
    learner = replace(data.learner, seed=seed)
    found = {}
    for name in CHANNELS:
        y, start = data.rows.labels == name, data.rows.base[name]
        known = OneClass(block, y, data.rows.weight, start)
        found[name] = predict(fit(known, train, stop, learner), known, test, learner)
    return found


def fill(
    margins: dict[str, np.ndarray],
    test: np.ndarray,
    found: list[dict[str, np.ndarray]],
    weights: np.ndarray | None = None,
) -> None:
    """Put the (weighted) mean over members in its place."""
    for name, values in margins.items():
        values[test] = np.average([margin[name] for margin in found], axis=0, weights=weights)


def nearness(
    frame: pl.DataFrame,
    similarity: Mapping[str, Any],
    described: pl.DataFrame,
    members: list[list[str]],
) -> np.ndarray:
    """Weight of each member for each row, (members, rows)."""
    plan = pl.concat(
        pl.DataFrame({"group": groups}).with_columns(pl.lit(str(number)).alias("batch"))
        for number, groups in enumerate(members)
    )
    centres = centroids(described, plan, [str(number) for number in range(len(members))])
    rows = standardise(frame, similarity)
    squares = ((rows[None] - centres[:, None]) ** 2).sum(axis=2)
    return np.exp(-(squares - squares.min(axis=0)) / squares.mean(axis=0))


def judged(data: Data, runs: list[dict[str, Any]], channel: str, judge) -> list[str]:
    """Lines of one class: the value and its differences, with intervals over clusters."""
    y, weight, clusters = data.rows.labels == channel, data.rows.weight, data.clusters
    scored = [{name: run[name][channel] for name in SYSTEMS} for run in runs]
    found = [judge(y, scores, clusters, weight) for scores in scored]
    values = {name: np.mean([value[name] for value, _ in found]) for name in SYSTEMS}
    draws = {name: np.mean([drawn[name] for _, drawn in found], axis=0) for name in SYSTEMS}
    n_groups = positive_groups(y, clusters)
    lines = []
    for name in SYSTEMS:
        cells = [f"{values[name]:.4f}"]
        for other in (BASE, BALANCED):
            low, high = interval(draws[name] - draws[other], n_groups)
            shown = f"{values[name] - values[other]:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells.append("" if name == other else shown)
        lines.append(f"| {name} | {channel} | {' | '.join(cells)} |")
    return lines


def precision(y: np.ndarray, scores: Mapping[str, np.ndarray], clusters, weight):
    values = {name: average_precision(y, margin, weight) for name, margin in scores.items()}
    drawn = bootstrap_average_precision(y, scores, clusters, weight, REPLICATES, seed=0)
    return values, drawn


def loss(y: np.ndarray, scores: Mapping[str, np.ndarray], clusters, weight):
    rows = {name: 1000 * log_loss_rows(y, margin) for name, margin in scores.items()}
    values = {name: np.average(losses, weights=weight) for name, losses in rows.items()}
    return values, bootstrap_mean(rows, clusters, weight, REPLICATES, seed=0)


if __name__ == "__main__":
    main()
