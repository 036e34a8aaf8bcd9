"""Finds what the columns of all shards mean, whatever type each file stores them in."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from genebatch.io.files import InputError
from genebatch.io.tables import open_shard

# Columns that hold the index of a data frame, by name; pandas names others in the metadata.
INDEX_NAME = re.compile(r"__index_level_\d+__|__null_dask_index__")
# What the unnamed row names of a CSV file are called; they are its first column.
UNNAMED = ("", "Unnamed: 0", "...1")
WHOLE_DIGITS = 18  # of a decimal number that fits into int64


class TableSchema(NamedTuple):
    """What all shards together hold.

    Attributes
    ----------
    schema
        The columns with the type that they are read as. Columns of folders come last, as text.
    index
        Columns that are the index of a data frame in at least one shard.
    stored
        For each shard the type of each column in its file.
    folders
        For each shard the columns that its folders stand for.
    odd
        Of columns whose types differ: the first shard whose type is not the most frequent one.
    """

    schema: pa.Schema
    index: list[str]
    stored: list[dict[str, pa.DataType]]
    folders: list[dict[str, str | None]]
    odd: dict[str, Path]

    def casts(self, shard: int, text: Iterable[str], numbers: Iterable[str]) -> dict[str, str]:
        """Columns of a shard that must be read as another type, with the name of that type.

        A column without any value is read as text or as float32, by what it is used for.
        """
        wanted = {name: _unless_null(self.schema.field(name).type, pa.string()) for name in text}
        kinds = {name: self.schema.field(name).type for name in numbers}
        wanted |= {name: _unless_null(kind, pa.float32()) for name, kind in kinds.items()}
        stored = self.stored[shard]
        return {
            name: str(kind)
            for name, kind in wanted.items()
            if name in stored and not _reads_as(stored[name], kind)
        }


def read_schema(
    paths: Sequence[Path], folders: Sequence[Mapping[str, str | None]], needed: Iterable[str] = ()
) -> TableSchema:
    """Check that all shards have the same columns, in types that mean the same.

    Text may be stored in any way, numbers in any width, and a shard may have no value of a column.
    Index columns may be in some shards only, unless they are `needed`.

    Parameters
    ----------
    paths
        The shards.
    folders
        For each shard the columns that its folders stand for.
    needed
        Columns that the config names.

    Raises
    ------
    InputError
        Naming the shard that differs from most of the others, and how.
    """
    schemas = [_schema_of(path) for path in paths]
    index = sorted({name for schema in schemas for name in index_columns(schema)})
    ignored = set(index) - set(needed)
    stored = [dict(zip(schema.names, schema.types, strict=True)) for schema in schemas]
    names = list(dict.fromkeys(name for schema in schemas for name in schema.names))
    differences: dict[Path, list[str]] = {path: [] for path in paths}
    fields, odd = [], {}
    for name in names:
        kinds = [columns.get(name) for columns in stored]
        if name not in ignored:
            for path, line in _absences(name, kinds, paths):
                differences[path].append(line)
        meant = _common([meaning(kind) for kind in kinds if kind is not None])
        families = [None if kind is None else _family(kind) for kind in kinds]
        usual = _most_frequent([family for family in families if family not in (None, "null")])
        unusual = [n for n, family in enumerate(families) if family not in (None, "null", usual)]
        if meant is None:
            for number in unusual or range(1, len(paths)):
                line = f"has column '{name}' as {families[number]}, not {usual}"
                differences[paths[number]].append(line)
        elif unusual:
            odd[name] = paths[unusual[0]]
        fields.append(pa.field(name, meant or pa.string()))
    _refuse(differences)
    given = _folder_names(folders, set(names))
    fields += [pa.field(name, pa.string()) for name in given]
    kept = [{name: columns[name] for name in given} for columns in folders]
    return TableSchema(pa.schema(fields), index, stored, kept, odd)


def check_same_columns(columns: Mapping[Path, Sequence[str]]) -> list[str]:
    """Check that tables of text have the same columns in any order; give those of all of them.

    A first column without a name may be in some files only.

    Parameters
    ----------
    columns
        Names in the first line of each file.

    Raises
    ------
    InputError
        Naming the file that differs from most of the others, and how.
    """
    paths = list(columns)
    unnamed = {own[0] for own in columns.values() if own[0] in UNNAMED}
    differences: dict[Path, list[str]] = {path: [] for path in paths}
    names = dict.fromkeys(name for own in columns.values() for name in own)
    sets = [set(own) for own in columns.values()]
    for name in names:
        kinds = [pa.null() if name in own else None for own in sets]
        for path, line in _absences(name, kinds, paths):
            differences[path] += [] if name in unnamed else [line]
    _refuse(differences)
    return [name for name in names if all(name in own for own in sets)]


def index_columns(schema: pa.Schema) -> list[str]:
    """Columns that are no data but the index of a data frame of pandas, dask or R."""
    found = {name for name in schema.names if INDEX_NAME.fullmatch(name)}
    found |= set(_named_by_pandas(schema)) & set(schema.names)
    return sorted(found | {name for name in schema.names[:1] if name in UNNAMED})


def meaning(kind: pa.DataType) -> pa.DataType:
    """The type that a column is read as: text, or numbers; other types are as they are."""
    if pa.types.is_dictionary(kind):
        return meaning(kind.value_type)
    if is_text(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        whole = kind.scale <= 0 and kind.precision - kind.scale <= WHOLE_DIGITS
        return pa.int64() if whole else pa.float64()
    return pa.float32() if pa.types.is_float16(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is text."""
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def _named_by_pandas(schema: pa.Schema) -> list[str]:
    """Columns that pandas or dask wrote as an index; the index of a plain range is no column."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return [name for name in described.get("index_columns", []) if isinstance(name, str)]
    except (ValueError, AttributeError, TypeError):  # of another writer, and of another form
        return []


def _schema_of(path: Path) -> pa.Schema:
    with open_shard(path) as file:
        schema = file.schema_arrow
    repeated = [name for name, times in Counter(schema.names).items() if times > 1]
    if repeated:
        raise InputError(f"{path} has several columns '{repeated[0]}'; rename all but one")
    return schema


def _absences(
    name: str, kinds: Sequence[pa.DataType | None], paths: Sequence[Path]
) -> Iterator[tuple[Path, str]]:
    """Shards that lack a column that most have, or have one that most lack."""
    present = [kind is not None for kind in kinds]
    usual = _most_frequent(present)
    words = f"lacks column '{name}'" if usual else f"has the further column '{name}'"
    for path, there in zip(paths, present, strict=True):
        if there != usual:
            yield path, words


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType | None:
    """One type for all values of a column, or None if there is none."""
    distinct = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if not distinct:
        return pa.null()
    if len(distinct) == 1:
        return distinct[0]
    if all(map(pa.types.is_integer, distinct)):
        signed = [kind for kind in distinct if pa.types.is_signed_integer(kind)]
        widest = max(distinct, key=lambda kind: kind.bit_width)
        if len(signed) in (0, len(distinct)):
            return widest
        return pa.int64()  # a value that does not fit is an error where it is read
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in distinct):
        return pa.float64()
    return None


def _family(kind: pa.DataType) -> str:
    """What messages call a type: all ways to store text are one."""
    kind = meaning(kind)
    return "text" if pa.types.is_string(kind) else str(kind)


def _most_frequent(values: Sequence) -> object:
    """The most frequent value; of equally frequent ones the first."""
    return Counter(values).most_common(1)[0][0] if values else None


def _refuse(differences: Mapping[Path, Sequence[str]]) -> None:
    wrong = [path for path, lines in differences.items() if lines]
    if not wrong:
        return
    path = max(wrong, key=lambda path: len(differences[path]))
    other = min(differences, key=lambda path: len(differences[path]))
    lines = sorted(differences[path])
    shown = "; ".join(lines[:5]) + (" ..." if len(lines) > 5 else "")
    more = f"; {len(wrong) - 1:,} more shards differ" if len(wrong) > 1 else ""
    raise InputError(
        f"{path} differs from {other}: {shown} ({len(lines)} differences{more}); "
        "all shards of dataset.path must have the same columns and types"
    )


def _folder_names(folders: Sequence[Mapping[str, str | None]], names: set[str]) -> list[str]:
    """Columns that the folders of all shards give, and no file."""
    first = folders[0] if folders else {}
    return [n for n in first if n not in names and all(n in columns for columns in folders)]


def _unless_null(kind: pa.DataType, other: pa.DataType) -> pa.DataType:
    return other if pa.types.is_null(kind) else kind


def _reads_as(stored: pa.DataType, wanted: pa.DataType) -> bool:
    plain = (pa.string(), pa.large_string())
    return stored == wanted or (stored in plain and wanted in plain)
