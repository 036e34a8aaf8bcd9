"""Gives figures their panels, colours, titles and legends, and saves them as PNGs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import ScaledTranslation

from genebatch.io.files import whole

DPI = 200  # double density: a screen of twice the usual pixels shows it sharp
# Wong 2011, Nature Methods 8:441, without black and yellow; a panel holds one class, so that
# more classes than colours confuse nobody.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#767676"  # the base scores
PALE = "#c9c9c9"  # lines to compare with
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.titlesize": 11,
    "legend.fontsize": 8,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,  # an offset would be written over the label of the axis
    "lines.linewidth": 1.8,
}
TICK_GAP = 0.06  # inches between the labels of neighbouring ticks
LONGEST_NAME = 34  # characters of a feature or class name that fit beside an axis


@contextmanager
def panels(
    count: int,
    title: str,
    size: tuple[float, float] = (3.7, 4.3),
    columns: int = 3,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and its `count` axes of `size` inches each; the style holds in the block."""
    columns = min(columns, count)
    rows = -(-count // columns)
    with rc_context(STYLE):
        shape = (size[0] * columns, size[1] * rows + 0.4)
        figure = Figure(figsize=shape, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(plain(title), x=0.01, horizontalalignment="left")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[count:]:
            axes.remove()
        yield figure, list(grid[:count])


def png(figure: Figure) -> bytes:
    """Give a figure as the content of a PNG file."""
    content = BytesIO()
    with rc_context(STYLE):  # ticks are made while the figure is drawn
        lay_out(figure)
        # Without the version of Matplotlib, which says nothing about the figure.
        figure.canvas.print_png(content, metadata={"Software": None})
    return content.getvalue()


def lay_out(figure: Figure) -> None:
    """Lay a figure out once, and leave out labels of ticks that would overlap."""
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        return  # done before
    # `savefig` draws the whole figure once more to lay it out.
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        _part_ticks(axes)


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure as a PNG file, whole."""
    content = png(figure)
    with whole(path) as temporary:
        temporary.write_bytes(content)


def _part_ticks(axes: Axes) -> None:
    """Hide labels of the horizontal axis until they stand apart: every second, every third, ..."""
    renderer, gap = axes.figure.canvas.get_renderer(), TICK_GAP * axes.figure.dpi
    frame = axes.get_window_extent(renderer)
    ends = [(label, label.get_window_extent(renderer)) for label in axes.get_xticklabels()]
    shown = [
        (label, (box.x0, box.x1))
        for label, box in ends
        if label.get_text() and frame.x0 - 1 <= (box.x0 + box.x1) / 2 <= frame.x1 + 1
    ]
    step = 1
    while step < len(shown) and _overlap([box for _, box in shown[::step]], gap):
        step += 1
    for place, (label, _) in enumerate(shown):
        if place % step:
            label.set_visible(False)


def _overlap(boxes: Sequence[tuple[float, float]], gap: float) -> bool:
    return any(right - gap < left for (_, left), (right, _) in pairwise(boxes))


def colour(number: int) -> str:
    """Give the colour of a class."""
    return COLOURS[number % len(COLOURS)]


def plain(text: str) -> str:
    """Escape dollar signs, so that none begins a formula."""
    return str(text).replace("$", r"\$")


def short(name: str) -> str:
    """Shorten a name to fit beside an axis; its end stays, as names of a family differ there."""
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 13]}…{name[-12:]}"
    return plain(name)


def head(axes: Axes, text: str) -> None:
    """Give a panel its title."""
    axes.set_title(plain(text), loc="left")


def legend(axes: Axes, title: str | None = None) -> None:
    """Put a legend below the panel and its axis label, where it hides nothing."""
    _, labels = axes.get_legend_handles_labels()
    inches = 0.28 + 0.17 * (1 + axes.get_xlabel().count("\n"))
    below = axes.transAxes + ScaledTranslation(0, -inches, axes.figure.dpi_scale_trans)
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below}
    columns = 1 if max(map(len, labels)) > 18 else 2
    axes.legend(title=title, ncols=columns, columnspacing=1.2, **place)


def legend_beside(axes: Axes) -> None:
    """Put a legend to the right of the panel."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1), borderaxespad=0)


def say(axes: Axes, text: str) -> None:
    """Write a text instead of a drawing."""
    middle = {"horizontalalignment": "center", "verticalalignment": "center", "color": "#555555"}
    axes.text(0.5, 0.5, plain(text), transform=axes.transAxes, wrap=True, **middle)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
