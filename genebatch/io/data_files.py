"""Finds the files of a table: which files of a folder or glob are data, and in which order.

The rules are those of Spark, Hive, Arrow and DuckDB: names that begin with `_` or `.` are no data,
and a folder `key=value` is a column of the files below it. Files are Parquet, or all of them text.
"""

import glob
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from genebatch.io.files import InputError, first_names
from genebatch.io.globs import HIDDEN, is_hidden, root_of
from genebatch.io.text_tables import ENDINGS, is_text, named_as_text

NULL_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive, Spark and Arrow write for null
OTHER_ENDINGS = (".pq", ".parq", ".parquet", "")  # of Parquet files that `*.parquet` does not find
NO_DATA = (".bak", ".tmp", ".crc")  # behind `.parquet`: what programs keep beside their files
UNREAD = (".bgz", ".bz2", ".gzip", ".lz4", ".xz", ".zip", ".zst", ".zstd")  # compressions
# Formats that keep Parquet files of removed rows: what tells each, below its folder.
LAKES = {
    "a Delta table": "_delta_log",
    "an Iceberg table": "metadata/*.metadata.json",
    "a Hudi table": ".hoodie",
    "a Lance table": "_versions/*.manifest",
}

# Beside Parquet files they tell of the data, and are no tables.
NOTES = (".txt", ".txt.gz", *(f".txt{ending}" for ending in UNREAD))

log = logging.getLogger(__name__)


class DataFiles(NamedTuple):
    """The files of a table in their order, and what was left out, in words."""

    paths: list[Path]
    notes: list[str]


def find_shards(path: str | Path, key: str | None = None) -> list[Path]:
    """List the files of a table; see `find_files`."""
    return find_files(path, key).paths


def files_to_read(path: str | Path, key: str | None = None) -> list[Path]:
    """List the files of a table whose rows are about to be read, and warn of what is left out."""
    found = find_files(path, key)
    for note in found.notes:
        log.warning("%s", note)
    return found.paths


def find_files(path: str | Path, key: str | None = None) -> DataFiles:
    """Find the files of a table: one file, the tables of a folder, or those of a glob.

    Tables of a folder end in `.parquet`, or as text in `text_tables.ENDINGS`, also with `.gz`. They
    are of one kind; text files called `.txt` beside Parquet files are no data.

    A folder is searched at any depth, and links are followed. Files and folders below the path
    whose names begin with `_` or `.` are no data, unless they are called `_key=value`. A file that
    is reached twice counts once. Notes tell of all that is left out of a folder. Numbers in names
    sort by value: part-2 comes before part-10.

    Parameters
    ----------
    path
        What to look for.
    key
        The config key that an error asks the user to set, if there is one.

    Raises
    ------
    InputError
        If nothing is there, if both kinds of tables are, if the folder belongs to a format that
        keeps removed rows, or if it is unclear whether a file is data.
    """
    text = str(path)
    remedy = f"; set {key}" if key else ""
    search = _Search()
    found = list(search.files(text))
    notes = [file for file in search.unread if _is_note(file) and not all(map(is_text, found))]
    _refuse_unread([file for file in search.unread if file not in notes])
    if not found and Path(text).is_dir():
        endings = ", ".join(f"*{ending}" for ending in (".parquet", *ENDINGS))
        raise InputError(f"folder {text} holds no table ({endings}, text also with .gz){remedy}")
    if not found:
        raise InputError(f"{text} does not exist and matches no file{remedy}")
    left_out = [*search.notes, *_others([*search.others, *notes], text)]
    return _of_one_kind(text, found, left_out, remedy)


def _refuse_unread(files: list[Path]) -> None:
    """Refuse tables in a compression that is not read."""
    if files:
        raise InputError(
            f"folder {files[0].parent} holds tables in a compression that is not read "
            f"({first_names(file.name for file in files)}); decompress them, or write text as "
            "gzip with the ending .gz, or move them elsewhere"
        )


def _others(files: list[Path], text: str) -> list[str]:
    """What is said about files that are called like no table."""
    if not files:
        return []
    if len(files) == 1:
        return [f"{files[0]} is no data, by the ending of its name"]
    names = first_names(file.name for file in files)
    return [f"{len(files):,} files of {text} are no data, by the endings of their names: {names}"]


def _of_one_kind(text: str, found: list[Path], notes: list[str], remedy: str) -> DataFiles:
    """Leave out notes beside Parquet files; refuse other tables of text beside them."""
    of_text = dict.fromkeys(filter(is_text, found))
    stored = [file for file in found if file not in of_text]
    if not stored or not of_text:
        _refuse_packed_copies(found)
        return DataFiles(found, notes)
    tables = [file.name for file in of_text if not _is_note(file)]
    if tables:
        raise InputError(
            f"{text} holds tables of Parquet ({first_names(file.name for file in stored)}) and of "
            f"text ({first_names(tables)}); wanted one kind: move the others, or name the data by "
            f"a glob such as {glob.escape(str(root_of(text)))}/**/*{stored[0].suffix}{remedy}"
        )
    notes += [f"{file} is no data: a .txt file beside Parquet files" for file in of_text]
    return DataFiles(stored, notes)


