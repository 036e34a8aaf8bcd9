"""Draws the positions of a gene that become rows: sites, candidates, a sample of the rest."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from genebatch.config.settings import Section
from genebatch.io.files import InputError, digest

SITE = 0  # code of the source of annotated sites
LEFT_OUT = 255


@dataclass(frozen=True)
class Strata(Section):
    """The section `sampling`: which share of the positions of each stratum becomes rows.

    Parameters
    ----------
    candidates_above
        Score from which every position is a row.
    rest
        The strata below: each has a score `above` and the wanted `fraction` of its positions.
    seed
        Of the draws.

    Raises
    ------
    InputError
        If a position could belong to no stratum or to two.
    """

    candidates_above: float
    rest: tuple[dict[str, float], ...]
    seed: int

    def __post_init__(self):
        scores = [self.candidates_above, *(stratum["above"] for stratum in self._falling)]
        given = ", ".join(f"{value:g}" for value in scores[1:])
        if len(scores) == 1 or scores[-1] != 0:
            raise InputError(
                f"sampling.rest has the strata above [{given}], which leave positions "
                "without any; add one with above: 0"
            )
        if any(upper <= lower for upper, lower in itertools.pairwise(scores)):
            raise InputError(
                f"sampling.rest has the strata above [{given}]; they must differ and lie "
                f"below candidates_above ({scores[0]:g})"
            )

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the row sources; the code of a source is its place here."""
        return ("site", "candidate", *(f"rest_{stratum['above']:g}" for stratum in self._falling))

    @cached_property
    def above(self) -> np.ndarray:
        """Least score of each source but the sites, from high to low."""
        scores = [self.candidates_above, *(stratum["above"] for stratum in self._falling)]
        return np.array(scores, np.float32)

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """Wanted share of each source's positions."""
        return (1.0, 1.0, *(float(stratum["fraction"]) for stratum in self._falling))

    @property
    def _falling(self) -> list[dict[str, float]]:
        return sorted(self.rest, key=lambda stratum: -stratum["above"])


class GeneSample(NamedTuple):
    """The rows drawn from a gene.

    Attributes
    ----------
    positions
        (rows,) int32 gene positions, ascending.
    source
        (rows,) uint8, index into `Strata.sources`.
    sizes, drawn
        (sources,) number of positions of each source, and number of rows drawn from them.
    least
        Smallest value above 0 of max(donor, acceptor) over all positions; infinite if there is
        none.
    """

    positions: np.ndarray
    source: np.ndarray
    sizes: np.ndarray
    drawn: np.ndarray
    least: float

    @property
    def weights(self) -> np.ndarray:
        """Number of positions that each row stands for, (rows,) float64."""
        return (self.sizes / np.maximum(self.drawn, 1))[self.source]


def sample_gene(
    blocks: Iterable[np.ndarray],
    length: int,
    sites: np.ndarray,
    left_out: np.ndarray,
    strata: Strata,
    name: str,
) -> GeneSample:
    """Draw the rows of one gene.

    All sites and candidates are kept. A stratum with n other positions gives `fraction * n` rows,
    rounded up so that no stratum is lost. They are drawn without replacement, and each weighs
    n / drawn. The weights of a gene sum to its length minus the positions that are left out.

    Parameters
    ----------
    blocks
        Successive (2, n) score blocks that cover the gene.
    length
        Length of the gene in nt.
    sites
        Gene positions of the annotated sites.
    left_out
        Gene positions that become no row and do not count, even if they are among `sites`.
    strata
        How many rows are drawn.
    name
        Id of the gene. It decides the draw together with the seed, so no other gene changes it.

    Returns
    -------
    GeneSample
        Drawing holds one byte per nt, and eight per position of the largest stratum.
    """
    code, least = _codes(blocks, length, strata)
    code[sites] = SITE
    code[left_out] = LEFT_OUT
    rng = np.random.default_rng([strata.seed, int(digest(name), 16)])
    chosen, sizes, drawn = [], [], []
    for source, fraction in enumerate(strata.fractions):
        places = np.flatnonzero(code == source)
        n = math.ceil(fraction * len(places))
        if n < len(places):
            chosen.append(rng.choice(places, n, replace=False, shuffle=False))
        else:
            chosen.append(places)
        sizes.append(len(places))
        drawn.append(n)
    positions = np.sort(np.concatenate(chosen)).astype(np.int32)
    return GeneSample(positions, code[positions], np.array(sizes), np.array(drawn), least)


def _codes(blocks: Iterable[np.ndarray], length: int, strata: Strata) -> tuple[np.ndarray, float]:
    """Source of each position by its score alone, (length,) uint8, and the least score above 0.

    Each position counts with the larger of its two scores. A table that leaves low scores out
    keeps the weaker score of the positions it has, so only the larger one tells where it ends.
    """
    code = np.empty(length, np.uint8)
    start, least = 0, np.inf
    for scores in blocks:
        stop = start + scores.shape[1]
        larger = scores.max(axis=0)
        passed = np.searchsorted(strata.above[::-1], larger, side="right")
        code[start:stop] = len(strata.sources) - passed
        least = min(least, float(larger.min(initial=np.inf, where=larger > 0)))
        start = stop
    return code, least
