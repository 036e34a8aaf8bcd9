"""What tells how much the loss of a gene falls when the members have more data?

Real genes, whole clusters held out. Writes benchmarks/gene_ranks.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/gene_ranks.py
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from boosted import OneClass, defaults, fit, predict
from real_rows import BESIDE, LANDSCAPE, Rows, read_rows
from scipy.special import expit
from scipy.stats import rankdata

from genebatch.config.settings import Learner
from genebatch.evaluation.ambiguity import Decomposition, decompose, log_probabilities
from genebatch.features.landscape import CHANNELS
from genebatch.groups import deal
from genebatch.metrics.bootstrap import group_draws, interval
from genebatch.model import boosting

BASE = "mouse"
CLASSES = ("neither", *CHANNELS)
SMALL, LARGE = 14, 4  # members, of disjoint batches of the same training clusters
N_TEST, STOP_SHARE, SEED, REPLICATES = 4, 1 / 8, 0, 1000
TOP = 0.1  # share of the clusters whose fall is summed
DOCUMENT = Path(__file__).resolve().parents[1] / "config" / "examples" / "document.yaml"
AMBIGUITY, LOSS = "ambiguity", "log loss"
FALLS = ("a member", "the members' mean")
RESULT = """\
The ambiguity predicts the fall, but worse than simpler numbers do. Rank correlation of sums with a
member's fall:

| predictor | defaults | document's recipe |
|---|---|---|
| ambiguity | .36 | .61 |
| held-out log loss | .59 | .66 |
| log loss of the base scores | .68 | .72 |

The mean falls say why. With the defaults a member gains 2.5 times the ambiguity. The mean of the
members, in which disagreement is averaged out, gains nearly as much. Regularisation and early
stopping hold members of small batches near the base scores. With more rows they improve mostly in
what all of them lack, and their disagreement does not show that.

Groups are therefore ranked by the held-out loss, unless told otherwise. The loss of the base scores
does better here. But it goes on naming genes that the model has put right, and not every data set
has base scores. Not tested: more data of one kind of gene, instead of all kinds.
"""


class Judged(NamedTuple):
    """Sums over the rows of each test cluster: predictors, falls, and the weight of the rows."""

    predictors: dict[str, np.ndarray]
    falls: dict[str, np.ndarray]
    weight: np.ndarray


def main() -> None:
    human = Path(os.environ.get("GENEBATCH_REAL_DATA", BESIDE)) / "human"
    if not human.is_dir():
        sys.exit(f"no real data in {human}; set GENEBATCH_REAL_DATA")
    document = defaults() | yaml.safe_load(DOCUMENT.read_text())["learner"]
    rows = read_rows(human, BASE)
    parts = [introduction(rows)]
    for title, learner in (("Defaults", defaults()), ("The document's recipe", document)):
        judged = judge(rows, learner)
        means = [np.sum(v) / judged.weight.sum() for v in (*judged.falls.values(),)]
        spread = judged.predictors[AMBIGUITY].sum() / judged.weight.sum()
        parts.append(
            f"## {title}\n\nMean fall of {FALLS[0]} {means[0]:.3g} nats a row, of {FALLS[1]} "
            f"{means[1]:.3g}; mean ambiguity {spread:.3g}.\n"
        )
        for kind in ("Sums over the rows of a cluster", "Means of a row"):
            parts += [f"{kind}:\n", table(judged, kind.startswith("Means")), ""]
    Path(__file__).with_suffix(".md").write_text("\n".join(parts))


def introduction(rows: Rows) -> str:
    return f"""# Which genes to add

Made by `python benchmarks/gene_ranks.py`. Human genes with the {BASE} base model,
{rows.labels.size:,} rows of {np.unique(rows.clusters).size} clusters, with the landscape and
without words.

- A quarter of the clusters is held out in turn. On the others {SMALL} members are trained on
  disjoint small batches, and {LARGE} on larger batches of the same clusters.
- The *fall* of a held-out cluster is how much lower its log loss is with the large batches. It is
  measured for a member (mean over members) and for the mean of the members.
- Predictors of the fall are computed from every other small member. The fall is computed from the
  remaining small members and the large ones. No accident of a small member is on both sides.
- Figures: Spearman's rank correlation over the clusters with 95 % intervals ({REPLICATES:,} draws
  of clusters); the interval of its difference to that of the ambiguity; the share of the whole fall
  in the tenth of the clusters with the largest value.
- The defaults are judged on weighted rows. The document's recipe has no weights and is judged on
  rows. One run each, without calibration.

