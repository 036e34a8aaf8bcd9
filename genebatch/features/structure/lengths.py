"""Length distributions of exons and introns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np

from genebatch.io.files import InputError

# A length counts as much as in a distribution that is flat up to here, in nt. So it says how much
# better than chance a length is, for a distance at which the next site may well lie.
FLAT = 15_000
KINDS = ("inner", "first", "last", "intron")


class LogNormal(NamedTuple):
    """A part of a mixture: its share, and mean and standard deviation of ln(length in nt)."""

    share: float
    mean: float
    sd: float


@dataclass(frozen=True)
class Lengths:
    """How long exons and introns are.

    The defaults are those that `fitting.fit_lengths` gives for the canonical transcripts of 622
    human protein-coding genes (GRCh37, chr20 and the first 70 Mb of chrX), rounded. The longest
    intron is longer: introns of more than 1 Mb are known.

    Parameters
    ----------
    inner, first, last, intron
        Mixtures of log-normal distributions of the exons between two introns, of the first and of
        the last exon, and of introns.
    longest_exon
        No exon between two introns is longer, in nt.
    shortest_intron, longest_intron
        No intron is shorter or longer, in nt.
    """

    inner: tuple[LogNormal, ...] = (LogNormal(0.71, 4.76, 0.36), LogNormal(0.29, 4.87, 0.92))
    first: tuple[LogNormal, ...] = (LogNormal(1.0, 5.2, 0.89),)
    last: tuple[LogNormal, ...] = (LogNormal(1.0, 6.8, 1.14),)
    intron: tuple[LogNormal, ...] = (LogNormal(0.55, 8.18, 1.27), LogNormal(0.45, 6.17, 1.15))
    longest_exon: int = 18_000
    shortest_intron: int = 60
    longest_intron: int = 1_500_000

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build from plain values, as `plain` gives them.

        Raises
        ------
        InputError
            Naming a key that is missing or unknown, or a value that is impossible.
        """
        names = {field.name for field in fields(cls)}
        if wrong := sorted(names.symmetric_difference(section)):
            raise InputError(f"lengths: the key {wrong[0]!r} is unknown or missing")
        values = dict(section)
        for kind in KINDS:
            values[kind] = tuple(_part(kind, part) for part in section[kind])
            if not math.isclose(sum(part.share for part in values[kind]), 1, abs_tol=1e-3):
                raise InputError(f"lengths.{kind}: the shares sum to another number than 1")
        for name in names.difference(KINDS):
            if not (isinstance(values[name], int) and values[name] > 0):
                raise InputError(f"lengths.{name}: wanted a length in nt, got {values[name]!r}")
        if values["shortest_intron"] > values["longest_intron"]:
            raise InputError("lengths.shortest_intron is above lengths.longest_intron")
        return cls(**values)

    def plain(self) -> dict[str, Any]:
        """The values as JSON and YAML can hold them."""
        mixtures = {kind: [list(part) for part in getattr(self, kind)] for kind in KINDS}
        return {**{field.name: getattr(self, field.name) for field in fields(self)}, **mixtures}

    def log_weight(self, kind: str, lengths: np.ndarray) -> np.ndarray:
        """Log density of some lengths over the flat one; -inf where the kind does not allow it."""
        table = _table(self, kind)
        inside = (lengths > 0) & (lengths < len(table))
        return np.where(inside, table[np.where(inside, lengths, 0)], -np.inf)

    def median(self, kind: str) -> int:
        """Length in nt that half of a kind reach."""
        sums = np.cumsum(np.exp(_table(self, kind)))
        return int(np.searchsorted(sums, sums[-1] / 2))


def _part(kind: str, values: Any) -> LogNormal:
    try:
        part = LogNormal(*map(float, values))
    except (TypeError, ValueError):
        raise InputError(f"lengths.{kind}: wanted share, mean and sd, got {values!r}") from None
    if not (0 < part.share <= 1 and math.isfinite(part.mean) and part.sd > 0):
        raise InputError(f"lengths.{kind}: no log-normal has share, mean and sd {values!r}")
    return part


@lru_cache(maxsize=16)
def _table(lengths: Lengths, kind: str) -> np.ndarray:
    """Log weight by length in nt; 12 MB for introns."""
    longest = lengths.longest_intron if kind == "intron" else lengths.longest_exon
    nt = np.arange(longest + 1, dtype=np.float64)
    nt[0] = np.nan  # no exon is empty
    density = np.zeros(longest + 1)
    for share, mean, sd in getattr(lengths, kind):
        z = (np.log(nt) - mean) / sd
        density += share * np.exp(-(z**2) / 2) / (sd * nt)
    with np.errstate(divide="ignore"):  # far from the mean a density is 0
        table = np.log(density / math.sqrt(2 * math.pi) * FLAT)
    table[0] = -np.inf
    if kind == "intron":
        table[: lengths.shortest_intron] = -np.inf
    return table
