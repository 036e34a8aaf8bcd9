"""Digests of the content of files, each read once as long as the file stays as it is."""

import hashlib
import json
import os
import time
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from genebatch.io.files import digest, write_text

# Of two changes inside one tick of a file system's clock the second leaves no trace in its times.
TICK_NS = 2_000_000_000
READERS = 2  # hashing is bound by the processor: 0.7 GB/s a core


class State(NamedTuple):
    """What the file system says of a file; no write leaves all of it as it was.

    `changed_ns` is the time of the last change of content, name or permissions. It is the clock of
    the system, which no program can set, so that a copy with an old time of its content is seen.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def state(path: str | os.PathLike) -> State:
    """Ask the file system about a file."""
    told = os.stat(path)
    return State(told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)


def content_digest(path: str | os.PathLike) -> str:
    """SHA-256 of all bytes of a file, hexadecimal. It is streamed."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copies(contents: Iterable[tuple[str | os.PathLike, Hashable]]) -> Iterator[str]:
    """Name the files of a table that have the content of an earlier one, in words.

    Parameters
    ----------
    contents
        Each file, and what stands for its content.
    """
    first: dict[Hashable, str | os.PathLike] = {}
    for path, content in contents:
        same = first.setdefault(content, path)
        if same != path:
            yield (
                f"{path} has the content of {same}, so that its rows would count twice; move one "
                "of them elsewhere (dataset.path)"
            )


class KeptDigests:
    """Content digests, kept in a JSON file with the state of each file.

    A file is read again only if the file system says that it may have changed. If the JSON file is
    lost, damaged or cannot be written, everything is read again.

    Parameters
    ----------
    path
        The JSON file, or None to keep nothing beyond this object.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = None if path is None else Path(path)
        self.kept = self._read()

    def of(self, paths: Iterable[str | os.PathLike]) -> list[str]:
        """Content digests of some files, in their order."""
        paths = [os.path.realpath(path) for path in paths]
        states = {path: state(path) for path in paths}
        unknown = [path for path in states if self.kept.get(path, [None])[0] != [*states[path]]]
        if unknown:
            begun = time.time_ns()
            with ThreadPoolExecutor(READERS) as pool:
                digests = dict(zip(unknown, pool.map(content_digest, unknown), strict=True))
            self._keep(digests, states, begun)
        else:
            digests = {}
        return [digests.get(path) or self.kept[path][1] for path in paths]

    def fingerprint(self, paths: Iterable[str | os.PathLike]) -> str:
        """Digest of the paths and the content of some files, in their order."""
        paths = [str(path) for path in paths]
        return digest(list(zip(paths, self.of(paths), strict=True)))

    def _keep(self, digests: dict[str, str], states: dict[str, State], begun: int) -> None:
        settled = {
            path: [[*states[path]], told]
            for path, told in digests.items()
            if states[path].changed_ns < begun - TICK_NS and state(path) == states[path]
        }
        self.kept |= settled
        if settled and self.path is not None:
            # A folder that cannot be written costs the time of reading the files again, no more.
            with suppress(OSError):
                write_text(self.path, json.dumps(self._read() | self.kept) + "\n")

    def _read(self) -> dict[str, list]:
        if self.path is None:
            return {}
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            whole = all(
                len(told) == 2 and len(told[0]) == len(State._fields) for told in kept.values()
            )
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
        return kept if whole else {}
