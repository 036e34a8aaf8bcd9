"""Computes features of positions from the sequence and the base scores of their gene.

One function serves training and inference. It cannot see labels or annotation.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from genebatch.config.settings import Section
from genebatch.features import base_scores
from genebatch.features.base_scores import MARGIN
from genebatch.features.landscape import COLUMNS as LANDSCAPE
from genebatch.features.landscape import FLOOR, Landscape
from genebatch.features.structure.coding import Fetch
from genebatch.features.structure.columns import COLUMNS as STRUCTURE
from genebatch.features.structure.columns import Structure
from genebatch.features.structure.model import LEARNED, StructureKeys, StructureModel
from genebatch.features.words import (
    COMPLEXITY_WORD,
    COMPOSITION,
    composition_features,
    count_type,
    gc_share,
    kmer_counts,
    kmer_names,
)
from genebatch.genome.nucleotides import UNKNOWN, encode
from genebatch.io.files import InputError

# Raised whenever a column keeps its name but changes its values: a model must get the features that
# it was trained on.
FEATURE_VERSION = 1
FAMILIES = (
    *("scores", "probability", "context", "peak", "cross"),
    *("composition", "landscape", "structure", "kmers", "span"),
)
LONGEST_WORD = 6  # nt: 4,096 columns
WIDEST = 5_000  # nt on each side, as far as base models with a long view see
HUMAN = StructureModel()
SPAN = (
    *("gene_length", "gene_gc_content"),
    *("distance_to_start", "distance_to_end", "relative_position"),
)

_COLUMNS = base_scores.COLUMNS | {
    "composition": COMPOSITION,
    "landscape": LANDSCAPE,
    "structure": STRUCTURE,
    "kmers": (),
    "span": SPAN,
}


@dataclass(frozen=True)
class Spec(Section):
    """The section `features`: which features are made, and how.

    A table and a model with equal specs fit each other.

    Parameters
    ----------
    families : tuple of str
        Some of `FAMILIES`, kept in that order. "scores" is always among them, because boosters
        start from the scores.
    kmers : tuple of int
        Word lengths in nt, 1 to 6, of the family "kmers"; kept in ascending order.
    window : int
        nt on each side of a position in which composition and words are counted, 3 to 5,000.
    floor : float
        Lower scores count as the floor. Sparse score tables leave small scores out, so small and
        absent scores must look alike.
    structure : StructureKeys
        How the family "structure" sees genes.

    Raises
    ------
    InputError
        If a value is impossible; the message names the config key.
    """

    families: tuple[str, ...] = tuple(name for name in FAMILIES if name != "span")
    kmers: tuple[int, ...] = (3, 5)
    window: int = 60
    floor: float = 1e-5
    structure: StructureKeys = field(default_factory=StructureKeys)

    def __post_init__(self):
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown:
            raise InputError(
                f"features.families: no family is named {unknown[0]!r}; the families "
                f"are {', '.join(FAMILIES)}"
            )
        chosen = {"scores", *self.families}
        object.__setattr__(self, "families", tuple(f for f in FAMILIES if f in chosen))
        if not all(isinstance(k, int) and 1 <= k <= LONGEST_WORD for k in self.kmers):
            _refuse("kmers", f"word lengths from 1 to {LONGEST_WORD} nt", list(self.kmers))
        object.__setattr__(self, "kmers", tuple(sorted(set(self.kmers))))
        if not (isinstance(self.window, int) and 3 <= self.window <= WIDEST):
            _refuse("window", f"a whole number of nt from 3 to {WIDEST}", self.window)
        if not 0 <= self.floor < 1:
            _refuse("floor", "a score from 0 to below 1", self.floor)

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build a spec from the keys of the section; absent keys have their defaults.

        Raises
        ------
        InputError
            Naming a key that is unknown or whose value is impossible.
        """
        unknown = section.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"features has no key {sorted(unknown)[0]!r}")
        return super().build(
            dict(section) | {"structure": StructureKeys.build(section.get("structure", {}))}
        )

    @property
    def learns_codons(self) -> bool:
        """Whether the scores of codons are learned from the genome."""
        return "structure" in self.families and self.structure.coding == LEARNED

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features in order: family by family, the word counts last."""
        return sum((_COLUMNS[family] for family in self.families), ()) + self.count_columns

    def only(self, columns: Collection[str]) -> Self:
        """The same features, without families and word lengths of which no column is wanted."""
        wanted = set(columns)
        lengths = tuple(k for k in self.kmers if wanted & set(kmer_names(k)))
        families = {family for family in self.families if wanted & set(_COLUMNS[family])}
        families |= {"kmers"} if lengths else set()
        return replace(self, families=tuple(families), kmers=lengths or self.kmers)

    @property
    def count_columns(self) -> tuple[str, ...]:
        """Names of the word counts among `columns`."""
        lengths = self.kmers if "kmers" in self.families else ()
        return tuple(name for k in lengths for name in kmer_names(k))

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Type of each of `columns`."""
        count = pl.UInt8() if count_type(2 * self.window + 1) == np.uint8 else pl.UInt16()
        counts = set(self.count_columns)
        return {name: count if name in counts else pl.Float32() for name in self.columns}


