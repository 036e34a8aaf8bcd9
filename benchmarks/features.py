"""What the score landscape of the whole gene is worth, group of columns by group of columns.

Out-of-fold average precision on real genes, weighted to the prevalence of the genome. Writes
benchmarks/features.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/features.py
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold

from genebatch import learner as boosting
from genebatch import score_features
from genebatch.bootstrap import bootstrap_average_precision, interval, positive_groups
from genebatch.config import load_schema
from genebatch.landscape import CHANNELS, GROUPS, Landscape
from genebatch.metrics import METRICS

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
BASES = ("mouse", "mane")
N_SPLITS, STOP_SHARE, SEED, REPLICATES = 5, 1 / 8, 0, 500
ALONE = "base scores alone"
VARIANTS = {
    "columns around the position": (),
    "+ gene": ("gene",),
    "+ nearest, gene": ("nearest", "gene"),
    "+ maximum": ("maximum",),
    "+ maximum, gene": ("maximum", "gene"),
    "+ maximum, nearest, gene": ("maximum", "nearest", "gene"),
}

# Measured once on the same folds, with code that is not kept.
TRIED = """## Choices, and what was left out

Differences in average precision in 1/10,000, donor / acceptor, with 95 % intervals; 19 of the
columns around the position, learning rate .1, 64 bins, the mean of two draws of rows, columns and
stopping clusters.

Choices:
- floor 1e-2 instead of 1e-3: mouse -29 [-42, -12] / -11 [-18, -5]
- floor 1e-5 instead of 1e-3: mouse +36 [+21, +56] / +27 [+20, +38]
- windows that all begin 3 nt away instead of bins side by side, both up to 100,000 nt with floor
  1e-5: mouse +28 [+5, +48] / +9 [+1, +19]
- these windows and floor 1e-5 instead of bins up to 10,000 nt and floor 1e-3:
  mane +38 [+22, +51] / +28 [+18, +38]
- no windows beyond 10,000 nt: mouse -11 [-18, -2] / -9 [-16, -4], mane -8 [-16, -2] / -5 [-12, +1]
- the nearest site and its type (4 columns) instead of 12 distances to scores of 1, 10 and 50 %:
  mouse +0 [-8, +7] / +6 [+1, +12], mane +4 [-2, +10] / +3 [-3, +9]

Left out, as they add nothing certain to the windows with those 12 distances:
- sums of scores (expected sites) within 100 to 100,000 nt:
  mouse +3 [-5, +10] / +0 [-5, +5], mane +0 [-7, +4] / +5 [+1, +9]
- posterior log-odds of a chain of alternating sites with priors of exon and intron length
  (forward-backward over scores of 1e-3 and more): mouse -2 [-9, +5] / +1 [-2, +5]
- the best partner at exon and at intron distance, its length, the length modulo 3:
  mouse -2 [-10, +4] / -2 [-6, +2]
- nearest site and type, own score against the best within 10 to 100,000 nt, ranks within 1,000 to
  100,000 nt, counts above five scores, all at once: mouse -1 [-9, +4] / +5 [-2, +13]

Beside bins, where windows were missing, several of these seemed to help (mouse: sums +40 / +15,
counts +16 / +2, own score against the best +15 / +3, ranks +14 / +2), and so did the chain beside
bins with floor 1e-3 (+11 [+0, +23] / +7 [+3, +12]). Quantiles of the gene's scores did not
(+4 [-3, +12] / -1 [-5, +4]). Added to the base log-odds as it is, the chain's context ranks worse
than the base scores alone.
"""


class Rows(NamedTuple):
    """The rows of one base model's table, gene after gene."""

    labels: np.ndarray
    weight: np.ndarray
    clusters: np.ndarray
    base: dict[str, np.ndarray]  # log-odds of the base scores by class
    around: dict[str, np.ndarray]  # columns from the scores and the sequence at the position
    landscape: dict[str, np.ndarray]


def main() -> None:
    human = Path(os.environ.get("GENEBATCH_REAL_DATA", BESIDE)) / "human"
    if not human.is_dir():
        sys.exit(f"no real data in {human}; set GENEBATCH_REAL_DATA")
    learner = {
        name: child.get("default")
        for name, child in load_schema()["properties"]["learner"]["properties"].items()
    }
    tables = [table(base, read_rows(human, base), learner) for base in BASES]
    text = f"""# Score landscape

Average precision of all out-of-fold rows, weighted to the prevalence of the genome: {N_SPLITS}
folds of whole clusters of genes, boosters from the base log-odds with row weights, depth
{learner["max_depth"]}, learning rate {learner["learning_rate"]}, stopped by an eighth of the
training clusters; no words, no annotation, nothing of the gene's span. In brackets the gain over
the base scores with its 95 % interval ({REPLICATES} draws of clusters). One run each: another seed
moves a figure by up to .001. Made by `python benchmarks/features.py`.
"""
    Path(__file__).with_suffix(".md").write_text("\n".join([text, *tables, TRIED]))


