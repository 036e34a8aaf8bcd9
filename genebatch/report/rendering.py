"""Renders the page and the model card from their facts."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jinja2

from genebatch.report.figures.vector import Drawing

PAGE, CARD = "report.html.jinja", "model_card.md.jinja"


def render_page(facts: Mapping[str, Any], figures: Mapping[str, Sequence[Drawing]]) -> str:
    """Render the page as one HTML file that needs no other.

    Parameters
    ----------
    facts
        What `genebatch.report.page.page_facts` gives.
    figures
        Name to the drawings of a figure; they become part of the page.
    """
    return _templates().get_template(PAGE).render(**facts, figures=figures)


def render_card(facts: Mapping[str, Any]) -> str:
    """Render the model card as Markdown."""
    return _templates().get_template(CARD).render(**facts)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("genebatch.report"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    return environment


def _markdown(value: object) -> str:
    """Escape text so that Markdown shows it as it is, in a table as well."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]|#~$" else mark for mark in text)
