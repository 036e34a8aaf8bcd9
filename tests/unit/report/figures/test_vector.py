"""Panels become drawings that follow the page, and that say what they show."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np

from genebatch.report.figures import style, vector


def figure(count=2, title="All of it"):
    with style.panels(count, title) as (drawn, panels):
        for number, axes in enumerate(panels):
            style.head(axes, f"a < b & {number}")
            axes.plot(np.arange(50), np.sin(np.arange(50)), "o-", color=style.colour(number))
    return drawn


def test_each_panel_is_a_drawing_that_says_what_it_shows():
    one, other = vector.drawings(figure(), "f")
    for number, drawing in enumerate((one, other)):
        whole = drawing.svg.replace("xlink:href", "href")
        root = ElementTree.fromstring(whole)
        assert root.get("aria-label") == f"All of it: a < b & {number}"
        assert root.get("role") == "img"
        assert drawing.title == "All of it"
        texts = [text.text for text in root.iter("text")]
        assert f"a < b & {number}" in texts
        assert f"a < b & {1 - number}" not in texts


def test_panels_are_drawn_in_the_order_asked_for():
    (only,) = vector.drawings(figure(3), "f", [2])
    assert "a &lt; b &amp; 2" in only.svg


def test_colours_are_those_of_the_style_sheet():
    one, other = (drawing.svg for drawing in vector.drawings(figure(), "f"))
    assert "stroke: var(--class-0)" in one
    assert "stroke: var(--class-1)" in other
    assert not re.findall(r"#[0-9a-f]{6}\b", one)


def test_drawings_share_no_name_and_load_nothing():
    drawn = [drawing.svg for name in "fg" for drawing in vector.drawings(figure(), name)]
    names = [re.findall(r' id="([^"]*)"', svg) for svg in drawn]
    assert all(names)
    assert len({name for own in names for name in own}) == sum(map(len, names))
    for svg in drawn:
        assert "http" not in svg
        used = set(re.findall(r"#([\w.-]+)", svg))
        assert used == set(re.findall(r' id="([^"]*)"', svg))


def test_a_figure_may_be_saved_before_it_is_drawn_for_the_page(tmp_path):
    drawn = figure()
    style.save_figure(tmp_path / "f.png", drawn)
    assert len(vector.drawings(drawn, "f")) == 2


def test_labels_of_ticks_do_not_overlap():
    with style.panels(1, "t", size=(2.2, 2.0)) as (drawn, (axes,)):
        axes.set_xticks(np.linspace(0.99998, 0.99999, 9))
        axes.set_xticklabels([f"{value:.7f}" for value in np.linspace(0.99998, 0.99999, 9)])
    style.lay_out(drawn)
    renderer = drawn.canvas.get_renderer()
    boxes = [
        label.get_window_extent(renderer)
        for label in axes.get_xticklabels()
        if label.get_visible() and label.get_text()
    ]
    assert 1 <= len(boxes) < 9
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
