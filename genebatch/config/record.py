"""Records which settings and which data the results of a folder were made from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genebatch.io.files import read_json, write_json

# Sections and keys that change no result.
PASSING = ("resources", "learner.threads")
SHOWN = 5  # differences in a message


def made_from(config: Mapping[str, Any], files: str, algorithm: str) -> dict[str, Any]:
    """Put together what results are made from.

    Parameters
    ----------
    config
        The resolved configuration.
    files
        Fingerprint of the input files.
    algorithm
        The version of the algorithm.
    """
    settings = {key: value for key, value in _flat(config) if not key.startswith(PASSING)}
    return {"algorithm": algorithm, "files": files, "settings": settings}


class Record:
    """What the results of a folder were made from: one entry after a whole run, else several.

    Parameters
    ----------
    path
        The JSON file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What runs made results from, since and with the last whole one."""
        return read_json(self.path) if self.path.exists() else []

    def begin(self, entry: Mapping[str, Any]) -> None:
        """Note that a run begins, some of whose results may stay if it does not finish."""
        entries = self.entries
        if entry not in entries:
            write_json(self.path, [*entries, dict(entry)])

    def finish(self, entry: Mapping[str, Any]) -> None:
        """Note that all results are of this entry."""
        write_json(self.path, [dict(entry)])

    def differences(self, entry: Mapping[str, Any]) -> list[str]:
        """What differs between the results and an entry, in words; empty if nothing does."""
        entries = self.entries
        if not entries:
            return ["it is not on record what the results were made from"]
        lines = [line for other in entries for line in _differences(other, entry)]
        return list(dict.fromkeys(lines))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before["algorithm"] != now["algorithm"]:
        yield f"version: {before['algorithm']}, now {now['algorithm']}"
    if before["files"] != now["files"]:
        yield "the content of the input files is another"
    old, new = before["settings"], now["settings"]
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)!r}, now {new.get(key)!r}"


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with their sections, and values. Keys of a user's own mapping are keys as well."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