{RESULT}"""


def judge(rows: Rows, learner: Mapping[str, Any]) -> Judged:
    """Predictors and falls of every cluster, each held out once."""
    names, cluster = np.unique(rows.clusters, return_inverse=True)
    counts = [np.bincount(cluster, rows.labels == name) for name in CLASSES]
    size = np.column_stack([np.bincount(cluster), *counts])
    quarter = deal(names.tolist(), size, [1] * N_TEST, SEED)
    found = []
    for number in range(N_TEST):
        train = np.flatnonzero(quarter != number)
        test = quarter[cluster] == number
        scores = {}
        for count in (SMALL, LARGE):
            batch = np.full(names.size, -1)
            batch[train] = deal(names[train].tolist(), size[train], [1] * count, SEED)
            scores[count] = members(rows, batch[cluster], test, learner)
        print(f"quarter {number + 1}", flush=True)
        found.append(per_cluster(rows, test, scores, learner))
    return Judged(
        *(
            {name: np.concatenate([part[side][name] for part in found]) for name in found[0][side]}
            for side in (0, 1)
        ),
        np.concatenate([part.weight for part in found]),
    )


def members(
    rows: Rows, batch: np.ndarray, test: np.ndarray, learner: Mapping[str, Any]
) -> list[np.ndarray]:
    """Log-odds of the test rows, (rows, classes), by a member of each batch."""
    columns = dict(rows.around)
    for group in LANDSCAPE:
        columns |= rows.groups[group]
    block = np.column_stack(list(columns.values())).astype(np.float32)
    rng, given = np.random.default_rng(SEED), Learner.build(learner)
    found = []
    for number in range(batch.max() + 1):
        own = batch == number
        clusters = np.unique(rows.clusters[own])
        chosen = rng.choice(clusters, max(1, int(clusters.size * STOP_SHARE)), replace=False)
        stop = own & np.isin(rows.clusters, chosen)
        scores = []
        for name in CLASSES:
            start = base_log_odds(rows)[name] if learner["start_from"] != "none" else None
            known = OneClass(block, rows.labels == name, weights(rows, learner), start)
            scores.append(predict(fit(known, own & ~stop, stop, given), known, test, given))
        found.append(np.column_stack(scores))
    return found


def weights(rows: Rows, learner: Mapping[str, Any]) -> np.ndarray:
    return rows.weight if learner["use_weights"] else np.ones(rows.weight.size)


def base_log_odds(rows: Rows) -> dict[str, np.ndarray]:
    rest = 1 - sum(expit(rows.base[name].astype(np.float64)) for name in CHANNELS)
    rest = np.clip(rest, boosting.SCORE_FLOOR, boosting.SCORE_CEILING)
    return {"neither": (np.log(rest) - np.log1p(-rest)).astype(np.float32)} | rows.base


def per_cluster(
    rows: Rows,
    test: np.ndarray,
    scores: Mapping[int, list[np.ndarray]],
    learner: Mapping[str, Any],
) -> Judged:
    codes = np.array([CLASSES.index(label) for label in rows.labels[test]])
    seen = decompose(scores[SMALL][::2], codes)
    small, large = decompose(scores[SMALL][1::2], codes), decompose(scores[LARGE], codes)
    base = np.column_stack([base_log_odds(rows)[name][test] for name in CLASSES])
    base_loss = -log_probabilities(base)[np.arange(codes.size), codes]
    predictors = {
        AMBIGUITY: seen.ambiguity,
        "disagreement": seen.disagreement,
        LOSS: of_mean(seen),
        "base log loss": base_loss,
        "gain over the base": base_loss - of_mean(seen),
        "base errors": base.argmax(axis=1) != codes,
    }
    falls = {
        FALLS[0]: small.member_loss - large.member_loss,
        FALLS[1]: of_mean(small) - of_mean(large),
    }
    weight = weights(rows, learner)[test]
    _, local = np.unique(rows.clusters[test], return_inverse=True)
    sums = (
        {name: np.bincount(local, weight * value) for name, value in values.items()}
        for values in (predictors, falls)
    )
    return Judged(*sums, np.bincount(local, weight))


def of_mean(parts: Decomposition) -> np.ndarray:
    """Loss of the mean of the members."""
    return parts.member_loss - parts.ambiguity


def table(judged: Judged, mean: bool) -> str:
    """A line of rank correlations for each predictor."""
    by = judged.weight if mean else 1.0
    lines = ["|  |" + "".join(f" {fall} | less ambiguity's | top tenth |" for fall in FALLS)]
    lines.append("|---" * (1 + 3 * len(FALLS)) + "|")
    size = judged.weight.size
    draws = [np.repeat(np.arange(size), d.astype(int)) for d in group_draws(size, REPLICATES, SEED)]
    values = {name: x / by for name, x in judged.predictors.items()}
    values["size"] = judged.weight
    cells = {name: [f"| {name} |"] for name in values}
    for fall in FALLS:
        y = judged.falls[fall] / by
        drawn = {n: np.array([rho(x[d], y[d]) for d in draws]) for n, x in values.items()}
        for name, x in values.items():
            low, high = interval(drawn[name], size)
            cells[name].append(f" {rho(x, y):+.2f} [{low:+.2f}, {high:+.2f}] |")
            low, high = interval(drawn[name] - drawn[AMBIGUITY], size)
            cells[name].append(" |" if name == AMBIGUITY else f" [{low:+.2f}, {high:+.2f}] |")
            first = np.argsort(-x, kind="stable")[: round(TOP * size)]
            share = judged.falls[fall][first].sum() / judged.falls[fall].sum()
            cells[name].append(f" {share:.0%} |")
    return "\n".join([*lines, *map("".join, cells.values())])


def rho(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation."""
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


if __name__ == "__main__":
    main()
