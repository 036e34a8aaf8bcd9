"""Which positions of a gene become rows: every site and candidate, and a sample of the rest."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from genebatch.io.files import InputError, digest

SITE = 0  # code of the source of annotated sites
LEFT_OUT = 255


class Strata(NamedTuple):
    """The `sampling` part of the config, as arrays.

    Attributes
    ----------
    sources
        Names of the row sources; the code of a source is its place here.
    above
        Score from which each source but the site holds, from high to low.
    fractions
        Wanted share of each source's positions.
    seed
        Of the draws.
    """

    sources: tuple[str, ...]
    above: np.ndarray
    fractions: tuple[float, ...]
    seed: int

    @classmethod
    def from_config(cls, sampling: Mapping[str, Any]) -> "Strata":
        """Check the strata and put them in order.

        Raises
        ------
        InputError
            If a position could belong to no stratum or to two.
        """
        rest = sorted(sampling["rest"], key=lambda stratum: -stratum["above"])
        above = [sampling["candidates_above"], *(stratum["above"] for stratum in rest)]
        given = ", ".join(f"{value:g}" for value in above[1:])
        if len(above) == 1 or above[-1] != 0:
            raise InputError(
                f"sampling.rest has the strata above [{given}], which leave positions "
                "without any; add one with above: 0"
            )
        if any(upper <= lower for upper, lower in itertools.pairwise(above)):
            raise InputError(
                f"sampling.rest has the strata above [{given}]; they must differ and lie "
                f"below candidates_above ({above[0]:g})"
            )
        return cls(
            ("site", "candidate", *(f"rest_{value:g}" for value in above[1:])),
            np.array(above, np.float32),
            (1.0, 1.0, *(float(stratum["fraction"]) for stratum in rest)),
            int(sampling["seed"]),
        )


class Sample(NamedTuple):
    """The rows of a gene.

    Attributes
    ----------
    positions
        (rows,) int32 gene positions, ascending.
    source
        (rows,) uint8, index into `Strata.sources`.
    sizes, drawn
        (sources,) positions that the gene has of each source, and rows drawn of them.
    least
        The larger of its two scores where that is smallest above 0, infinite where there is none.
    """

    positions: np.ndarray
    source: np.ndarray
    sizes: np.ndarray
    drawn: np.ndarray
    least: float

    @property
    def weights(self) -> np.ndarray:
        """Positions that each row stands for, (rows,) float64."""
        return (self.sizes / np.maximum(self.drawn, 1))[self.source]


def sample_gene(
    blocks: Iterable[np.ndarray],
    length: int,
    sites: np.ndarray,
    left_out: np.ndarray,
    strata: Strata,
    name: str,
) -> Sample:
    """Draw the rows of one gene.

    Sites and candidates are all kept. Of another stratum with n positions, fraction x n rows,
    rounded up, are drawn without replacement, so that none is lost, and each weighs n / drawn:
    the weights of a gene sum to its length less what is left out.

    Parameters
    ----------
    blocks
        Successive (2, n) score blocks that make up the gene.
    length
        Of the gene, nt.
    sites
        Gene positions of the annotated sites.
    left_out
        Gene positions that become no row and count for nothing; they win over `sites`.
    strata
        What is drawn.
    name
        Of the gene. With the seed it decides the draw, so that no other gene changes it.

    Returns
    -------
    Sample
        Holds one byte a nucleotide while drawing, and eight for those of the largest stratum.
    """
    code, least = _codes(blocks, length, strata)
    code[sites] = SITE
    code[left_out] = LEFT_OUT
    rng = np.random.default_rng([strata.seed, int(digest(name), 16)])
    chosen, sizes, drawn = [], [], []
    for source, fraction in enumerate(strata.fractions):
        held = np.flatnonzero(code == source)
        n = math.ceil(fraction * len(held))
        if n < len(held):
            chosen.append(rng.choice(held, n, replace=False, shuffle=False))
        else:
            chosen.append(held)
        sizes.append(len(held))
        drawn.append(n)
    positions = np.sort(np.concatenate(chosen)).astype(np.int32)
    return Sample(positions, code[positions], np.array(sizes), np.array(drawn), least)


def _codes(blocks: Iterable[np.ndarray], length: int, strata: Strata) -> tuple[np.ndarray, float]:
    """Source of each position by its score alone, (length,) uint8; and the least of these scores.

    Where a table is cut, a position that is kept still has its weaker class, so only the larger of
    the two scores tells how far down the table goes; zeros are left out.
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