class GeneWindow(NamedTuple):
    """A stretch of a gene, in transcript orientation.

    Attributes
    ----------
    start : int
        Gene position of `scores[:, 0]`; negative if the stretch begins before the gene.
    scores : (2, n) float32
        Donor and acceptor scores from `start` on, 0 outside the gene.
    sequence : (n + 2 * spec.window,) uint8
        Codes from gene position `start - spec.window` on.
    """

    start: int
    scores: np.ndarray
    sequence: np.ndarray


class WholeGene(NamedTuple):
    """What features of a position see of its whole gene.

    Attributes
    ----------
    length : int
        Length of the gene in nt.
    landscape : Landscape
        Its base scores.
    structure : Structure, optional
        Its chains of sites, if the family is made.
    gc : float, optional
        Share of G and C, if the family "span" is made.
    """

    length: int
    landscape: Landscape
    structure: Structure | None
    gc: float | None

    @classmethod
    def see(
        cls,
        landscape: Landscape,
        fetch: Fetch,
        length: int,
        spec: Spec,
        structure: StructureModel,
        gc: float | None,
    ) -> Self:
        """Weigh the chains of a gene, if the spec asks for them.

        Parameters
        ----------
        landscape, length, gc
            The attributes.
        fetch
            Gives the codes of the gene between two positions.
        spec
            Which features, and how.
        structure
            What is known of gene structure.
        """
        made = None
        if "structure" in spec.families:
            floor = max(spec.floor, FLOOR)
            made = Structure(landscape.kept, fetch, length, structure, floor)
        return cls(length, landscape, made, gc)


def position_features(
    sequence: np.ndarray | str | bytes,
    donor: np.ndarray,
    acceptor: np.ndarray,
    positions: np.ndarray | None = None,
    spec: Spec = Spec(),
    structure: StructureModel = HUMAN,
) -> pl.DataFrame:
    """Compute features of some positions of a gene from its sequence and its base scores alone.

    Parameters
    ----------
    sequence : (length + 2 * spec.window,) uint8 codes, str or bytes
        The gene in transcript orientation with `spec.window` nt on each side; N (code 4) for a
        missing base.
    donor, acceptor : (length,) float
        Base scores of every nt of the gene, in transcript orientation; 0 for a missing score.
    positions : (n,) int, optional
        Gene positions, 0 to length - 1, in any order; all of them by default.
    spec : Spec
        Which features, and how.
    structure : StructureModel
        What is known of gene structure, for the family "structure".

    Returns
    -------
    polars.DataFrame
        n rows, columns `spec.columns`: word counts uint8 (uint16 from a window of 128 on),
        everything else float32 and finite. A row of the default spec takes 1.5 kB;
        `window_features` computes a long gene in pieces.

    Raises
    ------
    InputError
        If lengths do not fit, scores are no probabilities, or a position is outside the gene.
    """
    codes = encode(sequence) if isinstance(sequence, (str, bytes)) else np.asarray(sequence)
    scores = _check_scores(donor, acceptor)
    length = scores.shape[1]
    if len(codes) != length + 2 * spec.window:
        raise InputError(
            f"the sequence has {len(codes):,} nt, wanted {length + 2 * spec.window:,}: the "
            f"{length:,} scored ones and {spec.window} on each side"
        )
    if codes.dtype != np.uint8 or codes.max(initial=0) > UNKNOWN:
        raise InputError("sequence codes are uint8 from 0 to 4; encode() makes them from text")
    positions = np.arange(length) if positions is None else np.asarray(positions, dtype=np.int64)
    if len(positions) and not 0 <= positions.min() <= positions.max() < length:
        raise InputError(
            f"positions {positions.min():,} to {positions.max():,} are not all inside the gene: "
            f"wanted 0 to {length - 1:,}"
        )
    inside = codes[spec.window : len(codes) - spec.window]
    landscape = Landscape.collect([scores], length, spec.floor)
    whole = WholeGene.see(
        landscape, lambda start, stop: inside[start:stop], length, spec, structure, gc_share(inside)
    )
    return window_features(GeneWindow(0, scores, codes), positions, whole, spec)


