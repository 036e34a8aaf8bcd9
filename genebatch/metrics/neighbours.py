"""Tells whether scores are highest on annotated sites or beside them.

A window is a site with the positions within `REACH` of it, a row for each:

- `batch`: the batch, or `TEST`;
- `gene`, `class`, `position`: the site. In a finished table `gene` is the group;
- `offset`: where the row lies, in nt from the site, in the direction of `position`;
- `base`, `model`: base score and probability of the site's class; null if left out;
- `left_out`: `ABSENT` if there is no such position or no row of it; `OTHER` if it is another site
  of the class, or if its label is not known; else null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

REACH = 10  # nt on either side of a site
OFFSETS = tuple(range(-REACH, REACH + 1))
ABSENT, OTHER = "absent", "other"
TEST, TRAINING = "test", "training"  # parts of the table: the delivered model, all fold models
SYSTEMS = ("base", "model")
SITE = ("batch", "gene", "class", "position")
WINDOWS = {
    "batch": pl.String,
    "gene": pl.String,
    "class": pl.String,
    "position": pl.Int64,
    "offset": pl.Int64,
    "base": pl.Float32,
    "model": pl.Float32,
    "left_out": pl.String,
}
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
COUNTS = ("sites", "scored", "absent", "other_sites")
LINE = ("part", "class", "system", "offset")  # what a line of the table is of
_NO_LINES = pl.DataFrame(
    schema=dict.fromkeys(LINE[:3], pl.String)
    | dict.fromkeys(["offset", *COUNTS], pl.Int64)
    | dict.fromkeys([*QUANTILES, "peaks"], pl.Float64)
)


def draw_sites(sites: pl.DataFrame, n_sites: int, seed: int) -> pl.DataFrame:
    """Draw sites, balanced over classes, and over genes within a class.

    Every gene gives one site of a class before any gene gives a second one. If a class has too few
    sites, the others have more.

    Parameters
    ----------
    sites
        Columns `gene`, `class` and `position`, and maybe others; in any order.
    n_sites
        The number to draw; all are taken if there are fewer.
    seed
        Seed of the draw.

    Returns
    -------
    polars.DataFrame
        The sites drawn, sorted by gene, class and position.
    """
    key = ["gene", "class", "position"]
    order = np.random.default_rng(seed).permutation(sites.height)
    ranked = sites.sort(key).with_columns(pl.Series("order", order))
    turn = pl.col("order").rank("ordinal").over("gene", "class")
    ranked = ranked.with_columns(turn.alias("turn")).sort("turn", "order")
    place = pl.int_range(pl.len()).over("class")
    ranked = ranked.with_columns(place.alias("place")).sort("place", "order", maintain_order=True)
    return ranked.head(n_sites).drop("order", "turn", "place").sort(key)


def windows_of(sites: pl.DataFrame) -> pl.DataFrame:
    """Every site with every offset, and the position `at` of it."""
    offsets = pl.DataFrame({"offset": OFFSETS}, schema={"offset": pl.Int64})
    return sites.join(offsets, how="cross", maintain_order="left_right").with_columns(
        at=pl.col("position") + pl.col("offset")
    )


def score_names(classes: Sequence[str]) -> list[str]:
    """Columns of the base scores of some classes, and of their probabilities."""
    return [f"{system}_{name}" for system in SYSTEMS for name in classes]


def of_own_class(rows: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Give windows their columns in their order.

    Parameters
    ----------
    rows
        The columns of a window but `base` and `model`, and those that `score_names` names.
    classes
        The classes of sites.
    """
    kept = pl.col("left_out").is_null()
    values = []
    for system in SYSTEMS:
        own = [
            pl.when(kept & (pl.col("class") == name)).then(pl.col(f"{system}_{name}"))
            for name in classes
        ]
        values.append(pl.coalesce(own).alias(system))
    return rows.with_columns(values).select(*WINDOWS).cast(WINDOWS)


def summarise(
    windows: pl.DataFrame, classes: Sequence[str], reasons: Mapping[str, str | None]
) -> pl.DataFrame:
    """Sum windows up by offset: quantiles of the scores, and how often the maximum lies there.

    A site has a maximum if at least two of its positions are scored and not all alike. If several
    positions share the maximum, each has an equal share of it.

    Parameters
    ----------
    windows
        Of test genes and of the genes of batches.
    classes
        The classes of sites.
    reasons
        Part (`TEST`, `TRAINING`) to the reason why nothing of it could be measured, or None.

    Returns
    -------
    polars.DataFrame
        A line for each part, class, system and offset:

        - `part`: `TEST`, `TRAINING` (all batches), or a batch;
        - `class`, `system` ("base" or "model"), `offset`;
        - `sites`: sites drawn; `scored`, `absent`, `other_sites`: of how many the position is
          scored, is not there, or is another site or of unknown label;
        - `q05` to `q95`: quantiles of the scored;
        - `peaks`: sites whose maximum lies there; `peak_share`: their share of all sites that have
          a maximum;
        - `reason`: why a value is null.
    """
    parts = {
        name: _by_class(part)
        for (name,), part in sorted(windows.partition_by("batch", as_dict=True).items())
    }
    trained = [name for name in parts if name != TEST]
    parts[TRAINING] = _joined(parts[name] for name in trained)
    lines = [line for name, classes_of in parts.items() for line in _lines(name, classes_of)]
    table = _grid([*reasons, *trained], classes)
    table = table.join(pl.concat([_NO_LINES, *lines]), on=LINE, how="left", maintain_order="left")
    table = table.with_columns(pl.col(COUNTS).fill_null(0), pl.col("peaks").fill_null(0.0))
    all_peaks = pl.col("peaks").sum().over("part", "class", "system")
    given = pl.col("part").replace_strict(dict(reasons), default=None, return_dtype=pl.String)
    return table.with_columns(
        pl.when(all_peaks > 0).then(pl.col("peaks") / all_peaks).alias("peak_share"),
        pl.coalesce(given, _reason(all_peaks)).alias("reason"),
    )


