"""Writes one section of a benchmark's page and keeps the others."""

import re
from pathlib import Path


def write_section(page: Path, title: str, text: str) -> None:
    """Replace the section under `## title`, or add it at the end.

    Parameters
    ----------
    page
        A Markdown file that is there.
    title
        Words of the heading of second level.
    text
        What follows the heading, with deeper headings only.
    """
    before, *sections = re.split(r"^(?=## )", page.read_text(), flags=re.M)
    heading = f"## {title}\n"
    written = f"{heading}\n{text.strip()}\n"
    found = [section.startswith(heading) for section in sections]
    if any(found):
        sections[found.index(True)] = written
    else:
        sections.append(written)
    page.write_text("\n".join(part.rstrip("\n") + "\n" for part in [before, *sections]))
