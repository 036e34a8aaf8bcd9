"""Rows of real genes with the score landscape, for the benchmarks that need them."""

import json
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold

from genebatch.features import base_scores as score_features
from genebatch.features.landscape import CHANNELS, GROUPS, Landscape
from genebatch.metrics.binary import METRICS
from genebatch.model import boosting

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
BASES = ("mouse", "mane")
CLASSES = ("neither", *CHANNELS)
N_SPLITS = 5
END = 1_000  # nt; rows nearer to an end of their gene are also judged apart
SPAN = ("distance_to_start", "distance_to_end")  # for comparison only
LANDSCAPE = ("maximum", "nearest", "gene")


class Rows(NamedTuple):
    """The rows of one base model's table, gene after gene."""

    labels: np.ndarray
    weight: np.ndarray
    clusters: np.ndarray
    base: dict[str, np.ndarray]  # log-odds of the base scores by class
    around: dict[str, np.ndarray]  # columns from the scores and the sequence at the position
    groups: dict[str, dict[str, np.ndarray]]  # columns of the landscape, the gene's span, words

    def to_end(self) -> np.ndarray:
        """Distance in nt to the nearer end of the gene."""
        return np.minimum(*self.groups["span"].values())


def human_folder() -> Path:
    """Folder of the human genes; ends the script where there is none."""
    human = Path(os.environ.get("GENEBATCH_REAL_DATA", BESIDE)) / "human"
    if not human.is_dir():
        sys.exit(f"no real data in {human}; set GENEBATCH_REAL_DATA")
    return human


def read_rows(human: Path, base: str, kmers: tuple[int, ...] = ()) -> Rows:
    """Rows of one base model with the landscape of every gene, and counts of words of k letters."""
    known = json.loads((human / "columns.json").read_text())
    made_here = {name for family in score_features.COLUMNS.values() for name in family}
    made_here |= {"gc_content", "sequence_complexity"}
    around = [name for name in known["features"] if name in made_here]
    words = {k: [name for name in known["kmers"] if name.startswith(f"{k}mer_")] for k in kmers}
    columns = [*known["meta"], "gene_length", *SPAN, *around, *chain(*words.values())]
    frame = pl.read_parquet(human / base / "*.parquet", columns=columns)
    tracks = pl.read_parquet(human / "raw" / f"base_scores_{base}.dev.parquet")
    tracks = tracks.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True
    )
    genes = frame.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True, maintain_order=True
    )
    parts = [landscape(tracks[gene], rows) for gene, rows in genes.items()]
    made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    groups = {group: {name: made[name] for name in names} for group, names in GROUPS.items()}
    frame = pl.concat(genes.values())
    return Rows(
        frame["splice_type"].to_numpy(),
        frame["sample_weight"].to_numpy().astype(np.float64),
        frame["cluster_id"].to_numpy(),
        {name: log_odds(frame[f"{name}_score"].to_numpy()) for name in CLASSES},
        {name: frame[name].to_numpy() for name in around},
        groups
        | {"span": {name: frame[name].to_numpy() for name in SPAN}}
        | {f"{k}mers": {name: frame[name].to_numpy() for name in words[k]} for k in kmers},
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


def splits(clusters: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Mask of the judged rows of each fold of whole clusters."""
    cut = GroupKFold(N_SPLITS, shuffle=True, random_state=seed)
    for _, test in cut.split(clusters, groups=clusters):
        held = np.zeros(clusters.size, bool)
        held[test] = True
        yield held


def average_precision(y: np.ndarray, margin: np.ndarray, weight: np.ndarray) -> float:
    """Weighted average precision of log-odds; the metric asks for probabilities."""
    probability = 1 / (1 + np.exp(-margin.astype(np.float64)))
    return METRICS["average_precision"](y, probability, weight).value
