"""Gathers counts, range, density and hash of a column over record batches."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genebatch.io.files import digest

# Share of non-zero cells below which a count column is stored sparse. A round then takes at most
# half of the time of dense storage (benchmarks/engine.md); above it the gain fades, while 13 bytes
# a stored cell against 2 bytes a cell make the matrix twice as large.
SPARSE_BELOW = 0.3
NULL_BITS = np.uint64(0x9E3779B97F4A7C15)
SPREAD = np.uint64(0xBF58476D1CE4E5B9)  # odd; its bits look random


class ColumnFacts:
    """Counts, range and density of one column; `outside` counts finite values beyond `bounds`.

    Possible faults of the table are counted by file.
    """

    def __init__(self, name: str, bounds: tuple[float, float] = (-np.inf, np.inf)):
        self.name, self.bounds = name, bounds
        self.nonzero = 0
        self.nulls: Counter[str] = Counter()
        self.nans: Counter[str] = Counter()
        self.infinite: Counter[str] = Counter()
        self.outside: Counter[str] = Counter()
        self.minimum, self.maximum = np.inf, -np.inf
        self._multiplier = multiplier("column", name)

    def add(self, column: pa.Array, path: str, hashes: np.ndarray) -> np.ndarray:
        """Take in a column of a record batch, add its bits to `hashes`, and give its values."""
        values, missing = _values(column)
        bits = _bits(values)
        if missing is not None:
            bits[missing] = NULL_BITS
            self.nulls[path] += int(missing.sum())
        add_bits(hashes, bits, self._multiplier)
        finite = values if missing is None else values[~missing]
        if values.dtype.kind == "f":
            finite = self._finite(finite, path)
        if len(finite):
            minimum, maximum = float(finite.min()), float(finite.max())
            self.minimum = min(self.minimum, minimum)
            self.maximum = max(self.maximum, maximum)
            self.nonzero += int(np.count_nonzero(finite))
            low, high = self.bounds
            if minimum < low or maximum > high:
                self.outside[path] += int(((finite < low) | (finite > high)).sum())
        return values

    def merge(self, other: "ColumnFacts") -> None:
        """Take in the facts of the same column of other rows."""
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.nonzero += other.nonzero
        for name in ("nulls", "nans", "infinite", "outside"):
            getattr(self, name).update(getattr(other, name))

    def summary(self, rows: int, kind: pa.DataType) -> dict[str, Any]:
        """JSON facts; `kind` is `count` for sparse non-negative integers, else `dense`."""
        density = self.nonzero / max(rows, 1)
        # A missing count has no place in a matrix where absent means zero.
        sparse = pa.types.is_integer(kind) and self.minimum >= 0 and not self.nulls
        return {
            "type": str(kind),
            "kind": "count" if sparse and density < SPARSE_BELOW else "dense",
            "nulls": self.nulls.total(),
            "nans": self.nans.total(),
            "infinite": self.infinite.total(),
            "minimum": self.minimum if np.isfinite(self.minimum) else None,
            "maximum": self.maximum if np.isfinite(self.maximum) else None,
            "density": density,
            "constant": self.constant,
        }

    @property
    def constant(self) -> bool:
        """True if all values are equal and none is missing. Infinite ones, if allowed, are."""
        return self.minimum == self.maximum and not (self.empty or self.infinite)

    @property
    def blank(self) -> bool:
        """True if every value is missing."""
        return self.minimum > self.maximum

    @property
    def empty(self) -> Counter[str]:
        """Rows that are null or NaN, by file."""
        return self.nulls + self.nans

    @property
    def example(self) -> str:
        """The value of a constant column, for messages."""
        return f"{self.minimum:g}"

    def _finite(self, values: np.ndarray, path: str) -> np.ndarray:
        # Features are float32: what is too large for it is infinite there.
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False))
        if finite.all():
            return values
        nans = int(np.isnan(values).sum())
        infinite = len(values) - int(finite.sum()) - nans
        if infinite:
            self.infinite[path] += infinite
        if nans:
            self.nans[path] += nans
        return values[finite]


class CategoryFacts:
    """Nulls of a column of categories, and whether it has several; see `ColumnFacts`."""

    def __init__(self, name: str):
        self.name = name
        self.nulls: Counter[str] = Counter()
        self.nans: Counter[str] = Counter()
        self.infinite: Counter[str] = Counter()
        self.some: set[str] = set()  # two of the categories at most
        self._multiplier = multiplier("column", name)

    def add(self, column: pa.Array, path: str, hashes: np.ndarray) -> np.ndarray:
        """Take in a column of a record batch, add the bits of its texts to `hashes`."""
        encoded = pc.cast(column, pa.string()).dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        missing = codes < 0
        if missing.any():
            self.nulls[path] += int(missing.sum())
        own = [NULL_BITS, *(np.uint64(int(digest("text", name), 16)) for name in names)]
        hashes += np.array(own, np.uint64)[codes + 1] * self._multiplier
        self._add(names)
        return codes

    def merge(self, other: "CategoryFacts") -> None:
        """Take in the facts of the same column of other rows."""
        self.nulls.update(other.nulls)
        self._add(other.some)

    def summary(self, rows: int, kind: pa.DataType) -> dict[str, Any]:
        """JSON facts; `kind` is `category`, and there is a `minimum` if there is a category."""
        return {
            "type": str(kind),
            "kind": "category",
            "nulls": self.nulls.total(),
            "nans": 0,
            "infinite": 0,
            "minimum": 0 if self.some else None,
            "maximum": len(self.some) - 1 if self.some else None,
            "density": 1.0,
            "constant": self.constant,
        }

    @property
    def constant(self) -> bool:
        """True if all values are equal and none is missing."""
        return len(self.some) == 1 and not self.nulls

    @property
    def blank(self) -> bool:
        """True if every value is missing."""
        return not self.some

    @property
    def example(self) -> str:
        """The value of a constant column, for messages."""
        return repr(next(iter(self.some)))

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self.some) < 2:
                self.some.add(name)


@cache
def multiplier(*of: str) -> np.uint64:
    """Odd 64-bit multiplier of a column: equal values in two columns give different hashes."""
    return np.uint64(int(digest(*of), 16) | 1)


def add_bits(hashes: np.ndarray, bits: np.ndarray, factor: np.uint64) -> None:
    """Add the values of a column, which are used up, to the hashes of their rows.

    A product modulo 2^64 knows as many bits of the factor as are left of the trailing zeros of the
    value: 12 of the 64 for 1.0 of float64. So the values are first mapped one to one to numbers
    that differ in low bits as well: a product carries each bit upward, and bytes in reverse order
    have the highest byte of it lowest.
    """
    bits *= SPREAD
    bits.byteswap(inplace=True)
    bits *= factor
    hashes += bits


def mix(hashes: np.ndarray) -> np.ndarray:
    """Finalise as splitmix64 does (Steele, Lea and Flood 2014), so that sums tell rows apart."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _values(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """A column as numpy with nulls as zeros, and the mask of its nulls."""
    missing = None
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    return values, missing


def _bits(values: np.ndarray) -> np.ndarray:
    """The bits of each value as a fresh uint64 array."""
    if values.dtype.kind == "f":
        values = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    return values.astype(np.uint64)
