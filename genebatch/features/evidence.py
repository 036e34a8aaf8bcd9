"""Computes features of positions from tracks of evidence along the genome.

Labels and annotation are not arguments. A window reaches outside of its gene, so no feature shows
where the annotation lets a gene begin or end.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from genebatch.config.tracks import Track
from genebatch.genome.evidence.junctions import MEASURES, JunctionTrack
from genebatch.genome.evidence.numbers import NumberTrack
from genebatch.genome.evidence.tracks import Source
from genebatch.genome.genes import SITES, Gene

# nt on each side of a position: what surrounds a site itself, and its side of an exon.
REACHES = (10, 50)
SUFFIXES = {
    "number": (
        "value",
        *(f"{what}_{reach}" for reach in REACHES for what in ("mean", "max", "min")),
    ),
    "junctions": tuple(f"{site}_{what}" for site in SITES for what in MEASURES),
}
# Of a track without features, what stands in the calls.
CARRIED = {"number": ("value",), "junctions": SUFFIXES["junctions"]}
TYPES = {"number": pl.Float32(), "junctions": pl.UInt32()}


def column_name(track: str, suffix: str) -> str:
    """Name of a column of a track."""
    return f"track_{track}_{suffix}"


def track_columns(name: str, kind: str) -> tuple[str, ...]:
    """Names of the features of a track."""
    return tuple(column_name(name, suffix) for suffix in SUFFIXES[kind])


class Evidence(NamedTuple):
    """Open tracks that give features."""

    sources: tuple[Source, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return tuple(self.schema)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Names of the features in order, and their types."""
        return {
            column: TYPES[track.kind]
            for track, _ in self.sources
            for column in track_columns(track.name, track.kind)
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Kind and columns of each track, for the table and the model file."""
        return {
            track.name: {
                "kind": track.kind,
                "columns": list(track_columns(track.name, track.kind)),
            }
            for track, _ in self.sources
        }

    def needing(self, columns: Collection[str]) -> Self:
        """The tracks of which some column is wanted."""
        wanted = set(columns)
        return type(self)(
            tuple(
                source
                for source in self.sources
                if wanted.intersection(track_columns(source.track.name, source.track.kind))
            )
        )


class Carried(NamedTuple):
    """Open tracks that give no features, but columns of the calls."""

    sources: tuple[Source, ...] = ()

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Names of the columns in order, and their types."""
        return {
            column_name(track.name, suffix): TYPES[track.kind]
            for track, _ in self.sources
            for suffix in CARRIED[track.kind]
        }

    def of(self, gene: Gene, start: int, stop: int) -> list[pl.Series]:
        """The columns for gene positions start to stop - 1."""
        return EvidenceBlock(self.sources, gene, start, stop).carried()


def by_role(sources: Sequence[Source]) -> tuple[Evidence, Carried]:
    """Tell the tracks that give features from the others."""
    features, others = (
        tuple(source for source in sources if (source.track.role == "feature") == wanted)
        for wanted in (True, False)
    )
    return Evidence(features), Carried(others)


class EvidenceBlock:
    """The evidence of a stretch of a gene.

    A track is read when it is first asked for, once. Holds 4 bytes for each position and number
    track.

    Parameters
    ----------
    sources
        The tracks.
    gene
        The gene; its annotated transcripts are not used.
    start, stop
        Gene positions, half-open.
    """

    def __init__(self, sources: Sequence[Source], gene: Gene, start: int, stop: int):
        self._sources, self._gene = sources, gene
        self._start, self._stop = start, stop

    def features(self, positions: np.ndarray) -> list[pl.Series]:
        """Features of positions of the stretch, in any order.

        Parameters
        ----------
        positions
            (n,) int, gene positions.

        Returns
        -------
        list of polars.Series
            Named and typed as `Evidence.schema`, n values each. Numbers are NaN where the file has
            no value; junctions are 0 where there is none. Computing holds 40 bytes per position.
        """
        places = np.asarray(positions, np.int64)
        series = []
        for number, (track, data) in enumerate(self._sources):
            if isinstance(data, JunctionTrack):
                values = [*data.reads(self._gene, places)]
            else:
                near = self._around[number]
                values = number_features(near, places - self._start + REACHES[-1])
            series += _named(track, SUFFIXES, values)
        return series

    def carried(self) -> list[pl.Series]:
        """What the calls carry of the tracks, `CARRIED`, of every position of the stretch."""
        series = []
        for number, (track, data) in enumerate(self._sources):
            if isinstance(data, JunctionTrack):
                values = [*data.reads(self._gene, np.arange(self._start, self._stop))]
            else:
                values = [self._around[number][REACHES[-1] : -REACHES[-1]]]
            series += _named(track, CARRIED, values)
        return series

    @cached_property
    def _around(self) -> dict[int, np.ndarray]:
        """Values of the stretch of each number track, and `REACHES[-1]` nt on each side."""
        ends = self._start - REACHES[-1], self._stop + REACHES[-1]
        return {
            number: data.values(self._gene, *ends)
            for number, (_, data) in enumerate(self._sources)
            if isinstance(data, NumberTrack)
        }


def number_features(values: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    """Value, and mean, maximum and minimum of the values within each of `REACHES`.

    Missing values have no part in them. Without any value within reach all three are missing.

    Parameters
    ----------
    values
        (m,) float32 along a stretch, NaN where there is none.
    places
        (n,) int, at least `REACHES[-1]` from both ends.

    Returns
    -------
    list of numpy.ndarray
        (n,) float32 each, ordered as the suffixes of a number.
    """
    total, known = np.zeros(len(places)), np.zeros(len(places), np.int64)
    high, low = (np.full(len(places), np.nan, np.float32) for _ in range(2))
    columns = [values[places]]
    # From the place outward, so that no sum depends on the stretch or on other places.
    for distance in range(REACHES[-1] + 1):
        for shift in dict.fromkeys((distance, -distance)):
            near = values[places + shift]
            there = ~np.isnan(near)
            total += np.where(there, near, 0)
            known += there
            np.fmax(high, near, out=high)
            np.fmin(low, near, out=low)
        if distance in REACHES:
            mean = np.full(len(places), np.nan)
            np.divide(total, known, out=mean, where=known > 0)
            columns += [mean.astype(np.float32), high.copy(), low.copy()]
    return columns


def _named(
    track: Track, suffixes: Mapping[str, Sequence[str]], values: Sequence[np.ndarray]
) -> list[pl.Series]:
    names = [column_name(track.name, suffix) for suffix in suffixes[track.kind]]
    return [
        pl.Series(name, column, TYPES[track.kind])
        for name, column in zip(names, values, strict=True)
    ]
