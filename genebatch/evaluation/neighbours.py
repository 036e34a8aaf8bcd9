"""Finds the rows around annotated sites in tables of scores, where there is no genome."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import expit

from genebatch.config.settings import Labels
from genebatch.dataset.rows import normalised
from genebatch.io.files import scan_parquet
from genebatch.io.tables import record_batches, table_columns
from genebatch.metrics.neighbours import (
    ABSENT,
    OTHER,
    TEST,
    draw_sites,
    of_own_class,
    score_names,
    windows_of,
)
from genebatch.model import held_out

AT = ("batch", "gene", "at")  # what names a row


def site_classes(labels: Labels) -> list[str]:
    """The classes of sites: all but that of the rows that are no site."""
    rest = labels.rest_class or labels.null_label
    return [name for name in labels.classes if name != rest]


def why_no_neighbours(path: str | Path, labels: Labels) -> str | None:
    """Say why rows around sites cannot be found in a table of scores; None if they can."""
    if len(site_classes(labels)) == len(labels.classes):
        return "no class is known to be that of rows that are no site; set dataset.rest_class"
    if labels.position is None:
        return "rows have no position; set dataset.position"
    if not scan_parquet(path).collect_schema()["position"].is_integer():
        return f"the column '{labels.position}' of dataset.position holds no whole numbers"
    return None


def held_out_rows(path: str | Path, labels: Labels) -> Iterator[pl.DataFrame]:
    """Stream the training rows with the probabilities of their own batch's fold models.

    Parameters
    ----------
    path
        What the rule cross_batch_scores wrote. The fold model that scored a row for its own batch
        never saw its group. Rows of batches without a model are left out, and so are those of
        groups that not all members scored.
    labels
        What the rows are.

    Yields
    ------
    polars.DataFrame
        `batch`, `gene` (the group), `at` (the position), `label`, and `base_{class}` and
        `model_{class}` of each class of sites.
    """
    columns, classes = table_columns(path), labels.classes
    names = [name.removesuffix(f":{classes[0]}") for name in columns if ":" in name]
    members = [
        name
        for name in dict.fromkeys(names)
        if set(held_out.score_names(name, classes)) <= set(columns)
    ]
    wanted = [*_identity(columns, classes), "batch"]
    wanted += [name for member in members for name in held_out.score_names(member, classes)]
    for batch in record_batches(path, wanted):
        rows = pl.from_arrow(batch).with_columns(pl.col("batch").cast(pl.String))
        for (name,), part in rows.partition_by("batch", as_dict=True).items():
            if name in members:
                scores = part.select(held_out.score_names(name, classes)).to_numpy()
                probability = normalised(expit(scores.astype(np.float64)), labels.rest)
                named = {f"probability_{c}": v for c, v in zip(classes, probability.T, strict=True)}
                yield _scored(part.with_columns(**named), labels)


def predicted_rows(path: str | Path, labels: Labels) -> Iterator[pl.DataFrame]:
    """Stream the test rows with the probabilities of the delivered model, as `held_out_rows`.

    `path` is the file of predictions that the rule evaluate wrote.
    """
    columns, classes = table_columns(path), labels.classes
    wanted = [*_identity(columns, classes), *(f"probability_{name}" for name in classes)]
    for batch in record_batches(path, wanted):
        yield _scored(pl.from_arrow(batch).with_columns(pl.lit(TEST).alias("batch")), labels)


def row_windows(
    rows: Callable[[], Iterable[pl.DataFrame]], classes: Sequence[str], n_sites: int, seed: int
) -> pl.DataFrame:
    """Draw sites of every batch, and find the rows around them.

    Holds one frame of the rows, and the sites.

    Parameters
    ----------
    rows
        Gives the frames that `held_out_rows` yields; called twice.
    classes
        The classes of sites.
    n_sites, seed
        Of each batch; see `metrics.neighbours.draw_sites`.

    Returns
    -------
    polars.DataFrame
        Windows, see `metrics.neighbours`.
    """
    is_site = pl.col("label").is_in(classes)
    named = [pl.col("label").alias("class"), pl.col("at").alias("position")]
    sites = pl.concat(rows.filter(is_site).select("batch", "gene", *named) for rows in rows())
    drawn = [draw_sites(part, n_sites, seed) for part in sites.partition_by("batch")]
    windows = windows_of(pl.concat([sites.clear(), *drawn]))
    near = pl.concat(part.join(windows, on=AT, how="semi") for part in rows())
    found = windows.join(near, on=AT, how="left", maintain_order="left")
    other = (pl.col("label") == pl.col("class")) & (pl.col("offset") != 0)
    reason = pl.when(pl.col("label").is_null()).then(pl.lit(ABSENT)).when(other).then(pl.lit(OTHER))
    return of_own_class(found.with_columns(reason.alias("left_out")), classes)


def _identity(columns: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Columns of a table of scores that are read beside its probabilities."""
    base = [f"score_{name}" for name in classes]
    return ["group", "position", "label", *(name for name in base if name in columns)]


def _scored(rows: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """Give rows the columns of `held_out_rows`; base scores are null where there are none."""
    sites = site_classes(labels)
    base = [f"score_{name}" for name in sites]
    base = [pl.col(name) if name in rows.columns else pl.lit(None) for name in base]
    model = [pl.col(f"probability_{name}") for name in sites]
    named = zip(score_names(sites), [*base, *model], strict=True)
    return rows.filter(pl.col("position").is_not_null()).select(
        "batch",
        pl.col("group").cast(pl.String).alias("gene"),
        pl.col("position").cast(pl.Int64).alias("at"),
        pl.col("label").cast(pl.String),
        *(value.cast(pl.Float32).alias(name) for name, value in named),
    )
