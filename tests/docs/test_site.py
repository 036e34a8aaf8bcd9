"""The documentation builds without a warning, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import REPOSITORY

PAGES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ("*.md", "config/*.md", "docs/**/*.md", "benchmarks/*.md")
    for path in REPOSITORY.glob(pattern)
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, made as `make docs` makes it."""
    folder = tmp_path_factory.mktemp("site")
    how = ["-W", "--keep-going", "--quiet", "-b", "html", "-c", "docs", ".", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *how], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_has_every_key_and_command(site):
    keys = (site / "docs/reference/configuration.html").read_text()
    assert "confval-learner.max_bin" in keys
    commands = (site / "docs/reference/cli.html").read_text()
    assert "--least-posterior" in commands
    assert "docs/index.html" in (site / "index.html").read_text()


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_of_a_page_lead_to_files(page):
    text = without_code((REPOSITORY / page).read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    targets = {link.partition("#")[0] for link in links if "://" not in link}
    folder = (REPOSITORY / page).parent
    assert [target for target in sorted(targets) if not (folder / target).exists()] == []