def _refuse_packed_copies(files: list[Path]) -> None:
    """Refuse a file and its compressed copy, which `gzip -k` leaves side by side."""
    packed = {file.with_name(f"{file.name}.gz"): file for file in files}
    for copy in files:
        if copy in packed:
            raise InputError(
                f"{copy} lies beside {packed[copy]}, as if it were its copy; move one of them "
                "elsewhere, or rename it if both are data"
            )


def holds_text(path: str | Path) -> bool:
    """Tell whether a table is of text: by its first file, or by its name if nothing is there."""
    try:
        files = _Search().files(str(path))
        first = next((file for file in files if not _is_note(file)), None)
        return is_text(first or next(_Search().files(str(path)), path))
    except InputError:  # which comes again where the files are listed
        return is_text(path)


def remove_other_shards(shards: Iterable[str | Path]) -> None:
    """Remove the shards `part-*.parquet` of earlier runs from the folders of some shards."""
    kept = {Path(path).parent.resolve() / Path(path).name for path in shards}
    for folder in {path.parent for path in kept}:
        there = [*folder.glob("part-*.parquet"), *folder.glob(".*.part.parquet")]
        for path in sorted(set(there) - kept):
            path.unlink()
            log.info("removed %s, left by an earlier run", path)


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


def check_folder_column(
    file: str | Path, name: str, values: Iterable[str | None], folder: str | None
) -> None:
    """Refuse a file whose column has another value than the folder that is named after it."""
    other = [value for value in values if value != folder]
    if other:
        raise InputError(
            f"{file}: column '{name}' holds {other[0]!r}, but its folder is called "
            f"{name}={folder}; correct one of them, or rename the folder"
        )


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


class _Search:
    """Walks folders, and knows what it has met."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.others: list[Path] = []  # called like no table
        self.unread: list[Path] = []  # called like a table in another compression
        self._met: dict[tuple[int, int], Path] = {}
        self._checked: set[Path] = set()

    def files(self, text: str) -> Iterator[Path]:
        """Give the files of a path: its own, those of a folder, or those of a glob."""
        path = Path(text)
        if path.is_file():
            yield path
        elif path.is_dir():
            _check_above(path)
            yield from self.files_of(path)
        else:
            for match in sorted(_matches(path), key=_order):
                yield from self.matched(match, text)

    def matched(self, match: Path, pattern: str) -> Iterator[Path]:
        """Give the files of one match of a glob."""
        root = root_of(pattern)
        below = match.relative_to(root).parts
        named = any(part.startswith(HIDDEN) for part in Path(pattern).parts[len(root.parts) :])
        if not named and any(map(is_hidden, below)):
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
        """Give the tables of a folder at any depth, in their order."""
        if not self._is_new(folder):
            return
        self._check(folder)
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: _natural(entry.name))
        except OSError as error:
            raise InputError(f"folder {folder} cannot be read: {error}") from error
        misnamed = []
        for entry in entries:
            if is_hidden(entry.name):
                self._note_hidden(entry)
            elif entry.is_dir():
                yield from self.files_of(entry)
            elif entry.name.endswith(".parquet") or named_as_text(entry.name):
                _refuse_lost(entry)
                if self._is_new(entry):
                    yield entry
            elif _is_misnamed(entry):
                misnamed.append(entry.name)
            else:
                (self.unread if _is_unread(entry.name) else self.others).append(entry)
        if misnamed:
            raise InputError(
                f"folder {folder} holds Parquet files whose names do not end in .parquet "
                f"({first_names(misnamed)}); rename them so, or move them elsewhere"
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
        if _is_table(path) or (path.is_dir() and any(map(_is_table, path.rglob("*")))):
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


def _is_table(path: Path) -> bool:
    """Tell whether a file is called like a table, and not like a note beside it."""
    named = path.name.endswith(".parquet") or named_as_text(path.name)
    return named and not _is_note(path)


def _is_misnamed(path: Path) -> bool:
    """Tell whether a file is Parquet and called otherwise, but not like a copy that is kept."""
    name = path.name.lower()
    if path.suffix.lower() in OTHER_ENDINGS:
        _refuse_lost(path)
    elif ".parquet" not in name or name.endswith(NO_DATA) or not path.exists():
        return False
    return is_parquet(path)


def _is_unread(name: str) -> bool:
    """Tell whether a file is called like a table in a compression that is not read."""
    packed = Path(name.lower())
    if packed.suffix == ".gz":
        return packed.stem.endswith(".parquet")
    return packed.suffix in UNREAD and packed.stem.endswith((".parquet", *ENDINGS))


def _is_note(path: Path) -> bool:
    return path.name.lower().endswith(NOTES)


def is_parquet(path: Path) -> bool:
    """Tell by its first bytes whether a file is Parquet."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"
