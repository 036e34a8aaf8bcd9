"""The page is whole in one file, can be navigated, read without seeing it, and read at all."""

import itertools
import re

import pytest

from genebatch.report.contents import SECTIONS
from tests.builders import REPOSITORY
from tests.builders.finished_run import VOWELS
from tests.builders.pages import Page, contrast, themes

pytestmark = pytest.mark.slow
MOST_BYTES = 3_000_000
HEADINGS = ("h1", "h2", "h3", "h4")


@pytest.fixture(params=["ordinary", "bare"])
def page(request, written, bare):
    """The text of the page of a run with base scores, and of one without."""
    return (written("ordinary") if request.param == "ordinary" else bare)[1]


def test_links_inside_of_the_page_lead_somewhere(page):
    read = Page(page)
    names = read.having("id")
    assert len(names) == len(set(names))
    leads = {address[1:] for address in read.loaded if address.startswith("#")}
    assert len(leads) > 8
    assert leads <= set(names)
    labels = {name for value in read.having("aria-labelledby") for name in value.split()}
    assert labels <= set(names)


def test_every_section_is_in_the_contents(page):
    sections = re.findall(r'<details class="section" id="(\w+)">', page)
    contents = page.split('<nav class="contents"')[1].split("</nav>")[0]
    assert re.findall(r'href="#(\w+)"', contents) == sections
    assert set(sections) <= set(SECTIONS)


def test_every_figure_says_what_it_shows(page):
    drawings = [found for tag, found in Page(page).elements if tag == "svg"]
    assert len(drawings) > 12
    assert all(found["role"] == "img" and found["aria-label"] for found in drawings)
    texts = [found["aria-label"] for found in drawings]
    assert len(set(texts)) == len(texts)


def test_headings_skip_no_level(page):
    levels = [int(tag[1]) for tag, _ in Page(page).elements if tag in HEADINGS]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_page_is_small_and_names_its_language(page):
    assert len(page.encode()) < MOST_BYTES
    assert '<html lang="en">' in page
    assert 'name="viewport"' in page


def test_tables_that_are_sorted_have_one_row_of_heads_for_every_column(page):
    tables = re.findall(r'<table class="[^"]*sortable">(.*?)</table>', page, re.S)
    assert len(tables) > 4
    for table in tables:
        head, body = table.split("<tbody>")
        assert head.count("<tr>") == 1
        for row in body.split("<tr")[1:]:
            cells = len(re.findall(r"<t[hd][ >]", row))
            assert cells == len(re.findall(r"<th[ >]", head))


def test_colours_have_the_contrast_that_wcag_asks_for(page):
    found = themes(page)
    assert len(found) == 3
    for theme in found:
        for paper in ("paper", "card", "row"):
            for ink in ("ink", "soft", "link", "good", "bad", "warn"):
                assert contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)
        assert contrast(theme["base"], theme["card"]) >= 4.5
        assert contrast(theme["base"], theme["paper"]) >= 4.5
        assert contrast(theme["on-tag"], theme["tag"]) >= 4.5
        drawn = [name for name in theme if name.startswith("class-")]
        assert len(drawn) == 6
        assert all(contrast(theme[name], theme["panel"]) >= 3 for name in (*drawn, "axis"))


def test_every_colour_that_is_used_is_defined_in_every_theme(page):
    used = set(re.findall(r"var\(--([\w-]+)\)", page))
    assert len(used) > 15
    assert all(used <= set(theme) for theme in themes(page))


def test_without_base_scores_there_is_no_column_for_them(bare, written):
    columns = r"<th[^>]*>([^<]*base[^<]*)</th>"
    assert re.findall(columns, written("ordinary")[1])
    page = bare[1]
    assert not re.findall(columns, page)
    assert 'class="base">base' not in page
    first = Page(page.split('<nav class="contents"')[0]).text
    assert "base score" not in first
    assert "How good is it?" in first
    assert all(re.search(rf"{name} \.\d+ \.5\d* to \.9\d* \.\d+", first) for name in VOWELS)


def test_snakemakes_report_has_the_titles_of_the_page():
    text = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    categories = set(re.findall(r'\bcategory="([^"]*)"', text))
    categories |= set(re.findall(r'evaluation_figure\("\w+", "([^"]*)"\)', text))
    assert len(categories) > 6
    assert categories <= {*SECTIONS.values(), "Report"}
