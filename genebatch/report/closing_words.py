"""Writes the last words of a finished run: how the model did, where it is, how to use it."""

import textwrap
from collections.abc import Iterator, Sequence

import polars as pl

from genebatch.metrics.bootstrap import why_no_interval

# How rows are counted; all positions of a track count the same.
COUNTED = {True: ", weighted", False: ", on rows", None: ""}
NAMES = {
    "ensemble": "the ensemble",
    "single": "the single model",
    "both": "the ensemble with the single model",
    "distilled": "the distilled model",
}
KINDS = {False: "rows", True: "weighted"}
WIDTH = 80  # of a terminal
METRICS = ("average_precision", "log_loss", "ece", "top_k")
MEANINGS = {
    "ece": "expected calibration error: how far probabilities lie from the shares that come true",
    "top_k": "share of true rows among as many highest rows of a group as it has true ones",
}


def closing_words(
    comparison: pl.DataFrame,
    candidates: pl.DataFrame,
    results: str,
    commands: Sequence[tuple[str, str]],
    tracks: pl.DataFrame | None = None,
    missing: Sequence[str] = (),
    manual: str | None = None,
) -> str:
    """Tell the test metrics beside the base scores, the delivered model, and how to use it.

    Parameters
    ----------
    comparison
        `comparison.tsv` of the evaluation.
    candidates
        `candidates.tsv` of the final model.
    results
        The folder of the results.
    commands
        What can be done next, and the command for it.
    tracks
        `comparison.tsv` of the evaluation on complete tracks, where there is one.
    missing
        Batches without a model, which the ensemble goes without.
    manual
        Where the manual is, if it is there.
    """
    answers = ["", "Results on the test groups, which no batch has seen:", ""]
    answers += _answers(comparison)
    if tracks is not None:
        answers += ["", "Results on every position of the test genes:", "", *_answers(tracks)]
    delivered = [*_delivered(candidates)]
    if missing:
        delivered += [
            f"The ensemble goes without {', '.join(missing)}, as ensemble.allow_missing permits. "
            "To train the missing batches, run again with ensemble.allow_missing: false."
        ]
    lines = [*map(_filled, answers), "", *_table(comparison), "", *map(_filled, delivered)]
    lines += ["", f"Open: {results}/report/index.html"]
    if tracks is not None:
        lines += [f"      {results}/calls/test/calls.bed, the calls"]
        lines += [f"      {results}/calls/test/calls_igv.xml, the same in IGV"]
    lines += [f"Model: {results}/model/model.gbm"]
    lines += [f"Manual: {manual}"] if manual else []
    return "\n".join([*lines, "", "Next, to be pasted as it is:", *_listed(commands), ""])


def _filled(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ")


def _listed(commands: Sequence[tuple[str, str]]) -> Iterator[str]:
    for what, command in commands:
        yield f"    # {what}"
        yield f"    {command}"


def _delivered(candidates: pl.DataFrame) -> Iterator[str]:
    """Name the delivered model, and compare it with the others that were trained."""
    chosen = candidates.filter("chosen").row(0, named=True)
    yield f"Delivered: {NAMES[chosen['candidate']]}, {chosen['trees']:,} trees"
    judged = candidates.filter(pl.col("log_loss").is_not_null())
    if judged.height > 1:
        parts = [
            f"{NAMES[row['candidate']]} {row['log_loss']:.4g} ({row['trees']:,} trees)"
            for row in judged.sort("log_loss").iter_rows(named=True)
        ]
        yield f"Held-out log loss: {', '.join(parts)}"
    for reason in candidates.filter(pl.col("log_loss").is_null())["reason"].unique():
        yield f"Not trained: {reason}"


def _table(table: pl.DataFrame) -> list[str]:
    """Write one line for each class and metric: plain rows first, then weighted rows."""
    sides = [side for side in ("base", "model") if table[side].null_count() < table.height]
    kinds = table["weighted"].unique().sort().to_list()
    wide = max(12, *(len(name) + 2 for name in table["class"]))
    above = [KINDS[kind] for kind in kinds for _ in sides] if len(kinds) > 1 else []
    head = f"{'class':<{wide}}{'metric':<19}" + "".join(
        f"{name:>11}" for name in sides * len(kinds)
    )
    lines = [" " * (wide + 19) + "".join(f"{name:>11}" for name in above)] if above else []
    lines += [head, "-" * len(head)]
    shown = table.filter(pl.col("metric").is_in(METRICS), pl.col("class") != "all")
    for (label, metric), part in shown.group_by("class", "metric", maintain_order=True):
        values = [
            part.filter(pl.col("weighted") == kind)[side].item() for kind in kinds for side in sides
        ]
        lines.append(f"{label:<{wide}}{metric:<19}" + "".join(f"{_number(v):>11}" for v in values))
    metrics = set(shown["metric"])
    return lines + [f"{name}: {text}" for name, text in MEANINGS.items() if name in metrics]


def _answers(table: pl.DataFrame) -> Iterator[str]:
    """Tell the average precision of each class, after that of the base scores if there are any."""
    judged = table.filter(pl.col("metric") == "average_precision", pl.col("class") != "all")
    for row in judged.iter_rows(named=True):
        name = f"{row['class']}{COUNTED[row.get('weighted')]}: average precision"
        if row["difference"] is None:
            yield f"{name} {_number(row['model'])}"
            continue
        low, high = row["difference_low"], row["difference_high"]
        said = f"not judged: {why_no_interval(row['class'], row['groups'])}"
        if low is not None:
            said = f"95 % interval over groups [{low:+.4f}, {high:+.4f}]"
        yield (
            f"{name} {_number(row['base'])} to {_number(row['model'])}, {row['difference']:+.4f} "
            f"against the base scores, {said}"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value >= 0.01 else f"{value:.2e}"
