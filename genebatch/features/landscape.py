"""Computes features of a position from the base scores of its whole gene."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from genebatch.io.files import InputError

CHANNELS = ("donor", "acceptor")
FLOOR = 1e-5  # scores below it count as absent; sparse tracks leave them out
# Windows begin after so many nt on each side. Nearer scores have columns of their own, and high
# ones mostly belong to the same site.
BESIDE = 2
# Ends of the windows on each side, in nt from the position.
WINDOWS = (10, 30, 60, 120, 250, 500, 1_000, 2_500, 10_000, 30_000, 100_000)
SIDES = ("upstream", "downstream")
SITE = 0.1  # score from which a position counts as a site of the gene
MAX_DISTANCE = 30_000  # nt; the distance if there is no site, or none nearer than that

GROUPS = {
    "maximum": tuple(f"{c}_max_{side}_{w}" for c in CHANNELS for side in SIDES for w in WINDOWS),
    "nearest": tuple(f"nearest_{name}_{side}" for name in ("distance", "type") for side in SIDES),
    "gene": tuple(f"{c}_gene_{name}" for c in CHANNELS for name in ("sites", "rank", "max")),
}
COLUMNS = tuple(chain.from_iterable(GROUPS.values()))


class RangeMaxima:
    """Finds the highest value among sorted places between any two bounds.

    Parameters
    ----------
    places : (m,) int
        Ascending.
    values : (m,)
        Value of each place; kept as float32.
    empty : float
        Maximum of a range without places; no value may be lower.
    widest : int
        Largest distance between the places of one range.

    Notes
    -----
    The sparse table of Bender and Farach-Colton (2000): row l holds the maximum of every 2**l
    successive values, and two overlapping entries of a row cover any range. Holds 4 bytes per
    place and row, and as many rows as the fullest range needs.
    """

    def __init__(self, places: np.ndarray, values: np.ndarray, empty: float, widest: int):
        self.places = places
        reach = np.searchsorted(places, places + widest + 1)
        fullest = int(np.max(reach - np.arange(places.size), initial=0))
        self._row_of = np.frexp(np.maximum(np.arange(fullest + 1), 1))[1].astype(np.int32) - 1
        rows = [np.append(values, empty).astype(np.float32)]
        for level in range(self._row_of[-1]):
            width, last = 1 << level, rows[-1]
            wider = last.copy()
            wider[: -1 - width] = np.maximum(last[: -1 - width], last[width:-1])
            rows.append(wider)
        self._table = np.concatenate(rows)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.places.nbytes + self._table.nbytes + self._row_of.nbytes

    def index(self, bounds: np.ndarray) -> np.ndarray:
        """Number of places below each of `bounds`: (n,) int."""
        return np.searchsorted(self.places, bounds)

    def between(self, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Maximum of the values number `first` to `stop` - 1, counted as `index` does.

        Parameters
        ----------
        first, stop : (n,) int
            A range without places may have `first` above `stop`.

        Returns
        -------
        (n,) float32
        """
        m = self.places.size
        size = np.maximum(stop - first, 0)
        level = self._row_of[size]
        filled = size > 0
        row = level * (m + 1)
        left = np.where(filled, first, m) + row
        right = np.where(filled, stop - (1 << level), m) + row
        return np.maximum(self._table[left], self._table[right])


class _Channel:
    """The positions of one gene whose score in one channel reaches the floor."""

    def __init__(self, places: np.ndarray, scores: np.ndarray, floor: float):
        self.places, self.scores = places, scores
        self.maxima = RangeMaxima(places, np.log(scores), np.log(floor), WINDOWS[-1])
        self.rising = np.sort(scores)
        self.sites = places[scores >= np.float32(SITE)]
        self.best = np.log(self.rising[-1] if scores.size else floor)


class Landscape:
    """The base scores of one gene that reach the floor.

    Blind to labels, to annotation, and to the gene's length and ends. Scores exist only inside
    the gene, though, so windows without any score hint at an end; benchmarks/features.md says how
    much of the gain that is. Memory: 50 to 90 bytes per channel and position that reaches the
    floor, whatever the length of the gene.
    """

    def __init__(self, channels: Iterable[_Channel]):
        self._channels = tuple(channels)

    @property
    def kept(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Positions and scores that are kept, of donors and of acceptors; positions ascend."""
        return tuple((channel.places, channel.scores) for channel in self._channels)

    @classmethod
    def collect(
        cls, blocks: Iterable[np.ndarray], length: int, floor: float = FLOOR
    ) -> "Landscape":
        """Collect the landscape of a gene from its scores, one block in memory at a time.

        Parameters
        ----------
        blocks : iterable of (2, n) float32
            Donor and acceptor scores of successive stretches, in transcript orientation. The
            size of the blocks changes nothing.
        length : int
            Length of the gene in nt.
        floor : float
            Scores below it count as absent. A floor below 1e-5 counts as 1e-5.

        Raises
        ------
        InputError
            If the blocks together are shorter or longer than the gene.
        """
        places = tuple([np.empty(0, np.int64)] for _ in CHANNELS)
        scores = tuple([np.empty(0, np.float32)] for _ in CHANNELS)
        start, floor = 0, max(floor, FLOOR)
        for block in blocks:
            for channel, row in enumerate(np.asarray(block, dtype=np.float32)):
                kept = np.flatnonzero(row >= np.float32(floor))
                places[channel].append(kept + start)
                scores[channel].append(row[kept])
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
            Their own donor and acceptor scores, used for the rank alone.

        Returns
        -------
        dict of (n,) float32
            Named and ordered as `COLUMNS`, all finite. Positions do not depend on each other.

            - `max`: log of the highest score from 3 nt to so many nt away; log of the floor if no
              score reaches it.
            - `nearest_distance`: nt to the nearest other position with a donor or acceptor score
              of at least 10 %; 30,000 if there is none nearer.
            - `nearest_type`: 1 if that is a donor, -1 if an acceptor, 0 if neither or both.
            - `gene_sites`: number of positions of the gene with a score of at least 10 %.
            - `gene_rank`: number of positions of the gene with a higher score.
            - `gene_max`: log of the gene's highest score, at any position.
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
    """Number of the gene's sites, number of positions with a higher score, highest score."""
    rising = channel.rising
    rank = rising.size - np.searchsorted(rising, np.asarray(own, np.float32), side="right")
    yield "gene_sites", np.full(rank.size, channel.sites.size)
    yield "gene_rank", rank
    yield "gene_max", np.full(rank.size, channel.best)


def _nearest(sites: list[np.ndarray], positions: np.ndarray) -> dict[str, np.ndarray]:
    """Distance to the nearest site on each side, and its kind."""
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
