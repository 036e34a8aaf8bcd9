"""Writes the reference of all keys from the schema, and links the keys that other pages name."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from genebatch.config.schema import RENAMED, load_schema
from genebatch.config.wanted import wanted

# Under these pages a name with a dot may be of an earlier version.
PAST = ("CHANGELOG", "benchmarks/")
FILES = ("json", "parquet", "png", "tsv")  # such as calibration.png, beside the key calibration
LOG = logging.getLogger(__name__)


def keys(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and schemas of all keys below a schema, sections before their keys."""
    for name, below in schema.get("properties", {}).items():
        yield prefix + name, below
        yield from keys(below, f"{prefix}{name}.")


def value(content: Any) -> str:
    """A value as YAML in one line."""
    return f"`{json.dumps(content, ensure_ascii=False)}`"


def described(name: str, key: Mapping[str, Any]) -> str:
    """The entry of one key."""
    lines = [f"::::{{confval}} {name}", f":type: {wanted(key)}"]
    if "default" in key:
        lines.append(f":default: {value(key['default'])}")
    lines += ["", marked(key["description"], key)]
    if "examples" in key:
        lines += ["", f"In the built-in example: {value(key['examples'][0])}"]
    return "\n".join([*lines, "::::"])


def marked(text: str, key: Mapping[str, Any]) -> str:
    """A description with keys as code, and values of its key where a sentence begins with one."""
    sections = "|".join(load_schema()["properties"])
    text = re.sub(rf"\b(?:{sections})\.[a-z_]+(?:\.[a-z_]+)*\b(?!`)", r"`\g<0>`", text)
    values = "|".join(map(str, {*key.get("enum", ()), "auto", "null"} - {True, False, None}))
    return re.sub(rf"(^|[.:] )({values})\b(?= [a-z]|:)", r"\1`\2`", text)


class ConfigKeys(SphinxDirective):
    """`config-keys`: every section of the configuration with its keys."""

    def run(self) -> list[nodes.Node]:
        """Parse the entries where the directive stands."""
        parts = []
        for name, key in keys(load_schema()):
            top = "." not in name
            if top and "properties" in key:
                parts += [f"## {name}", marked(key["description"], key)]
            elif top:
                parts += [f"## {name}", described(name, key)]
            elif "properties" in key and "default" not in key:
                parts += [f"**{name}.** {marked(key['description'], key)}"]
            else:
                parts.append(described(name, key))
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


class LinkedKeys(SphinxPostTransform):
    """Makes a link of each key that a page names as code; an unknown key is a warning."""

    default_priority = 200

    def run(self, **_: Any) -> None:
        """Look at every piece of code in running text."""
        schema = load_schema()["properties"]
        known = {name for name, _ in keys({"properties": schema})}
        known |= {f"{section}.{old}" for section, old in RENAMED}
        domain: StandardDomain = self.env.domains.standard_domain
        past = self.env.docname.startswith(PAST)
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext().partition(":")[0]
            section, _, rest = text.partition(".")
            if section not in schema or not re.fullmatch(r"[a-z_.]+", rest) or rest in FILES:
                continue
            if text not in known and not past:
                LOG.warning("%s is no key of the configuration", text, location=literal)
            target = domain.objects.get(("confval", text))
            if target is None or isinstance(literal.parent, nodes.reference):
                continue
            page, anchor = target
            builder = self.app.builder
            link = make_refnode(builder, self.env.docname, page, anchor, literal.deepcopy())
            literal.replace_self(link)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx of the directive and the transform."""
    app.add_directive("config-keys", ConfigKeys)
    app.add_post_transform(LinkedKeys)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
