"""A browser shows the page on wide and narrow screens, in the dark and on paper, and sorts it."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from tests.builders.finished_run import ABOVE, SITES, Data, errors, track_files

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on the path"),
]
DESKTOP, PHONE = (1280, 800), (390, 844)
DARK = "--blink-settings=preferredColorScheme=0"
# Runs last in the page, and tells the page around it what a reader would see.
PROBE = """<script>
const seen = {wide: innerWidth, first: document.querySelector(".contents").offsetTop};
const root = document.documentElement;
seen.closed = [...document.querySelectorAll("details.section")].filter((s) => !s.open).length;
location.hash = "#thresholds";
dispatchEvent(new HashChangeEvent("hashchange"));
seen.opened = document.getElementById("thresholds").open;
for (const section of document.querySelectorAll("details")) section.open = true;
seen.content = root.scrollWidth;
const burst = (card) => card.scrollWidth > card.clientWidth;
const cells = document.querySelectorAll(".gains td.big");
seen.burst = [...document.querySelectorAll(".card")].filter(burst).length;
// Shares that are nearly 1 are the longest that the first screen shows.
for (const cell of cells) {
  cell.textContent = ">.999999 → >.999999";
  cell.classList.add("long");
}
seen.burst_long = [...document.querySelectorAll(".card")].filter(burst).length;
const table = document.querySelector("table.candidates");
const button = table.tHead.rows[0].cells[1].firstElementChild;
const values = () => [...table.tBodies[0].rows].map((row) => +row.cells[1].firstChild.title);
seen.before = values();
const states = [];
for (let press = 0; press < 2; press++) {
  button.focus();
  seen.focused = document.activeElement === button;
  button.click();
  states.push([button.parentElement.ariaSort, values()]);
}
seen.sorted = states;
seen.texts = document.querySelectorAll("svg text").length;
parent.postMessage(JSON.stringify(seen), "*");
</script>"""
AROUND = """<!DOCTYPE html><body style="margin: 0"><pre id="seen"></pre>
<script>addEventListener("message", (e) => {{ seen.textContent = e.data; }});</script>
<iframe src="{page}" style="border: 0; width: {width}px; height: {height}px"></iframe>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run with tracks, as a file."""
    data = Data(tmp_path_factory.mktemp("shown"), classes=["neither", *SITES], rest="neither")
    lines = errors("default", (0.5, 0.5), (1300, 26, 1127, 2, 173, 24))
    data.report(data.run((ABOVE,) * 3) | track_files(data.folder, lines))
    return data.folder / "index.html"


def browse(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Start the browser without a window."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
    logged = ("--enable-logging=stderr", "--v=0")
    command = [BROWSER, *flags, *logged, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module", params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def seen(request, page):
    """What a reader sees at one width; what the console says."""
    width, height = request.param
    watched = page.with_name(f"watched_{width}.html")
    watched.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    around = page.with_name(f"around_{width}.html")
    around.write_text(AROUND.format(page=watched.name, width=width, height=height))
    done = browse("--virtual-time-budget=10000", "--dump-dom", around.as_uri())
    told = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return json.loads(html.unescape(told.group(1))) | {"width": width, "console": console}


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["console"] == []


def test_the_page_is_not_wider_than_the_screen(seen):
    assert seen["wide"] == seen["width"]
    assert seen["content"] == seen["wide"]


def test_nothing_is_wider_than_its_box_on_the_first_screen(seen):
    assert seen["burst"] == seen["burst_long"] == 0


def test_the_first_screen_needs_no_scrolling_on_a_desktop(seen):
    assert seen["width"] != DESKTOP[0] or seen["first"] <= DESKTOP[1]


def test_sections_are_folded_and_a_link_opens_its_section(seen):
    assert seen["closed"] > 8
    assert seen["opened"]


def test_a_head_that_is_pressed_sorts_its_table(seen):
    values = seen["before"]
    assert len(values) > 5
    assert values == sorted(values, reverse=True)
    assert seen["focused"]
    assert seen["sorted"] == [["descending", values], ["ascending", sorted(values)]]


def test_the_text_of_figures_is_text(seen):
    assert seen["texts"] > 100


def test_the_page_is_drawn_in_light_and_dark(page, tmp_path):
    shades = []
    for name, flags in (("light", ()), ("dark", (DARK,))):
        path = tmp_path / f"{name}.png"
        size = f"--window-size={DESKTOP[0]},{DESKTOP[1]}"
        browse(*flags, size, f"--screenshot={path}", page.as_uri())
        pixels = image.imread(path)[:, :, :3]
        assert pixels.shape == (*DESKTOP[::-1], 3)
        assert len(np.unique((pixels * 255).astype(int) @ [1 << 16, 1 << 8, 1])) > 200
        shades.append(np.median(pixels))
    assert shades[0] > 0.9
    assert shades[1] < 0.2


def test_paper_has_the_folded_sections(page, tmp_path):
    path = tmp_path / "page.pdf"
    browse(f"--print-to-pdf={path}", "--no-pdf-header-footer", page.as_uri())
    pages = path.read_bytes().count(b"/Type /Page\n")
    assert pages >= 5
