"""What the score landscape of the whole gene is worth, group of columns by group of columns.

Out-of-fold average precision on real genes, weighted to the prevalence of the genome. Writes
benchmarks/features.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/features.py
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from boosted import OneClass, defaults, fit, predict
from real_rows import (
    BASES,
    END,
    LANDSCAPE,
    N_SPLITS,
    Rows,
    average_precision,
    human_folder,
    read_rows,
    splits,
)

from genebatch.config.settings import Learner
from genebatch.features.landscape import CHANNELS
from genebatch.metrics.bootstrap import bootstrap_average_precision, interval, positive_groups

STOP_SHARE, SEED, REPLICATES = 1 / 8, 0, 500
ALONE = "base scores alone"
PLACES = {"all rows": 0, f"{END:,} nt and more from the gene's ends": END}
VARIANTS = {
    "columns around the position": (),
    "+ span": ("span",),
    "+ gene": ("gene",),
    "+ nearest, gene": ("nearest", "gene"),
    "+ maximum": ("maximum",),
    "+ maximum, gene": ("maximum", "gene"),
    "+ maximum, nearest, gene": LANDSCAPE,
    "+ maximum, nearest, gene, span": (*LANDSCAPE, "span"),
}

# Measured once on the same folds, with code that is not kept.
TRIED = """## Choices, and what was left out

Differences in average precision in 1/10,000, donor / acceptor, with 95 % intervals. Settings: 19 of
the columns around the position, learning rate .1, 64 bins. Figures are the mean of two draws of
rows, columns and stopping clusters.

Choices:
- floor 1e-2 instead of 1e-3: mouse -29 [-42, -12] / -11 [-18, -5]
- floor 1e-5 instead of 1e-3: mouse +36 [+21, +56] / +27 [+20, +38]
- windows that all begin 3 nt away instead of bins side by side, both up to 100,000 nt with floor
  1e-5: mouse +28 [+5, +48] / +9 [+1, +19]
- these windows and floor 1e-5 instead of bins up to 10,000 nt and floor 1e-3:
  mane +38 [+22, +51] / +28 [+18, +38]
- no windows beyond 10,000 nt: mouse -11 [-18, -2] / -9 [-16, -4], mane -8 [-16, -2] / -5 [-12, +1]
- the track mirrored at both ends of the gene, only weak scores (below .1), so that they do not show
  the ends: mouse -49 [-78, -23] / -21 [-33, -12], within 1,000 nt of an end from .940 / .925 to
  .905 / .899, elsewhere from .9807 / .9779 to .9787 / .9774. This is not done: the ends of a gene
  are known wherever its scores are known
- floors 1e-3, 1e-2 and 1e-1 within 1,000 nt of an end: mouse .938 / .918, .918 / .914, .868 / .899;
  elsewhere .980 / .977 each
- the nearest site and its type (4 columns) instead of 12 distances to scores of 1, 10 and 50 %:
  mouse +0 [-8, +7] / +6 [+1, +12], mane +4 [-2, +10] / +3 [-3, +9]

Left out, because they add nothing certain to the windows with those 12 distances:
- sums of scores (expected sites) within 100 to 100,000 nt:
  mouse +3 [-5, +10] / +0 [-5, +5], mane +0 [-7, +4] / +5 [+1, +9]
- posterior log-odds of a chain of alternating sites with priors of exon and intron length
  (forward-backward over scores of 1e-3 and more): mouse -2 [-9, +5] / +1 [-2, +5]
- the best partner at exon and at intron distance, its length, the length modulo 3:
  mouse -2 [-10, +4] / -2 [-6, +2]
- nearest site and type, own score against the best within 10 to 100,000 nt, ranks within 1,000 to
  100,000 nt, counts above five scores, all at once: mouse -1 [-9, +4] / +5 [-2, +13]

