"""What the base scores of a whole gene say about one of its positions."""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from genebatch.files import InputError
from genebatch.range_maxima import RangeMaxima

CHANNELS = ("donor", "acceptor")
FLOOR = 1e-5  # scores below it count as absent; sparse tracks leave them out
# The +-2 nt around a position are columns of their own, and neighbours there are the same site.
NEAREST = 3
# Windows in nt: the positions NEAREST to so many nt away on one side.
WINDOWS = (10, 30, 60, 120, 250, 500, 1_000, 2_500, 10_000, 30_000, 100_000)
LEVELS = {"p1": 0.01, "p10": 0.1, "p50": 0.5}  # scores from which a distance is taken
MAX_DISTANCE = 30_000  # nt; a site farther away, or none, has this distance


def _sided(kind: str, marks: Iterable[object]) -> tuple[str, ...]:
    return tuple(
        f"{channel}_{kind}_{side}_{mark}"
        for channel in CHANNELS
        for side in ("upstream", "downstream")
        for mark in marks
    )


GROUPS = {
    "maximum": _sided("max", WINDOWS),
    "distance": _sided("distance", LEVELS),
    "gene": tuple(
        f"{channel}_gene_{name}" for channel in CHANNELS for name in ("sites", "rank", "max")
    ),
}
COLUMNS = tuple(chain.from_iterable(GROUPS.values()))


class _Channel:
    """Sites of one gene in one channel: every position whose score reaches the floor."""

    def __init__(self, places: np.ndarray, scores: np.ndarray, floor: float):
        self.maxima = RangeMaxima(places, np.log(scores), np.log(floor), WINDOWS[-1])
        self.rising = np.sort(scores)
        self.above = {name: places[scores >= level] for name, level in LEVELS.items()}
        self.best = np.log(self.rising[-1] if scores.size else floor)


class Landscape:
    """Base scores of one gene, kept where they reach the floor.

    Blind to labels, annotation and the ends of the gene: where no score reaches the floor, the
    gene's end looks like any other stretch. Memory goes with the number of positions that reach
    the floor, 80 to 120 bytes for each and channel, and not with the length of the gene.
    """

    def __init__(self, channels: Iterable[_Channel]):
        self._channels = dict(zip(CHANNELS, channels, strict=True))

    @property
    def n_sites(self) -> tuple[int, int]:
        """Number of donor and acceptor positions that are kept."""
        donor, acceptor = (sites.rising.size for sites in self._channels.values())
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
            floor where none reaches it. `distance`: nt to the nearest other position with a score
            of at least 1, 10 or 50 %, 30,000 where it is farther away or absent. `gene_sites`:
            positions of the gene with a score of at least 10 %; `gene_rank`: positions of the
            gene with a score above the own; `gene_max`: log of the gene's highest score, the own
            included.
        """
        positions = np.asarray(positions, dtype=np.int64)
        columns = {}
        for (channel, sites), own in zip(self._channels.items(), scores, strict=True):
            for name, values in _channel_columns(sites, positions, np.asarray(own, np.float32)):
                columns[f"{channel}_{name}"] = values.astype(np.float32, copy=False)
        return {name: columns[name] for name in COLUMNS}


def _channel_columns(
    sites: _Channel, positions: np.ndarray, own: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Columns of one channel, without its name."""
    stop = sites.maxima.index(positions - (NEAREST - 1))
    first = sites.maxima.index(positions + NEAREST)
    for window in WINDOWS:
        sides = {
            "upstream": (sites.maxima.index(positions - window), stop),
            "downstream": (first, sites.maxima.index(positions + window + 1)),
        }
        for side, (low, high) in sides.items():
            yield f"max_{side}_{window}", sites.maxima.between(low, high)
    for level, places in sites.above.items():
        for side, distance in _distances(places, positions).items():
            yield f"distance_{side}_{level}", distance
    yield "gene_sites", np.full(own.size, sites.above["p10"].size)
    yield "gene_rank", sites.rising.size - np.searchsorted(sites.rising, own, side="right")
    yield "gene_max", np.full(own.size, sites.best)


def _distances(places: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Distance in nt to the nearest place before and after each position, clipped."""
    far = 2 * MAX_DISTANCE
    low, high = (positions.min(), positions.max()) if positions.size else (0, 0)
    padded = np.concatenate(([low - far], places, [high + far]))
    before = positions - padded[np.searchsorted(places, positions)]
    after = padded[np.searchsorted(places, positions, side="right") + 1] - positions
    return {
        "upstream": np.minimum(before, MAX_DISTANCE),
        "downstream": np.minimum(after, MAX_DISTANCE),
    }
