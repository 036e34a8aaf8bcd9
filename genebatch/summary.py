"""What a finished run says last: where the model is, how it did, how to use it."""

from pathlib import Path

import polars as pl

METRICS = ("average_precision", "auc", "log_loss", "brier", "ece", "top_k")


def closing_words(comparison: str | Path, model: str | Path) -> str:
    """The test metrics beside the base scores, the model's path and five lines that use it.

    Parameters
    ----------
    comparison
        `comparison.tsv` of the evaluation.
    model
        The model file.
    """
    table = pl.read_csv(comparison, separator="\t", schema_overrides={"class": pl.String})
    lines = ["", "Test groups, which no batch has seen:", ""]
    lines += _table(table)
    lines += [
        "",
        f"Model: {model}",
        "Report: results/report/index.html",
        "",
        "    import polars as pl",
        "    from genebatch import load_model",
        f'    model = load_model("{model}")',
        '    table = pl.read_parquet("your_table.parquet")  # needs model.columns_in_, in any order',
        "    probabilities = model.predict_proba(table)  # (rows, classes), rows sum to 1",
        "",
    ]
    return "\n".join(lines)


def _table(table: pl.DataFrame) -> list[str]:
    has_base = table["base"].null_count() < table.height
    head = f"{'class':<12}{'metric':<20}{'rows':<10}"
    head += f"{'base':>10}{'ensemble':>10}{'difference':>12}" if has_base else f"{'ensemble':>10}"
    lines = [head, "-" * len(head)]
    shown = table.filter(pl.col("metric").is_in(METRICS), pl.col("ensemble").is_not_null())
    for row in shown.iter_rows(named=True):
        line = f"{row['class']:<12}{row['metric']:<20}"
        line += f"{'weighted' if row['weighted'] else 'plain':<10}"
        if has_base:
            line += f"{_number(row['base']):>10}"
        line += f"{_number(row['ensemble']):>10}"
        if has_base:
            line += f"{_number(row['difference'], sign=True):>12}"
        if row.get("difference_low") is not None:
            line += f"  [{row['difference_low']:+.4f}, {row['difference_high']:+.4f}]"
        lines.append(line)
    return lines


def _number(value: float | None, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.4f}" if sign else f"{value:.4f}"
