"""Made windows around sites, whose highest scores lie at a given offset."""

import polars as pl

from genebatch.metrics.neighbours import TEST, TRAINING, of_own_class, score_names, windows_of

CLASSES = ("donor", "acceptor")
MEASURED = {TEST: None, TRAINING: None}


def sites_of(counts, name="donor"):
    """So many sites of one class for each gene."""
    lines = [(gene, name, 100 * n) for gene, count in counts.items() for n in range(count)]
    return pl.DataFrame(lines, schema=["gene", "class", "position"], orient="row")


def made_windows(base_at=0, model_at=0, sites=4, batch=TEST, left_out=()):
    """Windows of which the highest scores lie at an offset; `left_out` are offset and reason."""
    drawn = pl.concat(sites_of({"g": sites}, name) for name in CLASSES)
    rows = windows_of(drawn.with_columns(pl.lit(batch).alias("batch")))
    reasons = dict(left_out)
    columns = [
        pl.when(pl.col("offset") == at).then(0.9).otherwise(0.1 - pl.col("offset") / 1000)
        for at in (base_at, base_at, model_at, model_at)
    ]
    named = zip(score_names(CLASSES), columns, strict=True)
    rows = rows.with_columns(
        *(column.alias(name) for name, column in named),
        pl.col("offset")
        .replace_strict(reasons, default=None, return_dtype=pl.String)
        .alias("left_out"),
    )
    return of_own_class(rows, CLASSES)
