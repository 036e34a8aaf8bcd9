"""Highest value in each of many ranges of places on a line."""

import numpy as np


class RangeMaxima:
    """Sorted places with values, asked for the maximum between any two bounds.

    Parameters
    ----------
    places : (m,) int
        Ascending.
    values : (m,)
        Value of each place; kept as float32.
    empty : float
        Maximum of a range without places; no value may be below it.
    widest : int
        Largest distance between the places of one range.

    Notes
    -----
    The sparse table of Bender and Farach-Colton (2000): row l holds the maximum of every 2**l
    successive values, and two overlapping entries of a row give any range. Holds 4 bytes per
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
        """Maximum of the values number `first` to `stop` - 1, given as `index` gives them.

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
