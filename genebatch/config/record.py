"""Records which settings and which data the results of a folder were made from."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from genebatch.io.files import InputError, read_json, write_json

# Sections and keys that change no result. The table is on record as data, with its content.
PASSING = ("resources", "learner.threads", "results", "dataset.path")
PASSING += ("sequence.scorer.mem_mb", "sequence.scorer.threads")
SHOWN = 5  # differences in a message


class Source(NamedTuple):
    """A part of a data set, such as its table.

    Attributes
    ----------
    path
        Where it is, from the results folder: it stays the same if both are moved together.
    digests
        Digests of the content of its files.
    """

    path: str
    digests: Sequence[str]


def made_from(
    config: Mapping[str, Any], files: str, algorithm: str, data: Mapping[str, Source]
) -> dict[str, Any]:
    """Put together what results are made from.

    Parameters
    ----------
    config
        The resolved configuration.
    files
        Fingerprint of the input files.
    algorithm
        The version of the algorithm.
    data
        The key of the configuration that names a part of the data set, and that part.
    """
    settings = {key: value for key, value in _flat(config) if not key.startswith(PASSING)}
    parts = {key: source._asdict() for key, source in data.items()}
    return {"algorithm": algorithm, "data": parts, "files": files, "settings": settings}


def free_name(name: str) -> str:
    """The name, with a number behind it if there is something of that name already."""
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if not os.path.lexists(each))


class Record:
    """What the results of a folder were made from: one entry after a whole run, else several.

    Each run numbers its entry by chance, and keeps the number in its own folder. Where the two
    differ, Snakemake's record in that folder is not of these results.

    Parameters
    ----------
    path
        The JSON file in the folder of the results.
    kept
        The JSON file in the folder of the run, for these results alone.
    """

    def __init__(self, path: str | Path, kept: str | Path):
        self.path, self.kept = Path(path), Path(kept)
        self._held: int | None = None

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What runs made results from, since and with the last whole one."""
        return read_json(self.path) if self.path.exists() else []

    def hold(self) -> None:
        """Keep other runs from the folder as long as this process lives.

        Snakemake's own locks are those of the folder of the run: a run with other results there
        takes all of them away when it ends. Does nothing on a file system without locks.

        Raises
        ------
        InputError
            If another run has the folder.
        """
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._held = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another run writes into {folder}; wait for its end, or give this run a folder of "
                "its own (results). No job has been started"
            ) from error
        except OSError:
            pass

    @property
    def foreign(self) -> bool:
        """Whether the results are not those that the last run of this folder left.

        A run of another folder wrote there, a copy was put there, or what this folder knew is lost.
        Results of versions that gave no numbers are not foreign where none is known.
        """
        entries = self.entries
        return bool(entries) and entries[-1].get("run") != self._known().get("run")

    @property
    def replaces(self) -> bool:
        """Whether the last run was to replace what Snakemake has no record of."""
        return not self.foreign and bool(self._known().get("replace"))

    def begin(self, entry: Mapping[str, Any], replace: bool = False) -> None:
        """Note that a run begins, some of whose results may stay if it does not finish.

        Parameters
        ----------
        entry
            What it makes its results from.
        replace
            Whether it replaces results that Snakemake has no record of.
        """
        run = secrets.token_hex(8)
        others = [other for other in self.entries if any(_differences(other, entry))]
        write_json(self.kept, {"run": run, "replace": replace})
        write_json(self.path, [*others, {**entry, "run": run}])

    def finish(self, entry: Mapping[str, Any]) -> None:
        """Note that all results are of this entry."""
        write_json(self.path, [{**entry, "run": self._known().get("run")}])

    def _known(self) -> dict[str, Any]:
        """What this folder knows of the results; nothing if that is lost or damaged."""
        try:
            known = json.loads(self.kept.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def other_data(self, data: Mapping[str, Source]) -> str | None:
        """What the results were made from, in words, if it is another data set; else None.

        A part of a data set is the same if its path is, or the content of one of its files.
        """
        known = [entry["data"] for entry in self.entries if "data" in entry]
        if not known or any(_same_data(each, data) for each in known):
            return None
        return ", ".join(
            f"{key} {os.path.normpath(self.path.parent / part['path'])}"
            for key, part in known[-1].items()
        )

    def differences(self, entry: Mapping[str, Any]) -> list[str]:
        """What differs between the results and an entry, in words; empty if nothing does."""
        entries = self.entries
        if not entries:
            return ["it is not on record what the results were made from"]
        lines = [line for other in entries for line in _differences(other, entry)]
        return list(dict.fromkeys(lines))


def _same_data(known: Mapping[str, Any], data: Mapping[str, Source]) -> bool:
    return known.keys() == data.keys() and all(
        known[key]["path"] == part.path or set(known[key]["digests"]).intersection(part.digests)
        for key, part in data.items()
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before["algorithm"] != now["algorithm"]:
        yield f"version: {before['algorithm']}, now {now['algorithm']}"
    if before["files"] != now["files"]:
        yield "input files have other names or another content"
    old, new = before["settings"], now["settings"]
    for key in sorted(old.keys() | new.keys()):
        # Earlier versions wrote down more keys.
        if not key.startswith(PASSING) and old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)!r}, now {new.get(key)!r}"


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with their sections, and values. Keys of a user's own mapping are keys as well."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