def window_features(
    window: GeneWindow,
    positions: np.ndarray,
    whole: WholeGene,
    spec: Spec,
    words: frozenset[str] | None = None,
) -> pl.DataFrame:
    """Compute features of positions inside a stretch of a gene; equal bytes for any stretch.

    Parameters
    ----------
    window : GeneWindow
        The stretch.
    positions : (n,) int
        Gene positions, at least `MARGIN` nt inside the stretch unless the gene ends there.
    whole : WholeGene
        What the features see of the whole gene.
    spec : Spec
        Which features, and how.
    words : frozenset of str, optional
        Columns of words that are wanted; all of the spec by default.

    Returns
    -------
    polars.DataFrame
        As `position_features`, without other words. Computing also holds 250 bytes per position.
    """
    positions = np.asarray(positions, dtype=np.int64)
    near = _near(window, positions, whole.length, spec.floor)
    columns = base_scores.score_features(near.astype(np.float64), spec.families)
    starts = positions - window.start  # of each position's flank in the sequence
    width, counts = 2 * spec.window + 1, {}
    if "composition" in spec.families:
        counts[COMPLEXITY_WORD] = kmer_counts(window.sequence, starts, width, COMPLEXITY_WORD)
        columns |= composition_features(window.sequence, starts, width, counts[COMPLEXITY_WORD])
    if "landscape" in spec.families:
        columns |= whole.landscape.features(positions, near[:, MARGIN])
    if whole.structure is not None:
        columns |= whole.structure.features(positions, near[:, MARGIN])
    if "span" in spec.families:
        columns |= _span(positions, whole.length, whole.gc)
    series = [pl.Series(name, column) for name, column in columns.items()]
    if "kmers" in spec.families:
        for k in spec.kmers:
            wanted = _places(k, words)
            known = counts.get(k)
            if known is None:
                known = kmer_counts(window.sequence, starts, width, k, wanted)
            elif len(wanted) < known.shape[1]:
                known = known[:, wanted]
            series += _by_word(known, k, wanted)
    return pl.DataFrame(series)


def _near(window: GeneWindow, positions: np.ndarray, length: int, floor: float) -> np.ndarray:
    """Floored scores at the positions and their neighbours, (2, 5, n) float32."""
    first, stop = window.start, window.start + window.scores.shape[1]
    if len(positions):
        low, high = max(positions.min() - MARGIN, 0), min(positions.max() + MARGIN, length - 1)
        if low < first or high >= stop:
            raise ValueError(f"scores from {first} to {stop - 1} given, {low} to {high} needed")
    padded = np.pad(window.scores.astype(np.float32, copy=False), ((0, 0), (MARGIN, MARGIN)))
    index = positions - first + np.arange(2 * MARGIN + 1)[:, None]
    return np.maximum(padded[:, index], np.float32(floor))


def _places(k: int, words: frozenset[str] | None) -> np.ndarray:
    """Places in `kmer_names` of the words that are wanted."""
    wanted = [n for n, name in enumerate(kmer_names(k)) if words is None or name in words]
    return np.array(wanted, np.int64)


def _by_word(counts: np.ndarray, k: int, wanted: np.ndarray) -> Iterator[pl.Series]:
    """Columns of word counts, without a copy."""
    # Slices of one series: making a series from an array takes 8 us, too long where rows are few.
    names, n, flat = kmer_names(k), len(counts), pl.Series(counts.T.reshape(-1))
    for place, word in enumerate(wanted):
        yield flat.slice(place * n, n).alias(names[word])


def _span(positions: np.ndarray, length: int, gene_gc: float) -> dict[str, np.ndarray]:
    """Features of the gene's annotated span; relative positions run from 0 to 1."""
    values = (
        *(np.full(len(positions), length), np.full(len(positions), gene_gc)),
        *(positions, length - 1 - positions, positions / max(length - 1, 1)),
    )
    return {name: value.astype(np.float32) for name, value in zip(SPAN, values, strict=True)}


def _check_scores(donor: np.ndarray, acceptor: np.ndarray) -> np.ndarray:
    """Refuse scores that are no probabilities; return them as (2, length) float32."""
    scores = [np.asarray(track, dtype=np.float32) for track in (donor, acceptor)]
    if scores[0].shape != scores[1].shape or scores[0].ndim != 1:
        shapes = " and ".join(str(track.shape) for track in scores)
        raise InputError(f"donor and acceptor scores have shapes {shapes}, wanted one length")
    for name, track in zip(base_scores.CHANNELS, scores, strict=True):
        bad = np.flatnonzero(~((track >= 0) & (track <= 1)))
        if len(bad):
            raise InputError(
                f"{name} score {track[bad[0]]} at position {bad[0]:,} is no probability: wanted "
                "0 to 1"
            )
    return np.stack(scores)


def _refuse(key: str, wanted: str, got: Any) -> None:
    raise InputError(f"features.{key}: wanted {wanted}, got {got!r}")
