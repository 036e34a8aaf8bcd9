"""Reads values of a configuration by the types of the schema: names are text, numbers are numbers.

YAML reads `no` as a truth value, `2020-01-03` as a date and `010` as 8. Snakemake passes what
`--config` nests as text. What can be meant in one way only is taken; the rest is named.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from genebatch.io.files import InputError

# How YAML reads a name that is not in quotes, and an example where the file is not known.
READINGS = {
    bool: "a truth value",
    int: "the number {value}",
    float: "the number {value}",
    datetime: "a time",
    date: "a date",
    type(None): "no value",
}
EXAMPLES = {True: "yes", False: "no", None: "null"}
EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


class _TextLoader(yaml.BaseLoader):
    """Loads all scalars as text, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        for name in names:
            if name != "<<" and names.count(name) > 1:
                line = node.start_mark.line + 1
                raise InputError(f"line {line:,} or below: the key '{name}' is there twice")
        return super().construct_mapping(node, deep=deep)


def text_of_files(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Read configuration files with all scalars as text, later ones merged over earlier ones.

    Files that are no YAML are left out: reading their values says what is wrong.

    Raises
    ------
    InputError
        If a mapping has a key twice, of which YAML would take the last.
    """
    below: dict[str, Any] = {}
    for path in paths:
        try:
            above = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_TextLoader)
        except InputError as error:
            raise InputError(f"configuration file {path}, {error}; leave one out") from error
        except (OSError, ValueError, TypeError, yaml.YAMLError):
            continue
        below = merged(below, above) if isinstance(above, dict) else below
    return below


def merged(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Give the keys of `below`, and over them those of `above`, in nested mappings too."""
    nested = {
        key: merged(below[key], value)
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **nested}


def read_values(
    value: Any,
    schema: Mapping[str, Any],
    problems: list[str],
    where: str = "",
    text: Any = None,
    given: Any = None,
) -> Any:
    """Give a value with the types that the schema wants, as far as it has one meaning.

    Parameters
    ----------
    value
        A configuration or a part of it.
    schema
        Its JSON schema.
    problems
        Takes a line for each value that means several things.
    where
        Keys that lead to the value.
    text
        The same part of the files with scalars as text, where it is known.
    given
        The same part of what `--config` gives, whose nested values YAML has not read yet.
    """
    if isinstance(value, Mapping):
        return _mapping(value, schema, problems, where, text, given)
    if isinstance(value, list | tuple):
        items = schema.get("items", {})
        return [
            read_values(inner, items, problems, f"{where}.{at}", _at(text, at), _at(given, at))
            for at, inner in enumerate(value)
        ]
    kinds = _kinds(schema)
    if "pattern" in schema and len(kinds) > 1:  # a number, or a word such as auto
        if isinstance(value, str) and re.search(schema["pattern"], value):
            return value
        kinds -= {"string"}
    if isinstance(value, str):
        return _from_text(value, kinds, value == given)
    if "string" in kinds:
        fits = _fits(value, kinds) and not _differs(value, text)
        # Quotes do not help where the word is none of the list; the schema tells the list.
        strange = "enum" in schema and _shown(value, text) not in schema["enum"]
        return value if fits or strange else _name(value, problems, where, text)
    if isinstance(value, float) and not math.isfinite(value):
        problems.append(f"'{where}' is {value}; wanted a finite number")
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    return value


def _mapping(
    value: Mapping[Any, Any],
    schema: Mapping[str, Any],
    problems: list[str],
    where: str,
    text: Any,
    given: Any,
) -> dict[Any, Any]:
    known, further = schema.get("properties", {}), schema.get("additionalProperties", {})
    read: dict[Any, Any] = {}
    for key, inner in value.items():
        spelt = next(filter(partial(_same, value=key), text), None) if _is_map(text) else None
        # Where a schema lists no keys, they are names.
        name = key if known else _name(key, problems, f"{where}: {key}", spelt)
        path = f"{where}.{name}" if where else str(name)
        if name in read:
            problems.append(f"'{path}' is there twice; leave one out")
        part = known.get(name, further) if isinstance(name, str) else {}
        read[name] = read_values(
            inner,
            part if isinstance(part, Mapping) else {},
            problems,
            path,
            text.get(spelt) if _is_map(text) else None,
            given.get(key) if _is_map(given) else None,
        )
    return read


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _at(part: Any, place: int) -> Any:
    """An item of a list, or None if there is no such list or item."""
    return part[place] if isinstance(part, list) and place < len(part) else None


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema takes; those of its values where it lists them."""
    if "enum" in schema:
        return {KINDS[type(value)] for value in schema["enum"]}
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _fits(value: Any, kinds: set[str]) -> bool:
    kind = KINDS.get(type(value))
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _from_text(value: str, kinds: set[str], given: bool) -> Any:
    """Read text as what the schema wants; `given` is text that YAML has not read yet."""
    if not (given or kinds):
        return value
    parsed = _parsed(value)
    if "string" in kinds:  # of what the command line gives, null alone is not meant as text
        return None if given and parsed is None and "null" in kinds else value
    return parsed if _fits(parsed, kinds) or not kinds else value


def _is_spelt(value: Any, text: Any) -> bool:
    """Whether the file tells how a value is written."""
    return isinstance(text, str) and _same(text, value)


def _shown(value: Any, text: Any) -> str:
    """How the file writes a value, or an example of it."""
    return text if _is_spelt(value, text) else EXAMPLES.get(value, str(value))


def _name(value: Any, problems: list[str], where: str, text: Any) -> Any:
    """Give a name as text; other readings of YAML that have several spellings are problems."""
    if isinstance(value, str) or type(value) not in READINGS:
        return value
    shown = _shown(value, text)
    if type(value) is int and (shown == str(value) or not _is_spelt(value, text)):
        return str(value)
    reading = READINGS[type(value)].format(value=value)
    problems.append(f"'{where}': YAML reads {shown} as {reading}; write '{shown}' in quotes")
    return shown


def _differs(value: Any, text: Any) -> bool:
    """Whether a whole number is spelt in another way in the file, such as 010 for 8."""
    return type(value) is int and text != str(value) and _same(text, value)


def _same(text: Any, value: Any) -> bool:
    """Whether YAML reads a text as a value; if not, it is the text of something else."""
    parsed = _parsed(text) if isinstance(text, str) and not isinstance(value, str) else text
    return type(parsed) is type(value) and (parsed == value or value != value)


def _parsed(text: str) -> Any:
    """What YAML reads in a text; also numbers without a point, such as 1e-2."""
    if EXPONENT.fullmatch(text.strip()):
        return float(text)
    try:
        return yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text
