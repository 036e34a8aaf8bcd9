"""Tells what a model or a table of scores was made from, so that no others are mixed with it.

An origin is the key of the rows and a digest for each section of the settings. A member of a model
has it among its facts, as `key` and `settings`. A Parquet file of scores has it in its metadata.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch import ALGORITHM
from genebatch.config.settings import Folds, Learner
from genebatch.io.files import InputError, digest
from genebatch.model.ensemble import Member

METADATA = "genebatch.origin"


class Origin(NamedTuple):
    """What something was made from.

    Attributes
    ----------
    key
        Digest of the rows, or of the members that scored them; None if it is not on record.
    settings
        Section of the configuration to the digest of its values, for those that count.
    """

    key: str | None
    settings: Mapping[str, str]

    def metadata(self) -> dict[str, str]:
        """The origin as metadata of a Parquet file."""
        return {METADATA: json.dumps(self._asdict(), sort_keys=True)}

    def facts(self) -> dict[str, object]:
        """The origin as facts of a member."""
        return {"key": self.key, "settings": dict(self.settings)}

    def without(self, other: "Origin") -> list[str]:
        """What differs from another origin, in words; sections that only one has are passed over.

        An origin that is not on record differs in its rows.
        """
        common = sorted(self.settings.keys() & other.settings.keys())
        sections = [name for name in common if self.settings[name] != other.settings[name]]
        rows = ["rows"] if self.key is None or self.key != other.key else []
        return rows + sections


def training_settings(learner: Learner, cv: Folds | None = None) -> dict[str, str]:
    """Digests of the settings that boosters were trained by, and of those of the folds."""
    settings = {"learner": digest(ALGORITHM, learner.plain())}
    return settings if cv is None else settings | {"cv": digest(cv.plain())}


def origin_of(member: Member) -> Origin:
    """The origin of a member."""
    return Origin(member.facts.get("key"), member.facts.get("settings") or {})


def read_origin(path: str | Path) -> Origin:
    """Read the origin of a Parquet file of scores."""
    stored = pl.read_parquet_metadata(path).get(METADATA)
    return Origin(None, {}) if stored is None else Origin(**json.loads(stored))


def members_origin(members: Iterable[Member], keys: Mapping[str, str]) -> Origin:
    """The origin of what some members scored.

    Parameters
    ----------
    members
        The batches' models, all trained by the same settings.
    keys
        Batch to its key, of the whole plan.
    """
    origins = {member.name: origin_of(member) for member in members}
    settings = next(iter(origins.values())).settings
    scorers = sorted((name, origin.key, dict(origin.settings)) for name, origin in origins.items())
    return Origin(digest(scorers, sorted(keys.items())), settings)


def refuse_mixed(path: str | Path, origin: Origin, other: str | Path, its: Origin) -> None:
    """Raise if two results were not made from the same rows by the same settings."""
    different = origin.without(its)
    if different:
        raise InputError(
            f"{path} and {other} were not made from the same {' and '.join(different)}; delete "
            "both and run again, which makes them anew"
        )


def refuse_other_settings(members: Iterable[Member]) -> None:
    """Raise unless all members were trained by the same settings."""
    by_settings: dict[str, list[str]] = {}
    for member in members:
        text = json.dumps(member.facts.get("settings"), sort_keys=True)
        by_settings.setdefault(text, []).append(member.name)
    if len(by_settings) < 2:
        return
    most, *others = sorted(by_settings.values(), key=len, reverse=True)
    odd = sorted(name for names in others for name in names)
    raise InputError(
        f"the models of batches {', '.join(odd)} were trained by other settings (learner, cv, "
        f"calibration) or another version than those of {', '.join(sorted(most))}; delete "
        f"batches/{{{','.join(odd)}}} in the results folder and run again, or set the config back"
    )
