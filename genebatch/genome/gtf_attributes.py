"""Parses the attributes of GTF lines: `key "value"; key value; ...`."""

import re
from collections.abc import Sequence

import polars as pl

# Attributes in which every value is plain: no semicolon, quote or backslash inside of it. A field
# is then what lies between two semicolons, and a search from there finds the same as a parser.
FIELD = r'\s*(?:[^\s";#]+(?:\s+(?:"[^"\\;]*"|[^";\\#]*))?)?\s*'
PLAIN = rf"^{FIELD}(?:;{FIELD})*$"
KEY = re.compile(r'[\s;]*([^\s";]+)\s*')
# A quote ends a value if a semicolon or the end of the attributes follows.
QUOTED = re.compile(r'"((?:[^"\\]|\\.|"(?!\s*(?:;|$)))*)"\s*(?:;|$)', re.DOTALL)
BARE = re.compile(r"([^;]*)(?:;|$)")


def parse_attributes(text: str) -> dict[str, str]:
    """Values by key; of a repeated key the first. See `parse_values`."""
    return {key: values[0] for key, values in parse_values(text).items()}


def parse_values(text: str) -> dict[str, list[str]]:
    """All values of each key, in their order.

    Semicolons and escaped quotes inside of a quoted value belong to it. A field that begins with
    # and all after it are a comment.
    """
    values: dict[str, list[str]] = {}
    place = 0
    while key := KEY.match(text, place):
        if key[1].startswith("#"):
            break
        value = QUOTED.match(text, key.end()) or BARE.match(text, key.end())
        plain = re.sub(r"\\(.)", r"\1", value[1]).strip()
        values.setdefault(key[1], []).append(plain)
        place = value.end()
    return values


def with_values(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Add a column for each named attribute, null where it is absent or empty.

    Keeps the order of the lines.
    """
    plain = frame["attributes"].str.contains(PLAIN)
    found = frame.with_columns(map(_plain_value, names))
    if plain.all():
        return found
    odd = frame.filter(~plain)
    parsed = [parse_attributes(text) for text in odd["attributes"]]
    columns = [
        pl.Series(name, [values.get(name) or None for values in parsed], pl.String)
        for name in names
    ]
    return pl.concat([found.filter(plain), odd.with_columns(columns)]).sort(
        "line", maintain_order=True
    )


def joined_values(attributes: pl.Series, name: str) -> pl.Series:
    """A text with all values of an attribute in each line; empty where there is none."""
    fields = attributes.str.extract_all(rf"(?:^|;)\s*{name}\s[^;]*").list.join("")
    odd = ~attributes.str.contains(PLAIN) & (fields != "")
    parsed = [",".join(parse_values(text).get(name, [])) for text in attributes.filter(odd)]
    return fields.scatter(odd.arg_true(), pl.Series(parsed, dtype=pl.String))


def _plain_value(name: str) -> pl.Expr:
    value = pl.col("attributes").str.extract(rf'(?:^|;)\s*{name}\s+"?\s*([^\s";][^";]*)')
    return value.str.strip_chars_end().alias(name)
