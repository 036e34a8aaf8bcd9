"""Held-out scores of the delivered model stand beside the base scores."""

import polars as pl

from genebatch.report.estimates import estimates


def test_estimate_puts_the_model_in_use_beside_the_base_scores():
    keys = ("system", "class", "metric", "weighted", "value", "reason", "over_base")
    lines = [
        ("base", "donor", "average_precision", True, 0.9, None, None),
        ("base", "donor", "log_loss", True, 0.5, None, None),
        ("stacked", "donor", "average_precision", True, 0.95, None, None),
        ("stacked", "donor", "log_loss", True, 0.25, None, -0.25),
        ("voting", "donor", "log_loss", True, 0.125, None, -0.375),
    ]
    table = pl.DataFrame(lines, schema=keys, orient="row", schema_overrides={"reason": pl.String})
    ends = (pl.lit(-0.3).alias("over_base_low"), pl.lit(-0.2).alias("over_base_high"))
    (line,) = estimates(table.with_columns(*ends), "stacked", weighted=True)
    assert [cell.text for cell in line.precision] == ["0.9000", "0.9500"]
    assert [cell.text for cell in line.loss] == ["0.5000", "0.2500"]
    assert (line.difference.text, line.low.text) == ("-0.2500", "-0.3000")