def _grid(parts: Sequence[str], classes: Sequence[str]) -> pl.DataFrame:
    """A line for each part, class, system and offset, in that order."""
    grid = pl.DataFrame({"part": parts}, schema={"part": pl.String})
    for name, values, kind in zip(
        LINE[1:], (classes, SYSTEMS, OFFSETS), (pl.String, pl.String, pl.Int64), strict=True
    ):
        other = pl.DataFrame({name: values}, schema={name: kind})
        grid = grid.join(other, how="cross", maintain_order="left_right")
    return grid


class _Sites(NamedTuple):
    """The sites of a class: (sites, offsets) arrays of what the columns of windows hold."""

    absent: np.ndarray
    other: np.ndarray
    base: np.ndarray
    model: np.ndarray


def _by_class(windows: pl.DataFrame) -> dict[str, _Sites]:
    """Class to its sites in windows of one part."""
    ordered = windows.sort(*SITE, "offset")
    found = {}
    for (name,), rows in ordered.partition_by("class", as_dict=True).items():
        left_out = rows["left_out"].fill_null("")
        columns = [left_out == ABSENT, left_out == OTHER, rows["base"], rows["model"]]
        found[name] = _Sites(*(column.to_numpy().reshape(-1, len(OFFSETS)) for column in columns))
    return found


def _joined(parts: Iterable[Mapping[str, _Sites]]) -> dict[str, _Sites]:
    """Class to its sites in all parts."""
    by_class: dict[str, list[_Sites]] = {}
    for part in parts:
        for name, sites in part.items():
            by_class.setdefault(name, []).append(sites)
    return {
        name: _Sites(*map(np.concatenate, zip(*sites, strict=True)))
        for name, sites in by_class.items()
    }


def _lines(part: str, by_class: Mapping[str, _Sites]) -> Iterator[pl.DataFrame]:
    """Yield the lines of each class and system of one part."""
    for name, sites in by_class.items():
        for system in SYSTEMS:
            scores = getattr(sites, system)
            columns = {"part": part, "class": name, "system": system, "offset": OFFSETS}
            columns |= {
                "sites": len(scores),
                "scored": np.isfinite(scores).sum(axis=0),
                "absent": sites.absent.sum(axis=0),
                "other_sites": sites.other.sum(axis=0),
                **_quantiles(scores),
                "peaks": _peaks(scores),
            }
            yield pl.DataFrame(columns).cast(dict(_NO_LINES.schema))


def _quantiles(scores: np.ndarray) -> dict[str, list[float | None]]:
    """Quantiles of the scored of each offset; None where there are none."""
    columns = [column[np.isfinite(column)] for column in scores.T]
    return {
        name: [float(np.quantile(column, q)) if len(column) else None for column in columns]
        for name, q in QUANTILES.items()
    }


def _peaks(scores: np.ndarray) -> np.ndarray:
    """How many of (sites, offsets) have their maximum at each offset, NaN being left out."""
    scored = np.isfinite(scores)
    low, high = np.where(scored, scores, np.inf), np.where(scored, scores, -np.inf)
    highest = high.max(axis=1)
    has_peak = low.min(axis=1) < highest
    at_peak = scored & (scores == highest[:, None]) & has_peak[:, None]
    return (at_peak / np.maximum(at_peak.sum(axis=1, keepdims=True), 1)).sum(axis=0)


def _reason(all_peaks: pl.Expr) -> pl.Expr:
    """Why a line has a null, in the order of what is missing."""
    own = ("part", "class", "system")
    return (
        pl.when(pl.col("sites").max().over(own) == 0)
        .then(pl.lit("no sites"))
        .when(pl.col("scored").max().over(own) == 0)
        .then(pl.lit("no scores"))
        .when(all_peaks == 0)
        .then(pl.lit("no site has positions beside it whose scores differ"))
        .when(pl.col("scored") == 0)
        .then(pl.lit("no position with this offset is scored"))
    )
