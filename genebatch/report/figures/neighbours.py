"""Draws scores around annotated sites: where their maximum lies, and how high they are."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.metrics.neighbours import OFFSETS, REACH, TEST, TRAINING
from genebatch.report.figures import style

TITLES = {TEST: "test genes", TRAINING: "training genes"}
WIDTH = 0.4  # of a bar, in nt


def draw_neighbours(table: pl.DataFrame) -> Figure:
    """Draw two panels for each class and part: shares of the maxima, and scores by offset.

    Parameters
    ----------
    table
        As `metrics.neighbours.summarise` makes it; its batches are not drawn.
    """
    classes = table["class"].unique(maintain_order=True).to_list()
    places = [(part, name) for part in TITLES for name in classes]
    title = (
        f"Scores within {REACH} nt of annotated sites; training genes by models that never saw them"
    )
    with style.panels(2 * len(places), title, columns=4) as (figure, panels):
        for (part, name), left, right in zip(places, panels[::2], panels[1::2], strict=True):
            lines = table.filter(pl.col("part") == part, pl.col("class") == name)
            # In the other figures colour 0 is that of the class neither.
            colour = style.colour(1 + classes.index(name))
            _peaks(left, lines, colour, f"{name}, {TITLES[part]}")
            _scores(right, lines, colour, f"{name}, {TITLES[part]}")
    return figure


def _peaks(axes: Axes, lines: pl.DataFrame, colour: str, title: str) -> None:
    """Draw the share of sites whose maximum lies at each offset."""
    known = _known(axes, lines, "peak_share", title)
    if not known.height:
        return
    for place, (system, tone) in zip((-1, 1), _tones(colour), strict=True):
        own = known.filter(pl.col("system") == system)
        if own.height:
            x = own["offset"].to_numpy() + place * WIDTH / 2
            label = f"{system}: {_most(own)}"
            axes.bar(x, own["peak_share"], WIDTH, color=tone, label=label)
    _offsets(axes, "share of sites with the maximum there")
    style.legend(axes)


def _scores(axes: Axes, lines: pl.DataFrame, colour: str, title: str) -> None:
    """Draw the median of the scores at each offset, and the band of nine tenths of them."""
    known = _known(axes, lines, "median", title)
    if not known.height:
        return
    for system, tone in _tones(colour):
        own = known.filter(pl.col("system") == system)
        if own.height:
            band = (own["offset"], own["q05"], own["q95"])
            axes.fill_between(*band, color=tone, alpha=0.2, linewidth=0)
            axes.plot(own["offset"], own["median"], color=tone, marker=".", label=system)
    _offsets(axes, "score")
    style.legend(axes, "median; band of 5 to 95 %")


def _known(axes: Axes, lines: pl.DataFrame, column: str, title: str) -> pl.DataFrame:
    """Head a panel; give the lines that have a value, or say why none has."""
    style.head(axes, title)
    known = lines.filter(pl.col(column).is_not_null())
    if not known.height:
        style.say(axes, lines["reason"].item(0))
    return known


def _most(lines: pl.DataFrame) -> str:
    """The two offsets at which most maxima lie, in words."""
    most = lines.filter(pl.col("peak_share") > 0).sort(
        "peak_share", descending=True, maintain_order=True
    )
    pairs = most.head(2).select("peak_share", "offset").iter_rows()
    return ", then ".join(f"{100 * share:.1f} % at {_signed(offset)}" for share, offset in pairs)


def _signed(offset: int) -> str:
    return f"{offset:+d}" if offset else "0"


def _tones(colour: str) -> tuple[tuple[str, str], ...]:
    return ("base", style.GREY), ("model", colour)


def _offsets(axes: Axes, label: str) -> None:
    ticks = [offset for offset in OFFSETS if offset % 5 == 0]
    axes.set_xticks(ticks, map(_signed, ticks))
    axes.set_xticks(OFFSETS, minor=True)
    limits = {"xlim": (-REACH - 0.8, REACH + 0.8), "ylim": (0, 1.03)}
    axes.set(**limits, xlabel="nt from the site", ylabel=label)
