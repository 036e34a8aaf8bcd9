"""Groups features into families, which are explained and permuted together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from genebatch.config.base_models import ToldModels
from genebatch.dataset.columns import matching


def families(names: Sequence[str], given: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Family of every feature.

    A feature belongs to the first of the given families whose patterns match it; the others go by
    what stands before the first underscore, and alone if nothing else shares that.
    """
    family_of = {}
    for family, patterns in given.items():
        for pattern in patterns:
            for name in matching(pattern, names):
                family_of.setdefault(name, family)
    prefixes = Counter(name.split("_")[0] for name in names if name not in family_of)
    for name in names:
        if name not in family_of:
            prefix = name.split("_")[0]
            family_of[name] = prefix if prefixes[prefix] > 1 else name
    return {name: family_of[name] for name in names}


def unmatched(names: Sequence[str], given: Mapping[str, Sequence[str]]) -> list[str]:
    """Names and patterns of the given families that match no feature, in their order."""
    patterns = [pattern for patterns in given.values() for pattern in patterns]
    return [pattern for pattern in patterns if not matching(pattern, names)]


def track_family(track: str) -> str:
    """Name of the family of a track of evidence."""
    return f"track {track}"


def built_families(facts: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Family to columns of each track of evidence and each further base model.

    `facts` are what a row file or a model tells of its table.
    """
    sequence = facts.get("sequence") or {}
    further = ToldModels.of(sequence).further
    tracks = sequence.get("tracks", {})
    return {
        **{track_family(name): tuple(told["columns"]) for name, told in tracks.items()},
        **{f"base model {name}": tuple(columns) for name, columns in further.items()},
    }
