"""Features of positions per second, against plain Python that works position by position.

Ratios within one run are what to trust. Both sides' values are compared before they are timed.
Writes benchmarks/features_speed.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/features_speed.py
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.features.base_scores import CHANNELS, ENTROPY_EPS, EPS
from genebatch.features.landscape import (
    BESIDE,
    FLOOR,
    MAX_DISTANCE,
    SIDES,
    SITE,
    WINDOWS,
    Landscape,
)
from genebatch.features.positions import FAMILIES, MARGIN, GeneWindow, Spec, window_features

LENGTH, BLOCK = 300_000, 32_768  # nt of the gene, positions at a time
PLAIN = 400  # positions that plain Python is timed on
REPEATS = 3
SCORES = ("scores", "probability", "context", "peak", "cross")
WITHOUT_WORDS = (*SCORES, "composition", "landscape")
PARTS = {
    "scores, probability, context, peak, cross": SCORES,
    "composition": ("scores", "composition"),
    "landscape": ("scores", "landscape"),
    "all but words": WITHOUT_WORDS,
    "3- and 5-mers": ("scores", "kmers"),
    "all": tuple(name for name in FAMILIES if name != "span"),
}
PROMISES = {"all but words": 200_000, "3- and 5-mers": 50_000}  # positions per second


def main() -> None:
    rng = np.random.default_rng(7)
    gene = made_gene(rng)
    everywhere = np.arange(LENGTH)
    scattered = np.sort(rng.choice(LENGTH, LENGTH // 10, replace=False))
    sample = rng.choice(scattered, PLAIN, replace=False)
    prepared = prepare(gene)
    lines = []
    for name, families in PARTS.items():
        spec = Spec(families)
        compare(gene, prepared, sample, spec)
        plain = rate(PLAIN, lambda s=spec: plain_features(prepared, sample, s))
        fast, few = (
            rate(len(positions), lambda s=spec, p=positions: made(gene, p, s))
            for positions in (everywhere, scattered)
        )
        promise = f"{PROMISES[name]:,}" if name in PROMISES else ""
        line = f"| {name} | {len(spec.columns):,} | {plain:,.0f} | {fast:,.0f} | {few:,.0f} "
        line += f"| {fast / plain:,.0f} | {promise} |"
        print(line, flush=True)
        lines.append(line)
    text = "# Features\n\nMade by `python benchmarks/features_speed.py`. Positions per second on "
    text += f"one core, process time, the best of {REPEATS}.\n\n"
    text += f"- every position: of a gene of {LENGTH:,} nt, in blocks of {BLOCK:,}\n"
    text += "- scattered: a tenth of them, drawn at random\n"
    text += f"- plain Python: position by position, on {PLAIN} positions\n\n"
    head = "| families | columns | plain Python | every position | scattered "
    head += "| ratio to plain | promised |\n|---|---|---|---|---|---|---|\n"
    Path(__file__).with_suffix(".md").write_text(text + head + "\n".join(lines) + "\n")


def made_gene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a gene with 60 nt on each side, and scores: 2 % at 1e-3 or more."""
    codes = rng.integers(0, 4, LENGTH + 2 * Spec().window).astype(np.uint8)
    odds = np.exp(rng.normal(-14, 3.5, (2, LENGTH)))
    return codes, (odds / (1 + odds.sum(axis=0))).astype(np.float32)


def made(gene: tuple[np.ndarray, np.ndarray], positions: np.ndarray, spec: Spec) -> list:
    """Features of ascending positions, the gene taken block by block."""
    codes, scores = gene
    landscape = Landscape.collect([scores], LENGTH)
    frames = []
    for start in range(0, LENGTH, BLOCK):
        inside = positions[slice(*np.searchsorted(positions, (start, start + BLOCK)))]
        first, last = max(start - MARGIN, 0), min(start + BLOCK + MARGIN, LENGTH)
        window = GeneWindow(first, scores[:, first:last], codes[first : last + 2 * spec.window])
        # One block is held at a time, as in prediction.
        frames = [window_features(window, inside, landscape, spec, LENGTH)]
    return frames


