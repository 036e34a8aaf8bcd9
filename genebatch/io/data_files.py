"""Finds the files of a table: which files of a folder or glob are data, and in which order.

The rules are those of Spark, Hive, Arrow and DuckDB: names that begin with `_` or `.` are no data,
and a folder `key=value` is a column of the files below it.
"""

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from genebatch.io.files import InputError, first_names

HIDDEN = ("_", ".")
NULL_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and Arrow write for null
OTHER_ENDINGS = (".pq", ".parq", ".parquet", "")  # of Parquet files that `*.parquet` does not find
# Formats that keep Parquet files of removed rows: what tells each, below its folder.
LAKES = {
    "a Delta table": "_delta_log",
    "an Iceberg table": "metadata/*.metadata.json",
    "a Hudi table": ".hoodie",
    "a Lance table": "_versions/*.manifest",
}


class DataFiles(NamedTuple):
    """The Parquet files of a table in their order, and what was left out, in words."""

    paths: list[Path]
    notes: list[str]


def find_shards(path: str | Path, key: str | None = None) -> list[Path]:
    """List the files of a table; see `find_files`."""
    return find_files(path, key).paths


def find_files(path: str | Path, key: str | None = None) -> DataFiles:
    """Find the files of a table: one file, the Parquet files of a folder, or those of a glob.

    A folder is searched at any depth, and links are followed. Files and folders below the path
    whose names begin with `_` or `.` are no data, unless they are called `_key=value`. A file that
    is reached twice counts once. Numbers in names sort by value: part-2 comes before part-10.

    Parameters
    ----------
    path
        What to look for.
    key
        The config key that an error asks the user to set, if there is one.

    Raises
    ------
    InputError
        If nothing is there, if the folder belongs to a format that keeps removed rows, or if it is
        unclear whether a file is data.
    """
    text = str(path)
    remedy = f"; set {key}" if key else ""
    if Path(text).is_file():
        return DataFiles([Path(text)], [])
    search = _Search()
    if Path(text).is_dir():
        _check_above(Path(text))
        found = list(search.files_of(Path(text)))
        if not found:
            raise InputError(f"folder {text} holds no *.parquet file{remedy}")
        return DataFiles(found, search.notes)
    matches = sorted(_matches(Path(text)), key=_order)
    found = [file for match in matches for file in search.matched(match, text)]
    if not found:
        raise InputError(f"{text} does not exist and matches no file{remedy}")
    return DataFiles(found, search.notes)


def folder_columns(path: str | Path, file: str | Path) -> dict[str, str | None]:
    """Columns that the folders `key=value` between the path of a table and a file stand for.

    Names and values are text without percent escapes; None is a null.
    """
    parts = Path(file).parent.relative_to(root_of(path)).parts
    pairs = (part.partition("=") for part in parts)
    return {
        unquote(name): None if value == NULL_VALUE else unquote(value)
        for name, equals, value in pairs
        if name and equals
    }


def root_of(path: str | Path) -> Path:
    """The folder below which a table lies: itself, that of a file, or what a glob begins with."""
    if Path(path).is_dir():
        return Path(path)
    if Path(path).is_file():
        return Path(path).parent
    parts = Path(path).parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:fixed])


def _matches(pattern: Path) -> Iterator[Path]:
    """Paths that match a glob; `glob.glob` never ends where links form a cycle."""
    parts = pattern.parts
    if "**" not in parts:
        yield from map(Path, glob.glob(str(pattern)))
        return
    before, after = parts[: parts.index("**")], parts[parts.index("**") + 1 :]
    for base in glob.glob(str(Path(*before))):
        if not after:
            yield Path(base)
            continue
        for folder in _folders(Path(base), set()):
            yield from _matches(Path(glob.escape(str(folder)), *after))


def _folders(folder: Path, met: set[tuple[int, int]]) -> Iterator[Path]:
    """A folder and all folders below it, each once, however many links lead to it."""
    facts = folder.stat()
    if not folder.is_dir() or (facts.st_dev, facts.st_ino) in met:
        return
    met.add((facts.st_dev, facts.st_ino))
    yield folder
    for entry in sorted(folder.iterdir(), key=lambda entry: _natural(entry.name)):
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _folders(entry, met)


