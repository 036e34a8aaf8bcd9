"""What the base scores of a whole gene say about one of its positions."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from genebatch.features.range_maxima import RangeMaxima
from genebatch.io.files import InputError

CHANNELS = ("donor", "acceptor")
FLOOR = 1e-5  # scores below it count as absent; sparse tracks leave them out
# nt on each side that are columns of their own; high scores so near are mostly the same site.
BESIDE = 2
# Windows on each side: from the positions after those to so many nt away.
WINDOWS = (10, 30, 60, 120, 250, 500, 1_000, 2_500, 10_000, 30_000, 100_000)
SIDES = ("upstream", "downstream")
SITE = 0.1  # score from which a position counts as a site of the gene
MAX_DISTANCE = 30_000  # nt; a site as far away counts as none, and none has this distance

GROUPS = {
    "maximum": tuple(f"{c}_max_{side}_{w}" for c in CHANNELS for side in SIDES for w in WINDOWS),
    "nearest": tuple(f"nearest_{name}_{side}" for name in ("distance", "type") for side in SIDES),
    "gene": tuple(f"{c}_gene_{name}" for c in CHANNELS for name in ("sites", "rank", "max")),
}
COLUMNS = tuple(chain.from_iterable(GROUPS.values()))


class _Channel:
    """Positions of one gene whose score in one channel reaches the floor."""

    def __init__(self, places: np.ndarray, scores: np.ndarray, floor: float):
        self.maxima = RangeMaxima(places, np.log(scores), np.log(floor), WINDOWS[-1])
        self.rising = np.sort(scores)
        self.sites = places[scores >= np.float32(SITE)]
        self.best = np.log(self.rising[-1] if scores.size else floor)


class Landscape:
    """Base scores of one gene, kept where they reach the floor.

    Blind to labels and annotation; the gene's length and ends are not looked at. Scores are known
    inside the gene only, though, so that windows without any score hint at an end
    (benchmarks/features.md says how much of the gain that is). Memory goes with the number of
    positions that reach the floor in a channel, 50 to 80 bytes for each, and not with the length
    of the gene.
    """

    def __init__(self, channels: Iterable[_Channel]):
        self._channels = tuple(channels)

    @property
    def n_kept(self) -> tuple[int, int]:
        """Number of donor and acceptor positions that are kept."""
        donor, acceptor = (channel.rising.size for channel in self._channels)
        return donor, acceptor

    @classmethod
    def collect(
        cls, blocks: Iterable[np.ndarray], length: int, floor: float = FLOOR
    ) -> "Landscape":
        """Landscape of a gene from its scores, one block in memory at a time.

        Parameters
        ----------
        blocks : iterable of (2, n) float32
            Donor and acceptor scores of successive stretches, in transcript orientation. How
            the gene is cut into blocks changes nothing.
        length : int
            Length of the gene in nt.
        floor : float
            Scores below it count as absent, and never lower ones than 1e-5.

        Raises
        ------
        InputError
            Where the blocks together are shorter or longer than the gene.
        """
        places = tuple([np.empty(0, np.int64)] for _ in CHANNELS)
        scores = tuple([np.empty(0, np.float32)] for _ in CHANNELS)
        start, floor = 0, max(floor, FLOOR)
        for block in blocks:
            for channel, row in enumerate(np.asarray(block, dtype=np.float32)):
                found = np.flatnonzero(row >= np.float32(floor))
                places[channel].append(found + start)
                scores[channel].append(row[found])
            start += np.shape(block)[1]
        if start != length:
            raise InputError(f"the score blocks cover {start:,} nt of a gene of {length:,} nt")
        pairs = zip(places, scores, strict=True)
        return cls(_Channel(np.concatenate(p), np.concatenate(s), floor) for p, s in pairs)

    def features(self, positions: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of some positions of the gene.

        Parameters
        ----------
        positions : (n,) int
            Gene positions, in any order.
        scores : (2, n) float32
            Their own donor and acceptor scores; only the rank looks at them.

        Returns
        -------
        dict of (n,) float32
            Named and ordered as `COLUMNS`, all finite. Positions do not depend on each other.

            `max`: log of the highest score among the positions 3 to so many nt away, log of the
            floor where none reaches it. `nearest_distance`: nt to the nearest other position with
            a donor or acceptor score of at least 10 %, 30,000 where there is none nearer.
            `nearest_type`: 1 if that is a donor, -1 if an acceptor, 0 if neither or both.
            `gene_sites`: positions of the gene with a score of at least 10 %. `gene_rank`:
            positions of the gene with a score above the own. `gene_max`: log of the gene's
            highest score, the own included.
        """
        positions = np.asarray(positions, dtype=np.int64)
        columns = _nearest([channel.sites for channel in self._channels], positions)
        for name, channel, own in zip(CHANNELS, self._channels, scores, strict=True):
            columns |= {f"{name}_{key}": v for key, v in _maxima(channel.maxima, positions)}
            columns |= {f"{name}_{key}": v for key, v in _standing(channel, own)}
        return {name: columns[name].astype(np.float32, copy=False) for name in COLUMNS}


def _maxima(maxima: RangeMaxima, positions: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Log of the highest score in each window on each side."""
    stop = maxima.index(positions - BESIDE)
    first = maxima.index(positions + BESIDE + 1)
    for window in WINDOWS:
        yield f"max_upstream_{window}", maxima.between(maxima.index(positions - window), stop)
        beyond = maxima.index(positions + window + 1)
        yield f"max_downstream_{window}", maxima.between(first, beyond)


def _standing(channel: _Channel, own: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The gene's sites, how many positions beat the own score, and the best."""
    rising = channel.rising
    rank = rising.size - np.searchsorted(rising, np.asarray(own, np.float32), side="right")
    yield "gene_sites", np.full(rank.size, channel.sites.size)
    yield "gene_rank", rank
    yield "gene_max", np.full(rank.size, channel.best)


def _nearest(sites: list[np.ndarray], positions: np.ndarray) -> dict[str, np.ndarray]:
    """Distance to the nearest site on each side, and which kind it is."""
    columns = {}
    both = (_distances(places, positions) for places in sites)
    for side, donor, acceptor in zip(SIDES, *both, strict=True):
        columns[f"nearest_distance_{side}"] = np.minimum(donor, acceptor)
        columns[f"nearest_type_{side}"] = np.sign(acceptor - donor)
    return columns


def _distances(places: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in nt to the nearest place before and after each position, clipped."""
    far = 2 * MAX_DISTANCE
    low, high = (positions.min(), positions.max()) if positions.size else (0, 0)
    padded = np.concatenate(([low - far], places, [high + far]))
    before = positions - padded[np.searchsorted(places, positions)]
    after = padded[np.searchsorted(places, positions, side="right") + 1] - positions
    return np.minimum(before, MAX_DISTANCE), np.minimum(after, MAX_DISTANCE)
