"""Features of a position from the sequence and the base scores of its gene.

One function makes them for training and for inference, and it cannot see labels or annotation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.features import base_scores as score_features
from genebatch.features import composition
from genebatch.features.base_scores import MARGIN
from genebatch.features.composition import gc_share
from genebatch.features.landscape import COLUMNS as LANDSCAPE
from genebatch.features.landscape import Landscape
from genebatch.features.words import count_type, kmer_counts, kmer_names
from genebatch.genome.nucleotides import UNKNOWN, encode
from genebatch.io.files import InputError

# Raised whenever a column of equal name gets another value, so that a model is not given other
# numbers than it was trained on.
FEATURE_VERSION = 1
FAMILIES = (
    *("scores", "probability", "context", "peak", "cross"),
    *("composition", "landscape", "kmers", "span"),
)
LONGEST_WORD = 6  # nt: 4,096 columns
WIDEST = 5_000  # nt on each side: what a base model with a long view takes in
SPAN = (
    *("gene_length", "gene_gc_content"),
    *("distance_to_start", "distance_to_end", "relative_position"),
)


@dataclass(frozen=True)
class Spec:
    """Which features are made, and how: a table and a model with equal specs fit each other.

    Parameters
    ----------
    families : tuple of str
        Of `FAMILIES`, kept in that order; "scores" is always among them, as boosters start there.
    kmers : tuple of int
        Word lengths in nt, 1 to 6, of the family "kmers"; kept in ascending order.
    window : int
        nt on each side of a position over which composition and words are counted, 3 to 5,000.
    floor : float
        Scores below it count as it. Sparse score tables leave small scores out, so those must not
        be told apart from each other and from absent ones.

    Raises
    ------
    InputError
        Where one of them is none of that; it names the config key.
    """

    families: tuple[str, ...] = tuple(name for name in FAMILIES if name != "span")
    kmers: tuple[int, ...] = (3, 5)
    window: int = 60
    floor: float = 1e-5

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
    def from_json(cls, value: Mapping[str, Any]) -> "Spec":
        """Read what `to_json` wrote, which is also the config part `features`.

        Raises
        ------
        InputError
            Naming a key that is unknown or whose value is impossible.
        """
        unknown = value.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"features has no key {sorted(unknown)[0]!r}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})

    def to_json(self) -> dict[str, Any]:
        """The spec as a dictionary that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features in order: family by family, the word counts last."""
        names = score_features.COLUMNS | {
            "composition": composition.COLUMNS,
            "landscape": LANDSCAPE,
            "kmers": (),
            "span": SPAN,
        }
        return sum((names[family] for family in self.families), ()) + self.count_columns

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


class Window(NamedTuple):
    """A stretch of a gene, in transcript orientation.

    Attributes
    ----------
    start : int
        Gene position of `scores[:, 0]`; may be negative where the stretch begins before the gene.
    scores : (2, n) float32
        Donor and acceptor scores from `start` on, 0 outside the gene.
    sequence : (n + 2 * spec.window,) uint8
        Codes from gene position `start - spec.window` on.
    """

    start: int
    scores: np.ndarray
    sequence: np.ndarray


def position_features(
    sequence: np.ndarray | str | bytes,
    donor: np.ndarray,
    acceptor: np.ndarray,
    positions: np.ndarray | None = None,
    spec: Spec = Spec(),
) -> pl.DataFrame:
    """Features of some positions of a gene, from its sequence and its base scores alone.

    Parameters
    ----------
    sequence : (length + 2 * spec.window,) uint8 codes, str or bytes
        The gene in transcript orientation with `spec.window` nt on each side, N (code 4) where
        there is no base.
    donor, acceptor : (length,) float
        Base scores of every nt of the gene, in transcript orientation, 0 where absent.
    positions : (n,) int, optional
        Gene positions, 0 to length - 1, in any order; all of them by default.
    spec : Spec
        What to make.

    Returns
    -------
    polars.DataFrame
        n rows, columns `spec.columns`: word counts uint8 (uint16 from a window of 128 on),
        everything else float32, always finite. With the default spec a row takes 1.5 kB;
        `window_features` makes a long gene in pieces.

    Raises
    ------
    InputError
        Where lengths do not fit, scores are no probabilities, or a position is outside the gene.
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
    landscape = Landscape.collect([scores], length, spec.floor)
    inside = codes[spec.window : len(codes) - spec.window]
    return window_features(
        Window(0, scores, codes), positions, landscape, spec, length, gc_share(inside)
    )


