"""Writes files whole, and defines the error that every bad input becomes."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genebatch.io.terminal import printable

if TYPE_CHECKING:  # job scripts bound threads after this import and before that of polars
    import polars as pl

SHOWN = 4  # names in a message
MAKE_AGAIN = "delete it and run the workflow again, which makes what is missing"
# How a whole file of each kind ends: how many bytes before its end, and which bytes stand there.
ENDS: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".json": (2, (b"}\n", b"]\n")),
    ".tsv": (1, (b"\n",)),
    ".parquet": (4, (b"PAR1",)),
    ".gbm": (22, (b"PK\x05\x06",)),  # the end of a zip archive without a comment
}


GZIP = b"\x1f\x8b"  # how a gzip file, and one of bgzip, begins


class InputError(ValueError):
    """Something the user gave is wrong; the message names the fact and the remedy.

    Control characters in the message are escaped, since it may quote names from files.
    """

    def __init__(self, message: object):
        super().__init__(printable(message))


@contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; it becomes `path` if the block ends without error.

    After a hard kill Snakemake takes a half-written file behind a checkpoint for a finished one.
    So nothing is ever written under its final name. The temporary file is locked while it is
    written: one without a lock was left by a killed process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as matplotlib choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=f".part{path.suffix}")
    lock(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.fsync(handle)
        # mkstemp makes files private; results are shared like any other file.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(handle)


def lock(handle: int) -> None:
    """Lock an open file until all processes that share the handle have closed it.

    Does nothing on a file system without locks.
    """
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: str | os.PathLike) -> bool:
    """Tell whether a process holds a lock on a file, or may hold one; no if there is no file."""
    try:
        with open(path, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # locked, not ours, or a file system without locks
        return True
    return False


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` whole."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinity are refused, as they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_tsv(path: str | os.PathLike, frame: "pl.DataFrame") -> None:
    """Write `frame` as tab-separated text, whole."""
    with whole(path) as temporary:
        frame.write_csv(temporary, separator="\t")


def write_parquet(
    path: str | os.PathLike, frame: "pl.DataFrame", metadata: dict[str, str] | None = None
) -> None:
    """Write `frame` as Parquet, whole, with `metadata` of the file."""
    with whole(path) as temporary:
        frame.write_parquet(temporary, metadata=metadata)


def read_parquet(path: str | os.PathLike, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """Read a Parquet file, or some of its columns; polars alone takes its path for a pattern."""
    import polars as pl

    return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)


def scan_parquet(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> "pl.LazyFrame":
    """Scan a Parquet file, or several; polars alone takes their paths for patterns."""
    import polars as pl

    return pl.scan_parquet(paths, glob=False)


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # raised for bad JSON and for bad UTF-8
        raise InputError(f"{path} is no whole JSON file ({error}); {MAKE_AGAIN}") from error


def check_whole(paths: Iterable[str | os.PathLike]) -> None:
    """Refuse results that were cut off: a whole file of each kind ends in a known way.

    A TSV that lost whole lines still looks whole. Only files of the kinds in `ENDS` are checked.

    Raises
    ------
    InputError
        If a file does not end as files of its kind do.
    """
    for path in map(Path, paths):
        if path.suffix not in ENDS:
            continue
        length, ends = ENDS[path.suffix]
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - length, 0))
            last = stream.read()
        if not last.startswith(ends):
            raise InputError(f"{path} is cut off or damaged at its end; {MAKE_AGAIN}")


def digest(*parts: Any, length: int = 16) -> str:
    """Hexadecimal SHA-256 of the JSON of `parts`, cut to `length` characters."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def unprintable(name: str) -> bool:
    """Tell whether a name cannot stand in a text table: it is empty or has control characters."""
    return not name or any(ord(character) < 32 or ord(character) == 127 for character in name)


def first_names(names: Iterable[str]) -> str:
    """Join the first few names, for a message."""
    shown = list(islice(names, SHOWN + 1))
    return ", ".join(shown[:SHOWN]) + (", ..." if len(shown) > SHOWN else "")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
