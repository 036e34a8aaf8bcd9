"""Writes the panels of a figure as SVG for the page, whose style sheet gives them their colours."""

import re
from collections.abc import Sequence
from html import escape
from io import StringIO
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from genebatch.report.figures import style

POINTS = 72  # in an inch
PAD = 0.05  # inches around a panel; widths of letters differ between programs
# Colours of figures to variables of the style sheet (`templates/page/colours.css`). Black is
# left out by Matplotlib, so that it is the colour of the text of the page.
VARIABLES = {colour.lower(): f"--class-{number}" for number, colour in enumerate(style.COLOURS)}
VARIABLES |= {
    style.GREY: "--base",
    style.PALE: "--pale",
    style.STYLE["grid.color"]: "--grid",
    style.STYLE["axes.edgecolor"]: "--axis",
    "#000000": "--ink",
    "#ffffff": "--panel",
}
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
DRAWN = re.compile(r'\b(?:d|x|y|width|height|transform|viewBox|points)="[^"]*"')
DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r'| xmlns(?::xlink)?="[^"]*"|font-family: [^;"]*;? ?',
    re.S,
)
HEAD = re.compile(r"<svg [^>]*>")
IDENTIFIER = re.compile(r' id="([^"]*)"')
REFERENCE = re.compile(r"#([\w.-]+)")


class Drawing(NamedTuple):
    """A panel as SVG, which says what it shows to those who do not see it; its figure's title."""

    svg: str
    title: str


def drawings(figure: Figure, name: str, places: Sequence[int] | None = None) -> list[Drawing]:
    """Give panels of a figure as drawings of their own, which a narrow screen stacks.

    Parameters
    ----------
    figure
        The figure; its title becomes part of what each panel shows in words.
    name
        Begins the identifiers inside of the drawings, so that they differ on a page.
    places
        The panels to draw, in this order; all of them by default.
    """
    with rc_context(style.STYLE):
        style.lay_out(figure)
        title, panels = _said(figure.get_suptitle()), figure.axes
        frames = [_frame(figure, panel) for panel in panels]
        figure.suptitle("")
        canvas = FigureCanvasSVG(figure)
        drawn = []
        for place in range(len(panels)) if places is None else places:
            label = f'role="img" aria-label="{escape(_text(title, panels[place]))}"'
            svg = _tidy(_alone(canvas, panels[place], f"{name}-{place}"))
            head = f"<svg {label} {frames[place]}>"
            drawn.append(Drawing(HEAD.sub(lambda _, head=head: head, svg, count=1), title))
        return drawn


def _frame(figure: Figure, panel: Axes) -> str:
    """The size of a panel with its texts, and the part of the figure that it is, in points."""
    box = panel.get_tightbbox(figure.canvas.get_renderer())
    inches = Bbox(box.transformed(figure.dpi_scale_trans.inverted())).padded(PAD)
    left, top = POINTS * inches.x0, POINTS * (figure.get_figheight() - inches.y1)
    width, height = POINTS * inches.width, POINTS * inches.height
    seen = f"{left:.2f} {top:.2f} {width:.2f} {height:.2f}"
    return f'width="{width:.2f}pt" height="{height:.2f}pt" viewBox="{seen}"'


def _alone(canvas: FigureCanvasSVG, panel: Axes, name: str) -> str:
    """Draw one panel of a figure as an SVG file."""
    for axes in canvas.figure.axes:
        axes.set_visible(axes is panel)
    content = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        canvas.print_svg(content, metadata={"Date": None})
    return content.getvalue()


def _tidy(text: str) -> str:
    """Keep what a browser needs of an SVG file inside of a page."""
    text = DROPPED.sub("", text[text.index("<svg") :])
    text = DRAWN.sub(lambda found: LONG_NUMBER.sub(_rounded, found.group()), text)
    text = COLOUR.sub(_themed, text)
    used = set(REFERENCE.findall(text))
    text = IDENTIFIER.sub(lambda found: found.group() * (found.group(1) in used), text)
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _rounded(number: re.Match) -> str:
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def _themed(colour: re.Match) -> str:
    variable = VARIABLES.get(colour.group())
    return colour.group() if variable is None else f"var({variable})"


def _text(title: str, panel: Axes) -> str:
    head = _said(panel.get_title(loc="left"))
    return f"{title}: {head}" if title and head else title or head


def _said(text: str) -> str:
    """A text as it is read, without the escapes of formulas."""
    return text.replace(r"\$", "$")