def window_features(
    window: Window,
    positions: np.ndarray,
    landscape: Landscape,
    spec: Spec,
    length: int,
    gene_gc: float | None = None,
) -> pl.DataFrame:
    """Features of positions inside a stretch of a gene; equal bytes whatever the stretch.

    Parameters
    ----------
    window : Window
        The stretch.
    positions : (n,) int
        Gene positions, at least `MARGIN` nt inside the stretch unless the gene ends there.
    landscape : Landscape
        Of the whole gene.
    spec : Spec
        What to make.
    length : int
        Length of the gene in nt.
    gene_gc : float, optional
        `gc_share` of the gene; needed by the family "span" alone.

    Returns
    -------
    polars.DataFrame
        As `position_features`. Holds 250 bytes a position beside it while computing.
    """
    positions = np.asarray(positions, dtype=np.int64)
    near = _near(window, positions, length, spec.floor)
    columns = score_features.score_features(near.astype(np.float64), spec.families)
    starts = positions - window.start  # a position's flank begins where the stretch's does
    counts = _word_counts(window.sequence, starts, spec)
    if "composition" in spec.families:
        columns |= composition.composition_features(
            window.sequence, starts, 2 * spec.window + 1, counts[composition.WORD]
        )
    if "landscape" in spec.families:
        columns |= landscape.features(positions, near[:, MARGIN])
    if "span" in spec.families:
        columns |= _span(positions, length, gene_gc)
    series = [pl.Series(name, column) for name, column in columns.items()]
    if "kmers" in spec.families:
        series += [word for k in spec.kmers for word in _by_word(counts[k], k)]
    return pl.DataFrame(series)


def _near(window: Window, positions: np.ndarray, length: int, floor: float) -> np.ndarray:
    """Floored scores at the positions and their neighbours: (2, 5, n) float32, 0 off the gene."""
    first, stop = window.start, window.start + window.scores.shape[1]
    if len(positions):
        low, high = max(positions.min() - MARGIN, 0), min(positions.max() + MARGIN, length - 1)
        if low < first or high >= stop:
            raise ValueError(f"scores from {first} to {stop - 1} given, {low} to {high} needed")
    padded = np.pad(window.scores.astype(np.float32, copy=False), ((0, 0), (MARGIN, MARGIN)))
    index = positions - first + np.arange(2 * MARGIN + 1)[:, None]
    return np.maximum(padded[:, index], np.float32(floor))


def _word_counts(sequence: np.ndarray, starts: np.ndarray, spec: Spec) -> dict[int, np.ndarray]:
    """Word counts by word length: those of the spec, and the 3-mers that the complexity needs."""
    lengths = set(spec.kmers) if "kmers" in spec.families else set()
    if "composition" in spec.families:
        lengths.add(composition.WORD)
    return {k: kmer_counts(sequence, starts, 2 * spec.window + 1, k) for k in sorted(lengths)}


def _by_word(counts: np.ndarray, k: int) -> Iterator[pl.Series]:
    """Columns of word counts, without a copy."""
    # Slices of one series: a series made from an array takes 8 us, most of the time of few rows.
    n, flat = len(counts), pl.Series(counts.T.reshape(-1))
    for number, name in enumerate(kmer_names(k)):
        yield flat.slice(number * n, n).alias(name)


def _span(positions: np.ndarray, length: int, gene_gc: float | None) -> dict[str, np.ndarray]:
    """Place of a position in the annotated span of its gene, 0 at its start and 1 at its end."""
    if gene_gc is None:
        raise ValueError("the family 'span' needs the gene's GC share")
    values = (
        *(np.full(len(positions), length), np.full(len(positions), gene_gc)),
        *(positions, length - 1 - positions, positions / max(length - 1, 1)),
    )
    return {name: value.astype(np.float32) for name, value in zip(SPAN, values, strict=True)}


def _check_scores(donor: np.ndarray, acceptor: np.ndarray) -> np.ndarray:
    """Donor and acceptor scores (2, length) float32, once they are seen to be probabilities."""
    scores = [np.asarray(track, dtype=np.float32) for track in (donor, acceptor)]
    if scores[0].shape != scores[1].shape or scores[0].ndim != 1:
        shapes = " and ".join(str(track.shape) for track in scores)
        raise InputError(f"donor and acceptor scores have shapes {shapes}, wanted one length")
    for name, track in zip(score_features.CHANNELS, scores, strict=True):
        bad = np.flatnonzero(~((track >= 0) & (track <= 1)))
        if len(bad):
            raise InputError(
                f"{name} score {track[bad[0]]} at position {bad[0]:,} is no probability: wanted "
                "0 to 1"
            )
    return np.stack(scores)


def _refuse(key: str, wanted: str, got: Any) -> None:
    raise InputError(f"features.{key}: wanted {wanted}, got {got!r}")
