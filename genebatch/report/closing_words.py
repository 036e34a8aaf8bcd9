"""Writes the last words of a finished run: how the model did, where it is, how to use it."""

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
METRICS = ("average_precision", "log_loss", "ece", "top_k")
MEANINGS = {
    "ece": "expected calibration error: how far probabilities lie from the shares that come true",
    "top_k": "share of true rows among as many highest rows of a group as it has true ones",
}


def closing_words(
    comparison: pl.DataFrame,
    candidates: pl.DataFrame,
    results: str,
    tracks: pl.DataFrame | None = None,
    missing: Sequence[str] = (),
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
    tracks
        `comparison.tsv` of the evaluation on complete tracks, where there is one.
    missing
        Batches without a model, which the ensemble goes without.
    """
    model = f"{results}/model/model.gbm"
    lines = ["", "Results on the test groups, which no batch has seen:", ""]
    lines += _table(comparison)
    if tracks is not None:
        lines += ["", "Results on every position of the test genes:", "", *_differences(tracks)]
    lines += ["", *_delivered(candidates)]
    if missing:
        lines += [
            f"The ensemble goes without {', '.join(missing)}, as ensemble.allow_missing permits. "
            "To train the missing batches, run again with ensemble.allow_missing: false."
        ]
    lines += ["", f"Model: {model}", f"Report: {results}/report/index.html"]
    if tracks is not None:
        lines += [f"Calls: {results}/calls/test/calls.bed"]
        lines += [f"       {results}/calls/test/calls_igv.xml opens them in IGV"]
    lines += [
        "",
        "    import polars as pl",
        "    from genebatch import load_model",
        f'    model = load_model("{model}")',
        '    table = pl.read_parquet("table.parquet")  # has model.columns_in_, in any order',
        "    probabilities = model.predict_proba(table)  # (rows, classes), rows sum to 1",
        "",
        "On the command line, a table of any size:",
        f"    genebatch predict {model} table.parquet -o predictions.parquet",
    ]
    if tracks is not None:
        lines += [
            "and the genes of another genome:",
            f"    genebatch call {model} --fasta FASTA --genes GTF --scores SCORES -o calls",
        ]
    lines.append("")
    return "\n".join(lines)


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
    metrics = set(shown["metric"])
    lines += [f"{name}: {text}" for name, text in MEANINGS.items() if name in metrics]
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
