"""What a key of the configuration takes, in words, from its JSON Schema."""

import re
from collections.abc import Mapping
from typing import Any

WORDS = {"integer": "a whole number", "number": "a number", "string": "text"}
WORDS |= {"boolean": "true or false", "null": "null", "array": "a list", "object": "a map"}
LIMITS = {"minimum": "from", "exclusiveMinimum": "above"}
LIMITS |= {"maximum": "up to", "exclusiveMaximum": "below"}
# A pattern that takes some words and nothing else, such as ^(light|spliceai)$.
SOME_WORDS = re.compile(r"\^\(?([a-z]+(?:\|[a-z]+)*)\)?\$")


def wanted(schema: Mapping[str, Any]) -> str:
    """Say what a schema takes, such as "a whole number from 2, or auto".

    Parameters
    ----------
    schema
        The JSON Schema of a key. Where it has a pattern that is more than a list of words, its
        `title` says in words what the pattern takes.
    """
    if "enum" in schema:
        names = {None: "null", True: "true", False: "false"}
        return _or([names.get(value, str(value)) for value in schema["enum"]])
    kinds = schema.get("type", [])
    last = {"null": 2, "string": 1}  # after numbers, lists and maps
    ordered = sorted(
        [kinds] if isinstance(kinds, str) else kinds, key=lambda kind: last.get(kind, 0)
    )
    return _or([way for kind in ordered for way in _ways(kind, schema)])


def _ways(kind: str, schema: Mapping[str, Any]) -> list[str]:
    """What values of one type a schema takes."""
    if kind == "string":
        return _texts(schema)
    if kind == "array":
        return [_list(schema)]
    if kind == "object":
        return [_map(schema)]
    limits = [f"{word} {schema[name]}" for name, word in LIMITS.items() if name in schema]
    number = kind in ("integer", "number") and limits
    return [f"{WORDS[kind]} {' and '.join(limits)}" if number else WORDS[kind]]


def _texts(schema: Mapping[str, Any]) -> list[str]:
    if "title" in schema:
        return [schema["title"]]
    words = SOME_WORDS.fullmatch(schema.get("pattern", ""))
    if words:
        return words[1].split("|")
    return ["text that is not empty" if schema.get("minLength") else WORDS["string"]]


def _list(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    number = "values"
    if least:
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        number = f"{least if least == most else limits} values"
    different = ", all different" if schema.get("uniqueItems") else ""
    items = wanted(schema.get("items", {}))
    return f"a list of {number}{different}" + (f", each {items}" if items else "")


def _map(schema: Mapping[str, Any]) -> str:
    if "properties" in schema:
        *first, last = schema["properties"]
        return f"a map of {', '.join(first)} and {last}"
    values = schema.get("additionalProperties")
    return f"a map from names to {wanted(values)}" if isinstance(values, Mapping) else "a map"


def _or(ways: list[str]) -> str:
    """Join alternatives; where one has commas of its own, another mark sets them apart."""
    *first, last = ways or [""]
    if not first:
        return last
    if all(" " not in way for way in ways):
        return f"{', '.join(first)} or {last}"
    mark = ";" if any("," in way for way in ways) else ","
    return f"{f'{mark} '.join(first)}{mark} or {last}"
