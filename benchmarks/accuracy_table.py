"""The tables of benchmarks/accuracy.md, from the kept runs."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from real_rows import BASES, CLASSES, END, N_SPLITS, Rows, average_precision, read_rows

from genebatch.features.landscape import CHANNELS
from genebatch.metrics.binary import METRICS, log_loss_rows
from genebatch.metrics.bootstrap import bootstrap_average_precision, bootstrap_mean, interval
from genebatch.model.calibration import CALIBRATORS, cross_fit

REFERENCE, BASE, REPLICATES, TEN_THOUSAND = "reference", "base scores", 300, 1e4
CALIBRATED = (REFERENCE, "weights to the power .75", "no weights", "document's recipe")
FIGURES = [
    title for name in CHANNELS for title in (f"{name} AP", "- base", "- reference", "loss, %")
]

HEAD = f"""# The learner's settings

Made by `python benchmarks/accuracy.py` (with `--members`, `--seeds`, `--quick` and `--neither`; it
adds to what it has).

- Rows: real human genes. Everything is weighted to the prevalence of the genome.
- Scores: out-of-fold, {N_SPLITS} folds of whole clusters of genes.
- Boosters: one per class. They start from the base log-odds unless said otherwise. An eighth of
  the training clusters stops them.
- Features: all that are named below, without a pilot. `selection.md` compares numbers of picked
  features, learning rates and bins.
{{notes}}
## How to read the tables

One setting is changed at a time. `reference` is {{reference}}; full weights, columns around the
position and of the landscape, no words. The quick settings are {{quick}}. A change with the quick
settings is compared with the reference with the quick settings.

| column | meaning |
|---|---|
| `AP` | average precision |
| `- base` | gain over the base scores |
| `- reference` | gain over the reference with the same folds, seeds, members and speed |
| `loss, %` | change of the log loss against the reference |

- Gains are in 1/10,000, with 95 % intervals ({REPLICATES} draws of clusters, the same for all).
- For `loss, %` each score is calibrated by a map that is fitted on the other folds and kept if it
  helps (`calibration.method: auto`).
- With several seeds (of folds, members and draws) the figures are means over them.
- Intervals tell how much other clusters would change a figure. They do not tell what another seed
  would change: the same settings with other folds and draws moved AP by up to 10/10,000.
- Members: 1 is trained on all training clusters of a fold. 4 and 14 are the mean of the log-odds of
  models of disjoint clusters, with about 19,000 and 5,400 rows each.