def read_rows(human: Path, base: str) -> Rows:
    """Rows of one base model with the landscape of every gene."""
    known = json.loads((human / "columns.json").read_text())
    made_here = {name for family in score_features.COLUMNS.values() for name in family}
    made_here |= {"gc_content", "sequence_complexity"}
    around = [name for name in known["features"] if name in made_here]
    frame = pl.read_parquet(
        human / base / "*.parquet", columns=[*known["meta"], "gene_length", *around]
    )
    tracks = pl.read_parquet(human / "raw" / f"base_scores_{base}.dev.parquet")
    tracks = tracks.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True
    )
    genes = frame.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True, maintain_order=True
    )
    parts = [landscape(tracks[gene], rows) for gene, rows in genes.items()]
    frame = pl.concat(genes.values())
    return Rows(
        frame["splice_type"].to_numpy(),
        frame["sample_weight"].to_numpy().astype(np.float64),
        frame["cluster_id"].to_numpy(),
        {name: log_odds(frame[f"{name}_score"].to_numpy()) for name in CHANNELS},
        {name: frame[name].to_numpy() for name in around},
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


def log_odds(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score.astype(np.float64), boosting.SCORE_FLOOR, boosting.SCORE_CEILING)
    return (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)


def landscape(track: pl.DataFrame, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Landscape columns of the rows of one gene."""
    scores = np.zeros((2, int(rows["gene_length"].item(0))), np.float32)
    scores[:, track["position"].to_numpy()] = track.select(CHANNELS).to_numpy().T
    positions = rows["position"].to_numpy()
    return Landscape.collect([scores], scores.shape[1]).features(positions, scores[:, positions])


def table(base: str, rows: Rows, learner: Mapping[str, Any]) -> str:
    """One line per variant."""
    lines = [f"## {base}\n", "| columns | number | donor | acceptor |", "|---|---|---|---|"]
    lines.append(line(ALONE, 0, rows, rows.base))
    for name, groups in VARIANTS.items():
        columns = rows.around | {c: rows.landscape[c] for group in groups for c in GROUPS[group]}
        lines.append(line(name, len(columns), rows, out_of_fold(rows, columns, learner)))
        print(base, lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def out_of_fold(
    rows: Rows, columns: Mapping[str, np.ndarray], learner: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Log-odds of every row from boosters that saw nothing of its cluster."""
    block = np.column_stack(list(columns.values())).astype(np.float32)
    matrix = boosting.build_matrix([block], block.shape[1], learner["max_bin"], 1)
    margins = {name: np.empty(rows.labels.size, np.float32) for name in CHANNELS}
    for train, stop, test in folds(rows.clusters):
        for name, margin in margins.items():
            fit = boosting.fit_until_stopped(
                matrix, rows.labels == name, rows.weight, train, stop, rows.base[name], learner
            )
            margin[test] = fit.margin[test]
    return margins


def folds(clusters: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Masks of the rows that train, that stop the boosters and that are judged."""
    rng = np.random.default_rng(SEED)
    splits = GroupKFold(N_SPLITS, shuffle=True, random_state=SEED)
    for rest, _ in splits.split(clusters, groups=clusters):
        names = np.unique(clusters[rest])
        stopping = rng.choice(names, int(names.size * STOP_SHARE), replace=False)
        stop = np.isin(clusters, stopping)
        kept = np.zeros(clusters.size, bool)
        kept[rest] = True
        yield kept & ~stop, stop, ~kept


def line(name: str, number: int, rows: Rows, margins: Mapping[str, np.ndarray]) -> str:
    cells = [cell(rows, margin, channel) for channel, margin in margins.items()]
    return f"| {name} | {number} | {cells[0]} | {cells[1]} |"


def cell(rows: Rows, margin: np.ndarray, channel: str) -> str:
    """Average precision, and its gain over the base scores."""
    y = rows.labels == channel
    precision = average_precision(y, margin, rows.weight)
    gain = precision - average_precision(y, rows.base[channel], rows.weight)
    if not gain:
        return f"{precision:.4f}"
    scores = {"new": margin, "base": rows.base[channel]}
    drawn = bootstrap_average_precision(
        y, scores, rows.clusters, rows.weight, REPLICATES, seed=SEED
    )
    low, high = interval(drawn["new"] - drawn["base"], positive_groups(y, rows.clusters))
    return f"{precision:.4f} ({gain:+.4f} [{low:+.4f}, {high:+.4f}])"


def average_precision(y: np.ndarray, margin: np.ndarray, weight: np.ndarray) -> float:
    """Weighted average precision of log-odds; the metric asks for probabilities."""
    probability = 1 / (1 + np.exp(-margin.astype(np.float64)))
    return METRICS["average_precision"](y, probability, weight).value


if __name__ == "__main__":
    main()
