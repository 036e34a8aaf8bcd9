"""Gives figures their panels, colours, titles and legends, and saves them as PNGs."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from genebatch.io.files import whole

DPI = 100
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
    "lines.linewidth": 1.8,
}
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
        # `savefig` draws the whole figure once more to lay it out.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        # Without the version of Matplotlib, which says nothing about the figure.
        figure.canvas.print_png(content, metadata={"Software": None})
    return content.getvalue()


def save_figure(path: str | Path, figure: Figure) -> None:
    """Write a figure as a PNG file, whole."""
    content = png(figure)
    with whole(path) as temporary:
        temporary.write_bytes(content)


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


def say(axes: Axes, text: str) -> None:
    """Write a text instead of a drawing."""
    middle = {"horizontalalignment": "center", "verticalalignment": "center", "color": "#555555"}
    axes.text(0.5, 0.5, plain(text), transform=axes.transAxes, wrap=True, **middle)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