With bins instead of windows several of these seemed to help (mouse: sums +40 / +15, counts +16 /
+2, own score against the best +15 / +3, ranks +14 / +2). So did the chain, with bins and floor 1e-3
(+11 [+0, +23] / +7 [+3, +12]). Quantiles of the gene's scores did not (+4 [-3, +12] / -1 [-5, +4]).
If the chain's context is added unchanged to the base log-odds, it ranks worse than the base scores
alone.
"""


def main() -> None:
    human = human_folder()
    learner = defaults()
    tables = [table(base, read_rows(human, base), learner) for base in BASES]
    text = f"""# Score landscape

Made by `python benchmarks/features.py`. Average precision of all out-of-fold rows, weighted to the
prevalence of the genome.

- {N_SPLITS} folds of whole clusters of genes. Boosters from the base log-odds with row weights,
  depth {learner["max_depth"]}, learning rate {learner["learning_rate"]}. An eighth of the training
  clusters stops them. No words and no annotation.
- In brackets: the gain over the base scores with its 95 % interval ({REPLICATES} draws of
  clusters).
- One run each. Another seed moves a figure by up to .001.

Scores of a gene are known only between its annotated ends. No score upstream of the first donor, or
downstream of the last acceptor, therefore also says that the gene ends there. Here the landscape
gains most. The lines with `span` give the boosters the distances to both ends; the other lines do
not have them. The second table leaves out the rows near an end.
"""
    Path(__file__).with_suffix(".md").write_text("\n".join([text, *tables, TRIED]))


def table(base: str, rows: Rows, learner: Mapping[str, Any]) -> str:
    """Lines of one variant each, first for all rows and then for those inside the genes."""
    scores, sizes = {ALONE: rows.base}, {ALONE: 0}
    for name, groups in VARIANTS.items():
        columns = rows.around.copy()
        for group in groups:
            columns |= rows.groups[group]
        scores[name], sizes[name] = out_of_fold(rows, columns, learner), len(columns)
        print(base, name, flush=True)
    lines = [f"## {base}"]
    for place, least in PLACES.items():
        judged = rows.to_end() >= least
        lines += [f"\n{place[0].upper()}{place[1:]}:\n", "| columns | number | donor | acceptor |"]
        lines += ["|---|---|---|---|"]
        for name, size in sizes.items():
            cells = (cell(rows, scores[name][c], rows.base[c], c, judged) for c in CHANNELS)
            lines.append(f"| {name} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def out_of_fold(
    rows: Rows, columns: Mapping[str, np.ndarray], learner: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Log-odds of every row from boosters that saw nothing of its cluster."""
    block = np.column_stack(list(columns.values())).astype(np.float32)
    given = Learner.build(learner)
    scores = {name: np.empty(rows.labels.size, np.float32) for name in CHANNELS}
    for train, stop, test in folds(rows.clusters):
        for name, score in scores.items():
            known = OneClass(block, rows.labels == name, rows.weight, rows.base[name])
            score[test] = predict(fit(known, train, stop, given), known, test, given)
    return scores


def folds(clusters: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Masks of the rows that train, that stop the boosters and that are judged."""
    rng = np.random.default_rng(SEED)
    for held in splits(clusters, SEED):
        names = np.unique(clusters[~held])
        stopping = rng.choice(names, int(names.size * STOP_SHARE), replace=False)
        stop = np.isin(clusters, stopping)
        yield ~held & ~stop, stop, held


def cell(
    rows: Rows, margin: np.ndarray, reference: np.ndarray, channel: str, judged: np.ndarray
) -> str:
    """Average precision of the judged rows, and its difference from that of a reference."""
    y, weight = (rows.labels == channel)[judged], rows.weight[judged]
    scores = {"new": margin[judged], "reference": reference[judged]}
    precision = {name: average_precision(y, score, weight) for name, score in scores.items()}
    gain = precision["new"] - precision["reference"]
    if not gain:
        return f"{precision['new']:.4f}"
    clusters = rows.clusters[judged]
    drawn = bootstrap_average_precision(y, scores, clusters, weight, REPLICATES, seed=SEED)
    low, high = interval(drawn["new"] - drawn["reference"], positive_groups(y, clusters))
    return f"{precision['new']:.4f} ({gain:+.4f} [{low:+.4f}, {high:+.4f}])"


if __name__ == "__main__":
    main()