def _order(path: Path) -> list[list[tuple[int, int, str]]]:
    return [_natural(part) for part in path.parts]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key of a name: as text, but for numbers, which compare by value."""
    return [
        (ord("0"), int(token), token) if token[0] in "0123456789" else (ord(token), 0, "")
        for token in re.findall(r"[0-9]+|[^0-9]", name, re.DOTALL)
    ]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


class _Search:
    """Walks folders, and knows what it has met."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._met: dict[tuple[int, int], Path] = {}
        self._checked: set[Path] = set()

    def matched(self, match: Path, pattern: str) -> Iterator[Path]:
        """Give the files of one match of a glob."""
        root = root_of(pattern)
        below = match.relative_to(root).parts
        named = any(part.startswith(HIDDEN) for part in Path(pattern).relative_to(root).parts)
        if not named and any(map(_is_hidden, below)):
            self._note_hidden(match)
            return
        _refuse_lost(match)
        for depth in range(len(below)):
            self._check(root.joinpath(*below[:depth]))
        if match.is_dir():
            yield from self.files_of(match)
        elif self._is_new(match):
            yield match

    def files_of(self, folder: Path) -> Iterator[Path]:
        """Give the Parquet files of a folder at any depth, in their order."""
        if not self._is_new(folder):
            return
        self._check(folder)
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: _natural(entry.name))
        except OSError as error:
            raise InputError(f"folder {folder} cannot be read: {error}") from error
        others = []
        for entry in entries:
            if _is_hidden(entry.name):
                self._note_hidden(entry)
            elif entry.is_dir():
                yield from self.files_of(entry)
            elif entry.name.endswith(".parquet"):
                _refuse_lost(entry)
                if self._is_new(entry):
                    yield entry
            elif entry.suffix.lower() in OTHER_ENDINGS:
                _refuse_lost(entry)
                others += [entry.name] if _is_parquet(entry) else []
        if others:
            raise InputError(
                f"folder {folder} holds Parquet files whose names do not end in .parquet "
                f"({first_names(others)}); rename them so, or move them elsewhere"
            )

    def _is_new(self, path: Path) -> bool:
        """Tell whether a file or folder is met for the first time, whatever its path."""
        facts = path.stat()
        identity = (facts.st_dev, facts.st_ino)
        if identity not in self._met:
            self._met[identity] = path
            return True
        if self._met[identity] != path:
            self.notes.append(f"{path} is the same as {self._met[identity]}: it is read once")
        return False

    def _note_hidden(self, path: Path) -> None:
        is_data = path.name.endswith(".parquet") or (path.is_dir() and any(path.rglob("*.parquet")))
        if is_data:
            self.notes.append(f"{path} is no data: a name in it begins with _ or .")

    def _check(self, folder: Path) -> None:
        if folder not in self._checked:
            self._checked.add(folder)
            _check_format(folder)


def _check_format(folder: Path) -> None:
    """Refuse the folder of a format in which not every Parquet file holds rows of today."""
    for name, mark in LAKES.items():
        if next(folder.glob(mark), None) is not None:
            raise InputError(
                f"{folder} is {name} ({mark}): its folder may hold files of removed rows. Export "
                "its current rows into Parquet files in a folder of their own, for example with "
                "DuckDB, Spark or Polars, and name that folder"
            )


def _check_above(folder: Path) -> None:
    """Refuse a part of such a format: a folder `key=value`, or the folder `data`, inside it."""
    folder = folder.absolute()
    while "=" in folder.name or folder.name == "data":
        folder = folder.parent
        _check_format(folder)


def _refuse_lost(entry: Path) -> None:
    if not entry.exists():
        raise InputError(
            f"{entry} is a link to {entry.readlink()}, where nothing is; remove the link or bring "
            "back what it leads to"
        )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"
