"""Reads the key `sequence.scores`: the scores of one base model, or of several by their names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from genebatch.config.tracks import NAME, SIDES

SITES = ("donor", "acceptor")
KEY = "sequence.scores"


class BaseModels(NamedTuple):
    """Where the scores of the base models are.

    Attributes
    ----------
    first
        Scores of the base model that boosters start from: a table, or strand to site to bigWig
        file.
    name
        Its name, "" where there is one base model without a name.
    further
        Scores of the others, by name.
    """

    first: Any
    name: str = ""
    further: Mapping[str, Any] = {}

    @classmethod
    def build(cls, value: Any) -> Self:
        """Build what the key names, see `faults`."""
        if not _has_names(value):
            return cls(value)
        (name, first), *others = value.items()
        return cls(first, name, dict(others))

    @property
    def sources(self) -> dict[str, Any]:
        """Scores of all base models by name, the first in front."""
        return {self.name: self.first, **self.further}


class ToldModels(NamedTuple):
    """The base models that a built table or a model was made with.

    Attributes
    ----------
    first
        Name of the base model that boosters start from, "" where it has none.
    further
        Columns of each of the others, by its name.
    """

    first: str = ""
    further: Mapping[str, Sequence[str]] = {}

    @classmethod
    def of(cls, sequence: Mapping[str, Any]) -> Self:
        """Read what the facts of a table or a model tell; older ones tell of no base models."""
        told = sequence.get("base_models")
        return cls(told["first"], told["further"]) if told else cls()


def faults(value: Any) -> Iterator[str]:
    """What is wrong with the key `sequence.scores`, one line for each fault."""
    if not _has_names(value):
        yield from _source_faults(KEY, value)
        return
    for name, source in value.items():
        if not NAME.fullmatch(name):
            yield (
                f"'{KEY}.{name}' is the name of a base model and of its columns; wanted letters, "
                "digits and underscores"
            )
        yield from _source_faults(f"{KEY}.{name}", source)


def files_of(source: Any) -> list[str]:
    """The files that one source names; a table may be a folder or a pattern."""
    if isinstance(source, Mapping):
        return [file for sites in source.values() for file in sites.values()]
    return [] if source is None else [source]


def _has_names(value: Any) -> bool:
    """Whether the keys of a mapping are names of base models, and not the two strands."""
    return isinstance(value, Mapping) and not set(value) & set(SIDES)


def _source_faults(key: str, source: Any) -> Iterator[str]:
    if not isinstance(source, Mapping):
        return
    wanted = [f"{key}.{side}.{site}" for side in SIDES for site in SITES]
    given = [
        f"{key}.{side}.{site}"
        for side, sites in source.items()
        for site in (sites if isinstance(sites, Mapping) else ["?"])
    ]
    rule = f"'{key}' as bigWig files needs plus and minus, each with donor and acceptor"
    yield from [f"missing key '{name}': {rule}" for name in wanted if name not in given][:1]
    yield from [f"unknown key '{name}': {rule}" for name in given if name not in wanted][:1]
