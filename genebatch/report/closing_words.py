"""What a finished run says last: where the model is, how it did, how to use it."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genebatch.io.tables import read_tsv
from genebatch.metrics.bootstrap import why_no_interval

# How rows are counted; positions of a track weigh the same.
COUNTED = {True: ", weighted", False: ", on rows", None: ""}
NAMES = {
    "ensemble": "the ensemble",
    "single": "the single model",
    "distilled": "the distilled model",
}
METRICS = ("average_precision", "log_loss", "ece", "top_k")


def closing_words(
    comparison: str | Path,
    candidates: str | Path,
    model: str | Path,
    tracks: str | Path | None = None,
    predictions: str | Path | None = None,
) -> str:
    """The test metrics beside the base scores, which model it is, and five lines that use it.

    Parameters
    ----------
    comparison
        `comparison.tsv` of the evaluation.
    candidates
        `candidates.tsv` of the final model.
    model
        The model file.
    tracks
        `comparison.tsv` of the evaluation on complete tracks, where there is one.
    predictions
        `predictions.parquet` of the evaluation, which knows what the ensemble goes without.
    """
    table = read_tsv(comparison)
    lines = ["", "Test groups, which no batch has seen:", ""]
    lines += _table(table)
    if tracks is not None:
        lines += ["", "Every position of the test genes:", "", *_differences(read_tsv(tracks))]
    lines += ["", *_delivered(read_tsv(candidates))]
    missing = "" if predictions is None else _missing(predictions)
    if missing:
        lines += [
            f"The ensemble goes without {missing}, as ensemble.allow_missing lets it; a "
            "run without that key trains what is missing"
        ]
    lines += ["", f"Model: {model}", "Report: results/report/index.html"]
    lines += [] if tracks is None else ["Calls: results/calls/test/calls.bed"]
    lines += [
        "",
        "    import polars as pl",
        "    from genebatch import load_model",
        f'    model = load_model("{model}")',
        '    table = pl.read_parquet("table.parquet")  # has model.columns_in_, in any order',
        "    probabilities = model.predict_proba(table)  # (rows, classes), rows sum to 1",
        "",
    ]
    return "\n".join(lines)


def _missing(predictions: str | Path) -> str:
    """The batches that the ensemble of the evaluated model goes without, by commas."""
    # Those of versions before `EnsembleModel.origin` record nothing.
    found = pl.read_parquet_metadata(predictions).get("genebatch.missing_batches", "")
    return found.replace(",", ", ")


def _delivered(candidates: pl.DataFrame) -> Iterator[str]:
    """Which model was delivered, and how the others that were trained compare with it."""
    chosen = candidates.filter("chosen").row(0, named=True)
    yield f"Delivered: {NAMES[chosen['candidate']]}, {chosen['trees']:,} trees"
    if candidates.height > 1:
        parts = [
            f"{NAMES[row['candidate']]} {row['log_loss']:.4g} ({row['trees']:,} trees)"
            for row in candidates.sort("log_loss").iter_rows(named=True)
        ]
        yield f"Held-out log loss: {', '.join(parts)}"


def _table(table: pl.DataFrame) -> list[str]:
    """One line for each class and metric: rows as they are, then weighted."""
    sides = [side for side in ("base", "model") if table[side].null_count() < table.height]
    kinds = table["weighted"].unique().sort().to_list()
    names = [f"{side}{' (weighted)' if kind else ''}" for kind in kinds for side in sides]
    wide = max(14, *(len(name) + 2 for name in table["class"]))
    head = f"{'class':<{wide}}{'metric':<19}" + "".join(f"{name:>20}" for name in names)
    lines = [head, "-" * len(head)]
    shown = table.filter(pl.col("metric").is_in(METRICS), pl.col("class") != "all")
    for (label, metric), part in shown.group_by("class", "metric", maintain_order=True):
        values = [
            part.filter(pl.col("weighted") == kind)[side].item() for kind in kinds for side in sides
        ]
        lines.append(f"{label:<{wide}}{metric:<19}" + "".join(f"{_number(v):>20}" for v in values))
    lines.append("")
    lines += list(_differences(table))
    return lines


def _differences(table: pl.DataFrame) -> Iterator[str]:
    judged = table.filter(
        pl.col("metric") == "average_precision", pl.col("difference").is_not_null()
    )
    for row in judged.iter_rows(named=True):
        low, high = row["difference_low"], row["difference_high"]
        said = f"not judged: {why_no_interval(row['class'], row['groups'])}"
        if low is not None:
            said = f"95 % interval over groups [{low:+.4f}, {high:+.4f}]"
        yield (
            f"{row['class']}{COUNTED[row.get('weighted')]}: average precision "
            f"{_number(row['base'])} to {_number(row['model'])}, {row['difference']:+.4f} "
            f"against the base scores, {said}"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value >= 0.01 else f"{value:.2e}"
