"""Opens the tracks of evidence of a genome, and counts how much of each is used."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

import polars as pl

from genebatch.config.tracks import KEY, Track, Tracks
from genebatch.genome.evidence.checks import Assembly
from genebatch.genome.evidence.junctions import JunctionTrack
from genebatch.genome.evidence.numbers import NumberTrack
from genebatch.genome.genes import Gene

log = logging.getLogger(__name__)

OPEN = {"number": NumberTrack, "junctions": JunctionTrack}
COUNTS = {
    **dict.fromkeys(("track", "kind", "role", "measure"), pl.String),
    **dict.fromkeys(("count", "of", "reads"), pl.Int64),
}


class Source(NamedTuple):
    """An open track: what the config says of it, and its data by its kind."""

    track: Track
    data: NumberTrack | JunctionTrack


@contextmanager
def open_tracks(
    tracks: Tracks, genes: Sequence[Gene], assembly: Assembly, key: str = KEY
) -> Iterator[tuple[Source, ...]]:
    """Open tracks for the time of a block, in their order.

    Holds what `NumberTrack` and `JunctionTrack` hold.

    Parameters
    ----------
    tracks
        The tracks.
    genes
        The genes that will be asked for.
    assembly
        The genome.
    key
        How a message names a track, with `{name}` for its name.

    Raises
    ------
    InputError
        As `NumberTrack` and `JunctionTrack` do.
    """
    with ExitStack() as files:
        yield tuple(
            Source(track, files.enter_context(closing(_opened(track, genes, assembly, key))))
            for track in tracks.all
        )


def count_use(sources: Sequence[Source], genes: Sequence[Gene]) -> pl.DataFrame:
    """Count how much of each track is used for some genes, and log it.

    Reads every gene once from each bigWig file.

    Returns
    -------
    polars.DataFrame
        A line for each track and measure: `track, kind, role, measure, count, of, reads`. `reads`
        is null where none are counted.
    """
    lines = []
    for track, data in sources:
        counts = list(data.counts(genes))
        lines += [(track.name, track.kind, track.role, *count) for count in counts]
        log.info(
            "track %s (%s, %s): %s",
            *(track.name, track.kind, track.role),
            "; ".join(_said(count) for count in counts),
        )
    return pl.DataFrame(lines, COUNTS, orient="row")


def _opened(
    track: Track, genes: Sequence[Gene], assembly: Assembly, key: str
) -> NumberTrack | JunctionTrack:
    return OPEN[track.kind](track, genes, assembly, key.format(name=track.name))


def _said(count) -> str:
    measure, number, of, reads = count
    share = f" ({100 * number / of:.3g} %)" if of else ""
    with_reads = "" if reads is None else f" with {reads:,} reads"
    return f"{measure}: {number:,} of {of:,}{share}{with_reads}"