def rate(n: int, run: Callable[[], object]) -> float:
    """Positions per second of the best of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return n / min(times)


def compare(
    gene: tuple[np.ndarray, np.ndarray], prepared: "Plain", positions: np.ndarray, spec: Spec
) -> None:
    """Stop unless both sides give the same values."""
    codes, scores = gene
    landscape = Landscape.collect([scores], LENGTH)
    frame = window_features(GeneWindow(0, scores, codes), positions, landscape, spec, LENGTH)
    plain = pl.DataFrame(plain_features(prepared, positions, spec)).select(frame.columns)
    np.testing.assert_allclose(frame.to_numpy(), plain.to_numpy(), rtol=1e-4, atol=1e-6)


class Plain(NamedTuple):
    """The gene as plain Python has it."""

    text: str
    tracks: dict[str, list[float]]
    strong: dict[str, list[float]]  # ascending scores that the landscape looks at


def prepare(gene: tuple[np.ndarray, np.ndarray]) -> Plain:
    tracks = {name: row.tolist() for name, row in zip(CHANNELS, gene[1], strict=True)}
    strong = {name: sorted(s for s in row if s >= FLOOR) for name, row in tracks.items()}
    return Plain("".join(np.array(list("ACGTN"))[gene[0]]), tracks, strong)


def plain_features(gene: Plain, positions: np.ndarray, spec: Spec) -> list[dict[str, float]]:
    """The same features with loops and floats; asked for one score family, it makes them all."""
    words = ["".join(w) for k in spec.kmers for w in product("ACGT", repeat=k)]
    rows = []
    for position in positions.tolist():
        near = {name: plain_near(row, position, spec.floor) for name, row in gene.tracks.items()}
        row = plain_base(near)
        around = gene.text[position : position + 2 * spec.window + 1]
        if "peak" in spec.families:
            row |= plain_scores(near["donor"], near["acceptor"])
        if "composition" in spec.families:
            row |= plain_composition(around)
        if "landscape" in spec.families:
            for name, track in gene.tracks.items():
                own = near[name][MARGIN]
                row |= plain_landscape(name, track, gene.strong[name], position, own)
            row |= plain_nearest(gene.tracks, position)
        if "kmers" in spec.families:
            counts = Counter(
                around[i : i + k] for k in spec.kmers for i in range(len(around) - k + 1)
            )
            row |= {f"{len(word)}mer_{word}": counts[word] for word in words}
        rows.append(row)
    return rows


def plain_near(track: list[float], position: int, floor: float) -> list[float]:
    places = range(position - MARGIN, position + MARGIN + 1)
    return [max(track[i] if 0 <= i < LENGTH else 0.0, float(np.float32(floor))) for i in places]


def plain_base(near: dict[str, list[float]]) -> dict[str, float]:
    d, a = near["donor"][2], near["acceptor"][2]
    return {"donor_score": d, "acceptor_score": a, "neither_score": max(1 - d - a, 0.0)}


def plain_scores(donor: list[float], acceptor: list[float]) -> dict[str, float]:
    d, a = donor[2], acceptor[2]
    n = max(1 - d - a, 0.0)
    row = {
        "splice_probability": d + a,
        "relative_donor_probability": d / (d + a + EPS),
        "donor_acceptor_diff": d - a,
        "splice_neither_diff": d + a - n,
        "score_difference_ratio": (d - a) / (d + a + EPS),
        "donor_acceptor_logodds": math.log((d + EPS) / (a + EPS)),
        "splice_neither_logodds": math.log((d + a + EPS) / (n + EPS)),
        "probability_entropy": -sum(
            max(p, ENTROPY_EPS) * math.log(max(p, ENTROPY_EPS)) for p in (d, a, n)
        ),
    }
    either = [max(pair) for pair in zip(donor, acceptor, strict=True)]
    for name, scores in (("donor", donor), ("acceptor", acceptor), ("context", either)):
        for tag, i in (("m2", 0), ("m1", 1), ("p1", 3), ("p2", 4)):
            row[f"{name}_score_{tag}"] = scores[i]
    mean, left, right = (sum(either) - either[2]) / 4, sum(either[:2]), sum(either[3:])
    row |= {"context_neighbor_mean": mean, "context_max": max(either)}
    row["context_asymmetry"] = (right - left) / (right + left + EPS)
    shapes = [plain_shape(scores) for scores in (donor, acceptor)]
    for name, shape in zip(CHANNELS, shapes, strict=True):
        row |= {f"{name}_{key}": value for key, value in shape.items()}
    one, other = shapes
    ratio = one["signal_strength"] / (abs(other["signal_strength"]) + EPS)
    return row | {
        "donor_acceptor_peak_ratio": one["peak_height_ratio"] / (other["peak_height_ratio"] + EPS),
        "signal_strength_ratio": ratio,
        "type_signal_difference": one["weighted_context"] - other["weighted_context"],
    }


def plain_shape(scores: list[float]) -> dict[str, float]:
    m2, m1, own, p1, p2 = scores
    mean, highest = (m2 + m1 + p1 + p2) / 4, max(m2, m1, p1, p2)
    bounded = min(max(own, EPS), 1 - EPS)
    return {
        "logit": math.log(bounded / (1 - bounded)),
        "is_local_peak": float(own > highest and own > EPS),
        "signal_strength": own - mean,
        "peak_height_ratio": own / (mean + EPS),
        "surge_ratio": own / (highest + EPS),
        "second_derivative": m1 + p1 - 2 * own,
        "context_diff_ratio": (p1 - m1) / (p1 + m1 + EPS),
        "weighted_context": 0.4 * own + 0.2 * (m1 + p1) + 0.1 * (m2 + p2),
        "context_max": max(scores),
        **{f"diff_{tag}": own - scores[i] for tag, i in (("m2", 0), ("m1", 1))},
        **{f"diff_{tag}": own - scores[i] for tag, i in (("p1", 3), ("p2", 4))},
    }


def plain_composition(around: str) -> dict[str, float]:
    counts = Counter(around[i : i + 3] for i in range(len(around) - 2))
    total = sum(counts.values())
    bits = -sum(n / total * math.log2(n / total) for n in counts.values())
    gc_content = sum(letter in "GC" for letter in around) / len(around)
    return {"gc_content": gc_content, "sequence_complexity": bits}


def plain_landscape(
    name: str, track: list[float], ranked: list[float], position: int, own: float
) -> dict[str, float]:
    row = {}
    for window in WINDOWS:
        before = track[max(position - window, 0) : max(position - BESIDE, 0)]
        after = track[position + BESIDE + 1 : position + window + 1]
        for side, part in zip(SIDES, (before, after), strict=True):
            row[f"{name}_max_{side}_{window}"] = math.log(max([FLOOR, *part]))
    row[f"{name}_gene_sites"] = sum(score >= SITE for score in ranked)
    row[f"{name}_gene_rank"] = sum(score > own for score in ranked)
    row[f"{name}_gene_max"] = math.log(ranked[-1] if ranked else FLOOR)
    return row


def plain_nearest(tracks: dict[str, list[float]], position: int) -> dict[str, float]:
    row = {}
    for side, step in zip(SIDES, (-1, 1), strict=True):
        away = dict.fromkeys(tracks, MAX_DISTANCE)
        for name, track in tracks.items():
            for distance in range(1, MAX_DISTANCE):
                place = position + step * distance
                if not 0 <= place < LENGTH:
                    break
                if track[place] >= SITE:
                    away[name] = distance
                    break
        donor, acceptor = (away[name] for name in CHANNELS)
        row[f"nearest_distance_{side}"] = min(donor, acceptor)
        row[f"nearest_type_{side}"] = (acceptor > donor) - (acceptor < donor)
    return row


if __name__ == "__main__":
    main()
