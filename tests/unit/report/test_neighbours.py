"""What the page says about the neighbours of sites."""

import polars as pl
import pytest

from genebatch.metrics.neighbours import TEST, TRAINING, summarise
from genebatch.report.figures import style
from genebatch.report.figures.neighbours import draw_neighbours
from genebatch.report.neighbours import neighbour_facts
from genebatch.report.numbers import DASH
from tests.builders.windows import CLASSES, MEASURED, made_windows


def table(**shifts):
    """Test genes with shifted scores, and two batches of which one has the same shift."""
    windows = [made_windows(**shifts), made_windows(batch="b000")]
    windows.append(made_windows(**shifts, batch="b001"))
    return summarise(pl.concat(windows), CLASSES, MEASURED)


def test_calls_on_the_sites_are_said_to_sit_there():
    facts = neighbour_facts(table())
    assert facts["verdict"].startswith("Calls sit on the sites (donor: 100.0 %")
    assert not facts["beside"]
    assert not facts["batches_beside"]
    assert [(line.name, line.model.on_site, line.model.other) for line in facts["lines"]] == [
        ("donor", "100.0 %", DASH),
        ("acceptor", "100.0 %", DASH),
    ] * 2


@pytest.mark.parametrize("shift", [1, -2])
def test_a_shift_is_said_with_its_offset_and_share(shift):
    facts = neighbour_facts(table(model_at=shift))
    assert (
        f"beside the sites: donor at {shift:+d} and acceptor at {shift:+d} nt" in facts["verdict"]
    )
    assert (
        f"0.0 % of the highest probabilities on the site, most others at {shift:+d}: 100.0 %"
        in (facts["verdict"])
    )
    assert facts["beside"]
    assert [line.genes for line in facts["batches_beside"]] == ["b001", "b001"]
    line = facts["lines"][0]
    assert (line.base.on_site, line.base.beside) == ("100.0 %", False)


def test_what_is_not_known_is_said_with_the_reason():
    nothing = made_windows().clear()
    facts = neighbour_facts(summarise(nothing, CLASSES, dict.fromkeys(MEASURED, "no position")))
    assert facts["verdict"] == "It is not known whether calls sit on the sites: no position."
    assert facts["lines"][0].model.judged == 0
    assert not facts["beside"]


def test_the_figure_has_two_panels_for_each_class_and_part():
    figure = draw_neighbours(table(base_at=1))
    heads = [axes.get_title(loc="left") for axes in figure.axes]
    assert heads == [
        f"{name}, {genes}"
        for genes in ("test genes", "training genes")
        for name in CLASSES
        for _ in range(2)
    ]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["base: 100.0 % at +1", "model: 100.0 % at 0"]
    half = [text.get_text() for text in figure.axes[4].get_legend().get_texts()]
    assert half[0] == "base: 50.0 % at 0, then 50.0 % at +1"
    assert style.png(figure).startswith(b"\x89PNG")


def test_a_figure_without_scores_gives_the_reason():
    reasons = {TEST: "no position", TRAINING: "no position"}
    figure = draw_neighbours(summarise(made_windows().clear(), CLASSES, reasons))
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"no position"}
