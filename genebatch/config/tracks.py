"""Reads the key `sequence.tracks`: files of evidence along the genome, by the name of the track."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from genebatch.io.files import InputError

KINDS = ("number", "junctions")
ROLES = ("feature", "ignore")
BOTH = "both"
SIDES = ("plus", "minus")
NAME = re.compile(r"[A-Za-z0-9_]+")  # it is a part of the names of columns
KEY = "sequence.tracks.{name}"  # names a track in messages


@dataclass(frozen=True)
class Track:
    """A track of evidence.

    Attributes
    ----------
    name
        Its name, from which its columns are named.
    kind
        One of `KINDS`.
    files
        "both" to the file of both strands, or "plus" and "minus" to a file each.
    role
        "feature", or "ignore": no feature, but its columns stand in the calls.
    """

    name: str
    kind: str
    files: Mapping[str, str]
    role: str = "feature"


@dataclass(frozen=True)
class Tracks:
    """All tracks of evidence, in the order of the config."""

    all: tuple[Track, ...] = ()

    @classmethod
    def build(cls, section: Mapping[str, Mapping[str, Any]]) -> Self:
        """Build the tracks of the key `sequence.tracks`.

        Raises
        ------
        InputError
            With the config key of each fault, see `faults`.
        """
        found = list(faults(section))
        if found:
            raise InputError("; ".join(found))
        return cls(tuple(_track(name, keys) for name, keys in section.items()))

    @property
    def features(self) -> Self:
        """The tracks that give features."""
        return type(self)(tuple(track for track in self.all if track.role == "feature"))

    @property
    def ignored(self) -> Self:
        """The tracks that give none."""
        return type(self)(tuple(track for track in self.all if track.role == "ignore"))


NO_TRACKS = Tracks()


def faults(section: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the key `sequence.tracks`, one line for each fault."""
    for name, keys in section.items():
        key = KEY.format(name=name)
        if not NAME.fullmatch(name):
            yield (
                f"'{key}' is the name of a track and of its columns; wanted letters, digits and "
                "underscores"
            )
        for part, known in (("kind", KINDS), ("role", ROLES)):
            value = keys.get(part, "feature" if part == "role" else None)
            if value not in known:
                yield f"'{key}.{part}' is {value!r}; known: {', '.join(known)}"
        yield from _file_faults(key, keys)


def track_files(section: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files of all tracks of a checked section, in its order."""
    return [path for name, keys in section.items() for path in _track(name, keys).files.values()]


def junction_files(section: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files of the junctions of a checked section."""
    return [keys["file"] for keys in section.values() if keys["kind"] == "junctions"]


def guessed_kind(path: str | Path) -> str:
    """The kind of a track of which only the file is known."""
    return "number" if str(path).lower().endswith((".bw", ".bigwig")) else "junctions"


def _file_faults(key: str, keys: Mapping[str, Any]) -> Iterator[str]:
    strands, file = keys.get("strands", BOTH), keys.get("file")
    if isinstance(strands, Mapping):
        if keys.get("kind") == "junctions":
            yield (
                f"'{key}.strands' names files, but junctions carry their strand in one file; set "
                f"{key}.file"
            )
        elif set(strands) != set(SIDES) or file is not None:
            yield f"'{key}.strands' needs plus and minus, a file each, and then {key}.file is unset"
        elif strands["plus"] == strands["minus"]:
            yield f"'{key}.strands' names {file or strands['plus']} twice; set {key}.file to it"
    elif strands != BOTH:
        yield f"'{key}.strands' is {strands!r}; wanted both, or {{plus: FILE, minus: FILE}}"
    elif not file:
        yield f"'{key}.file' is missing: name the file, or a file for each strand in {key}.strands"


def _track(name: str, keys: Mapping[str, Any]) -> Track:
    strands = keys.get("strands", BOTH)
    files = dict(strands) if isinstance(strands, Mapping) else {BOTH: keys["file"]}
    return Track(name, keys["kind"], files, keys.get("role", "feature"))
