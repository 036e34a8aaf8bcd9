"""Renders the page and the model card from their facts."""

import base64
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2

PAGE, CARD = "report.html.jinja", "model_card.md.jinja"


def render_page(facts: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """Render the page as one HTML file that needs no other.

    Parameters
    ----------
    facts
        What `genebatch.report.page.page_facts` gives.
    images
        Name to the content of a PNG file; they become part of the page.
    """
    return _render(PAGE, {**facts, "images": {name: _embedded(images[name]) for name in images}})


def render_card(facts: Mapping[str, Any]) -> str:
    """Render the model card as Markdown."""
    return _render(CARD, facts)


def _embedded(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def _render(template: str, facts: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    text = files("genebatch.report").joinpath("templates", template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts)


def _markdown(value: object) -> str:
    """Escape text so that Markdown shows it as it is, in a table as well."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]|#~$" else mark for mark in text)