"""


class Judged(NamedTuple):
    """Resamples of the runs of one base model, on all rows or on those of one place."""

    rows: Rows
    used: np.ndarray  # rows of the place
    runs: dict[Any, Any]  # arrays by run
    precision: dict[tuple[str, Any, str], tuple[float, np.ndarray]]
    loss: dict[tuple[str, Any, str], tuple[float, np.ndarray]]


def write_report(
    human: Path, runs: list[Any], variants: Iterable[str], text: Mapping[str, str]
) -> None:
    """Write benchmarks/accuracy.md from the kept runs, with `notes` and settings in words."""
    parts = [HEAD.format(**text)]
    for base in BASES:
        found = {run: dict(np.load(run.path)) for run in runs if run.base == base}
        if not found:
            continue
        rows = read_rows(human, base)
        everywhere = judge(rows, found, np.ones(len(rows.weight), bool))
        parts += [base_line(base, everywhere)]
        for quick, members in product((False, True), (1, 4, 14)):
            parts.append(settings_table(base, everywhere, members, quick, variants))
        parts.append(mean_table(base, everywhere))
        repeated = {run.variant for run in found if len(same(found, run)) > 1}
        inside = {run: kept for run, kept in found.items() if run.variant in repeated}
        if inside:
            judged = judge(rows, inside, rows.to_end() >= END)
            parts.append(inside_table(base, judged))
        parts += [calibration_table(base, rows, found), sums_table(base, rows, found)]
    Path(__file__).with_name("accuracy.md").write_text("\n".join(parts))


def heading(*titles: str) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]


def same(runs: Iterable[Any], run: Any) -> list[Any]:
    """Runs that differ in nothing but the seed."""
    return [other for other in runs if other._replace(seed=run.seed) == run]


def by_seed(runs: Iterable[Any]) -> list[tuple[str, list[Any]]]:
    """Runs that differ in nothing but the seed, with a title."""
    result: dict[Any, list[Any]] = {}
    for run in runs:
        result.setdefault(run._replace(seed=0), []).append(run)
    return [(f"{run.variant}{' (quick)' * run.quick}", alike) for run, alike in result.items()]


def judge(rows: Rows, found: Mapping[Any, Any], used: np.ndarray) -> Judged:
    """Average precision and log loss of every run, and their resamples."""
    precision, loss = {}, {}
    weight, clusters = rows.weight[used], rows.clusters[used]
    for name in CHANNELS:
        y = rows.labels[used] == name
        scores = {(BASE, ""): rows.base[name][used]}
        losses = {(BASE, ""): log_loss_rows(y, scores[BASE, ""])}
        for run, kept in found.items():
            for combiner in combiners(run):
                scores[run, combiner] = kept[f"{combiner}:{name}"][used]
                losses[run, combiner] = kept[f"{combiner}:{name}:loss"][used].astype(np.float64)
        drawn = bootstrap_average_precision(y, scores, clusters, weight, REPLICATES)
        for key, score in scores.items():
            precision[(name, *key)] = average_precision(y, score, weight), drawn[key]
        drawn = bootstrap_mean(losses, clusters, weight, REPLICATES)
        for key, values in losses.items():
            loss[(name, *key)] = float(np.average(values, weights=weight)), drawn[key]
    return Judged(rows, used, dict(found), precision, loss)


def combiners(run: Any) -> tuple[str, ...]:
    return ("log_odds",) if run.members == 1 else ("log_odds", "voting")


def base_line(base: str, judged: Judged) -> str:
    values = (
        f"{name} AP {judged.precision[name, BASE, ''][0]:.4f}, log loss "
        f"{judged.loss[name, BASE, ''][0]:.3e}"
        for name in CHANNELS
    )
    return f"## {base}\n\nBase scores: {'; '.join(values)}.\n"


def settings_table(
    base: str, judged: Judged, members: int, quick: bool, variants: Iterable[str]
) -> str:
    """One line per variant that was trained with so many members."""
    speed = ", quick settings" if quick else ""
    lines = [f"### {base}, {members} member{'s' if members > 1 else ''}{speed}\n"]
    lines += heading("change", "seeds", "trees", *FIGURES)
    for variant in variants:
        runs = [run for run in judged.runs if run[1:3] + run[4:] == (variant, members, quick)]
        if runs:
            trees = np.median(np.concatenate([judged.runs[run]["trees"] for run in runs]))
            cells = [cell for name in CHANNELS for cell in cells_of(judged, name, runs)]
            lines.append(f"| {variant} | {len(runs)} | {trees:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" if len(lines) > 3 else ""


def cells_of(judged: Judged, name: str, runs: list[Any]) -> list[str]:
    """Average precision, its differences, and the difference in log loss, of one class."""
    references = [run._replace(variant=REFERENCE) for run in runs]
    value, drawn = mean(judged.precision, name, runs)
    cells = [f"{value:.4f}", difference(value, drawn, *judged.precision[name, BASE, ""])]
    if runs == references or not all(run in judged.runs for run in references):
        return [*cells, "", ""]
    cells.append(difference(value, drawn, *mean(judged.precision, name, references)))
    value, drawn = mean(judged.loss, name, runs)
    other, others = mean(judged.loss, name, references)
    low, high = interval(100 * (drawn / others - 1), len(drawn))
    return [*cells, f"{100 * (value / other - 1):+.1f} [{low:+.1f}, {high:+.1f}]"]


def mean(
    table: Mapping[tuple[str, Any, str], tuple[float, np.ndarray]],
    name: str,
    runs: list[Any],
    combiner: str = "log_odds",
) -> tuple[float, np.ndarray]:
    """Mean of a figure, and of its resamples, over runs."""
    values = [table[name, run, combiner] for run in runs]
    return float(np.mean([v for v, _ in values])), np.mean([d for _, d in values], axis=0)


def difference(value: float, drawn: np.ndarray, other: float, others: np.ndarray) -> str:
    """A gain in 1/10,000 with its interval."""
    low, high = interval(TEN_THOUSAND * (drawn - others), len(drawn))
    return f"{TEN_THOUSAND * (value - other):+.0f} [{low:+.0f}, {high:+.0f}]"


def mean_table(base: str, judged: Judged) -> str:
    """Mean of log-odds against mean of probabilities, and both against one model."""
    lines = [f"### {base}, how members are averaged\n"]
    means = ("mean of log-odds", "mean of probabilities", "difference", "log-odds - one model")
    lines += heading("change", "members", "class", *means)
    for title, runs in by_seed(judged.runs):
        if runs[0].members == 1:
            continue
        for name in CHANNELS:
            one = mean(judged.precision, name, runs)
            two = mean(judged.precision, name, runs, "voting")
            single = [run._replace(members=1) for run in runs]
            known = all(run in judged.runs for run in single)
            against = difference(*one, *mean(judged.precision, name, single)) if known else ""
            lines.append(
                f"| {title} | {runs[0].members} | {name} | {one[0]:.4f} | {two[0]:.4f} | "
                f"{difference(*one, *two)} | {against} |"
            )
    return "\n".join(lines) + "\n" if len(lines) > 3 else ""


def inside_table(base: str, judged: Judged) -> str:
    """Variants with several seeds, on the rows that are not near an end of their gene."""
    lines = [f"### {base}, {END:,} nt and more from the gene's ends\n"]
    lines += heading("change", "members", *FIGURES)
    for title, runs in by_seed(judged.runs):
        cells = [cell for name in CHANNELS for cell in cells_of(judged, name, runs)]
        lines.append(f"| {title} | {runs[0].members} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def calibration_table(base: str, rows: Rows, found: Mapping[Any, Any]) -> str:
    """What each calibrator does to rows of the folds that it was not fitted on."""
    lines = [f"### {base}, calibration\n", "One member, seed 0.\n"]
    titles = (title for name in CHANNELS for title in (f"{name} AP", "log loss"))
    lines += heading("change", "calibrator", *titles)
    for run, kept in found.items():
        if run[2:4] != (1, 0) or run.variant not in CALIBRATED:
            continue
        for method in CALIBRATORS:
            cells = []
            for name in CHANNELS:
                y, margin = rows.labels == name, kept[f"log_odds:{name}"].astype(np.float64)
                p = cross_fit(method, margin, y, kept["fold"], rows.weight)
                values = (
                    METRICS[metric](y, p, rows.weight).value
                    for metric in ("average_precision", "log_loss")
                )
                cells.append("{:.4f} | {:.3e}".format(*values))
            speed = " (quick)" * run.quick
            lines.append(f"| {run.variant}{speed} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# From three log-odds, one class against the rest each, to probabilities that sum to 1.
def raw(margins: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-margins))


def divided(margins: np.ndarray) -> np.ndarray:
    p = raw(margins)
    return p / p.sum(axis=1, keepdims=True)


def softmax(margins: np.ndarray) -> np.ndarray:
    p = np.exp(margins - margins.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def remainder(margins: np.ndarray) -> np.ndarray:
    p = raw(margins)
    sites = p[:, 1:].sum(axis=1)
    p[:, 0] = np.maximum(1 - sites, 0)
    p[:, 1:] /= np.maximum(sites, 1)[:, None]
    return p


SUMS = {
    "each class alone": raw,
    "divided by the sum": divided,
    "softmax of the three log-odds": softmax,
    "neither = 1 - donor - acceptor": remainder,
}


def sums_table(base: str, rows: Rows, found: Mapping[Any, Any]) -> str:
    """What making the classes of a row sum to 1 costs."""
    lines = [f"### {base}, making the three classes sum to 1\n"]
    lines += ["Average precision and log loss (not calibrated), differences to each class alone.\n"]
    sites = [title for name in CHANNELS for title in (f"{name} AP", "- alone", "loss, %")]
    lines += heading("change", "members", "way", *sites, "neither AP", "loss, %")
    known = [run for run in found if run.neither.exists()]
    for title, runs in by_seed(known):
        for way, cells in sums_cells(rows, [margins_of(run, found[run]) for run in runs]).items():
            lines.append(f"| {title} | {runs[0].members} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" if known else ""


def margins_of(run: Any, kept: Any) -> np.ndarray:
    """Log-odds (rows, classes) of the mean of log-odds."""
    sites = [kept[f"log_odds:{name}"] for name in CHANNELS]
    return np.column_stack([np.load(run.neither)["log_odds:neither"], *sites])


def sums_cells(rows: Rows, margins: list[np.ndarray]) -> dict[str, list[str]]:
    """Cells by way."""
    result: dict[str, list[str]] = {way: [] for way in SUMS}
    for column, name in enumerate(CLASSES[1:] + CLASSES[:1]):
        y = rows.labels == name
        precision, loss = {way: [] for way in SUMS}, {way: [] for way in SUMS}
        for margin in margins:
            p = {way: make(margin)[:, CLASSES.index(name)] for way, make in SUMS.items()}
            p = {way: np.clip(value, 1e-12, 1 - 1e-12) for way, value in p.items()}
            scores = {way: np.log(value) - np.log1p(-value) for way, value in p.items()}
            losses = {way: log_loss_rows(y, score) for way, score in scores.items()}
            drawn = bootstrap_average_precision(y, scores, rows.clusters, rows.weight, REPLICATES)
            drawn_loss = bootstrap_mean(losses, rows.clusters, rows.weight, REPLICATES)
            for way in SUMS:
                ap = average_precision(y, scores[way], rows.weight)
                precision[way].append((ap, drawn[way]))
                loss[way].append((np.average(losses[way], weights=rows.weight), drawn_loss[way]))
        for way in SUMS:
            ap, aps = mean_of(precision[way])
            alone = mean_of(precision["each class alone"])
            cost, costs = mean_of(loss[way])
            other, others = mean_of(loss["each class alone"])
            low, high = interval(100 * (costs / others - 1), len(costs))
            cells = [f"{ap:.4f}" if column < 2 else f"{ap:.6f}"]
            cells += [difference(ap, aps, *alone)] if column < 2 else []
            cells += [f"{100 * (cost / other - 1):+.1f} [{low:+.1f}, {high:+.1f}]"]
            result[way] += cells
    return result


def mean_of(values: list[tuple[float, np.ndarray]]) -> tuple[float, np.ndarray]:
    return float(np.mean([v for v, _ in values])), np.mean([d for _, d in values], axis=0)
