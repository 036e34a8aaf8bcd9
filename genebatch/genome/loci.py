"""Untangles transcripts whose pieces cannot be taken as exons as they stand."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from genebatch.genome.gene_loci import NEAR
from genebatch.genome.line_types import Kind
from genebatch.genome.repeated_ids import Span, merged, nearest
from genebatch.genome.structure import MISPLACED, TRANS_SPLICED

STRANDS = ("+", "-")
# Copies of one transcript are about equally long; the parts of a trans-spliced one need not be.
ALIKE = 1.25
# Exons of a copy that is known by its pattern alone: three exons and two introns of equal lengths.
FEWEST_REPEATED = 3


class Piece(NamedTuple):
    """An exon, CDS or UTR line; `run` numbers the blocks of lines of its gene in the file."""

    chrom: str
    strand: str
    start: int
    end: int
    line: int
    kind: int
    number: int | None
    flaw: int
    run: int


class Hints(NamedTuple):
    """What tells copies of a transcript apart in a file, where its lines do not.

    Attributes
    ----------
    in_blocks
        Lines of a transcript stand together, so a second block far away is a second locus.
    bare
        The file has neither transcript lines nor exon numbers, so a repeated pattern tells.
    """

    in_blocks: bool
    bare: bool


class Lines(NamedTuple):
    """The lines of a transcript itself and those of its gene, as far as the file has any."""

    own: Sequence[Span] = ()
    gene: Sequence[Span] = ()


class Untangled(NamedTuple):
    """What the pieces of one transcript id are.

    Attributes
    ----------
    loci
        The exons of each locus, sorted and apart.
    reason
        Why there are none, or "".
    counts
        Whether the transcript counts as one that is lost.
    outside
        CDS and UTR lines that lie in none of the exons.
    doubtful
        Whether the loci may be parts of one transcript, so that ends of exons may be sites.
    """

    loci: list[list[Piece]]
    reason: str = ""
    counts: bool = True
    outside: tuple[Piece, ...] = ()
    doubtful: bool = False


class _Cut(NamedTuple):
    """Exons on one strand by their locus, and whether the loci may be parts of one transcript."""

    loci: list[list[Piece]]
    doubtful: bool = False


def untangle(pieces: Sequence[Piece], lines: Lines, hints: Hints, min_intron: int) -> Untangled:
    """Find the exons of a transcript id, at each of its loci.

    Parameters
    ----------
    pieces
        All pieces of the id.
    lines
        The lines of the transcript and of its gene.
    hints
        What tells copies apart in this file.
    min_intron
        Exons nearer than this are one exon.
    """
    flaws = {piece.flaw for piece in pieces}
    if MISPLACED in flaws:
        return Untangled([], "have a line with wrong coordinates")
    if TRANS_SPLICED in flaws:
        return Untangled([], "are trans-spliced")
    if any(piece.strand not in STRANDS for piece in pieces):
        # A single exon has no splice site on either strand.
        return Untangled([], "have no strand", counts=len({p[:4] for p in pieces}) > 1)
    exons, outside = _best(pieces)
    cuts = [_split(place, lines, hints) for place in _places(exons)]
    if not all(cut.loci for cut in cuts):
        return Untangled([], "have exon numbers that repeat at one locus")
    loci = [locus for cut in cuts for locus in cut.loci]
    if _is_trans_spliced(loci, lines.own):
        return Untangled([], "have exons on several strands or chromosomes (trans-spliced?)")
    joined = [_joined(locus, min_intron) for locus in loci]
    if not all(joined):
        return Untangled([], "have exons that overlap")
    return Untangled(joined, outside=outside, doubtful=any(cut.doubtful for cut in cuts))


def _best(pieces: Sequence[Piece]) -> tuple[list[Piece], tuple[Piece, ...]]:
    """The pieces that are exons, and those that contradict them."""
    exons = [piece for piece in pieces if piece.kind == Kind.EXON]
    if not exons:
        return list(pieces), ()
    others = [piece for piece in pieces if piece.kind != Kind.EXON]
    apart = [
        piece
        for piece in others
        if piece.kind == Kind.OTHER_EXON and not any(_overlap(piece, exon) for exon in exons)
    ]
    return exons + apart, tuple(piece for piece in others if piece not in apart)


def _overlap(one: Piece | Span, other: Piece) -> bool:
    return one[:2] == other[:2] and one.start < other.end and other.start < one.end


def _places(exons: Iterable[Piece]) -> list[list[Piece]]:
    """Exons by chromosome and strand, exact doubles once, in the order of the file."""
    places: dict[tuple[str, str], dict[tuple, Piece]] = {}
    for exon in sorted(exons, key=lambda exon: exon.line):
        places.setdefault(exon[:2], {}).setdefault(exon[:4], exon)
    return [list(place.values()) for place in places.values()]


def _split(exons: list[Piece], lines: Lines, hints: Hints) -> _Cut:
    """Exons on one strand by their locus: by transcript lines, numbers, pattern or blocks."""
    spans = merged(span for span in lines.own if span[:2] == exons[0][:2])
    if len(spans) > 1:
        loci: list[list[Piece]] = [[] for _ in spans]
        for exon in exons:
            loci[nearest(spans, *exon[:4])].append(exon)
        return _Cut([locus for locus in loci if locus])
    whole = any(all(_overlap(line, exon) for exon in exons) for line in (*spans, *lines.gene))
    if len({exon.number for exon in exons} - {None}) < sum(e.number is not None for e in exons):
        return _by_number(exons, whole)
    if any(exon.number is not None for exon in exons):
        return _Cut([exons])
    copies = _by_pattern(exons) if hints.bare else [exons]
    if len(copies) > 1:
        return _Cut(copies, doubtful=whole)
    blocks = _by_block(exons) if hints.in_blocks and not whole else [exons]
    return _Cut(blocks, doubtful=len(blocks) > 1)


def _by_number(exons: list[Piece], whole: bool) -> _Cut:
    """Exons whose numbers repeat, by their copy; no locus if they cannot be told.

    The numbers tell copies if each has the same ones. Numbers that are all alike tell nothing of
    exons near each other. Numbers that stay the same along the strand are of parts of an exon.
    """
    along = sorted(exons)
    numbers = [exon.number for exon in along if exon.number is not None]
    cuts = [_where_numbers_repeat(ordered) for ordered in (along, exons)]
    copies = next((parts for parts in cuts if _same_numbers(parts)), None)
    parts = copies or cuts[0]
    groups = [parts] if whole else _by_distance(parts)
    if len(set(numbers)) == 1:
        loci = [list(itertools.chain(*group)) for group in groups]
        return _Cut(loci, doubtful=len(loci) > 1)
    near = len(groups) < len(parts)
    if copies:
        return _Cut(copies, doubtful=near or not _are_alike(copies))
    if near and numbers not in (sorted(numbers), sorted(numbers, reverse=True)):
        return _Cut([])
    return _Cut(parts, doubtful=True)


def _where_numbers_repeat(exons: list[Piece]) -> list[list[Piece]]:
    """Begin a part where the numbers of the exons begin again."""
    parts: list[list[Piece]] = []
    for exon in exons:
        used = [other.number for other in parts[-1]] if parts else []
        if not parts or (exon.number is not None and exon.number in used):
            parts.append([])
        parts[-1].append(exon)
    return parts


def _same_numbers(parts: list[list[Piece]]) -> bool:
    return len({frozenset(exon.number for exon in part) - {None} for part in parts}) == 1


def _are_alike(parts: list[list[Piece]]) -> bool:
    """Whether all have about as many bases in exons."""
    lengths = [sum(exon.end - exon.start for exon in part) for part in parts]
    return max(lengths) <= ALIKE * min(lengths)


def _by_block(exons: list[Piece]) -> list[list[Piece]]:
    """Exons by their block of lines; blocks that lie near each other as one."""
    blocks: dict[int, list[Piece]] = {}
    for exon in exons:
        blocks.setdefault(exon.run, []).append(exon)
    return [list(itertools.chain(*near)) for near in _by_distance(blocks.values())]


def _by_distance(parts: Iterable[list[Piece]]) -> list[list[list[Piece]]]:
    """Parts that are copies by their distance, as `find_loci` measures it; others together."""
    groups: list[list[list[Piece]]] = []
    reach: tuple[int, int] = 0, 0
    for part in sorted(parts, key=lambda part: min(exon.start for exon in part)):
        start, end = min(exon.start for exon in part), max(exon.end for exon in part)
        near = min(max(end - start, reach[1] - reach[0]), NEAR)
        if groups and start - reach[1] <= near:
            groups[-1].append(part)
            reach = reach[0], max(end, reach[1])
        else:
            groups.append([part])
            reach = start, end
    return groups


def _by_pattern(exons: list[Piece]) -> list[list[Piece]]:
    """Copies that repeat all lengths of exons and introns, further apart than they are long."""
    exons = sorted(exons)
    for size in range(FEWEST_REPEATED, len(exons) // 2 + 1):
        copies = [exons[at : at + size] for at in range(0, len(exons), size)]
        shapes = {
            tuple((exon.start - copy[0].start, exon.end - exon.start) for exon in copy)
            for copy in copies
        }
        length = copies[0][-1].end - copies[0][0].start
        gaps = (after[0].start - copy[-1].end for copy, after in itertools.pairwise(copies))
        if len(shapes) == 1 and all(gap > length for gap in gaps):
            return copies
    return [exons]


def _is_trans_spliced(loci: list[list[Piece]], lines: Sequence[Span]) -> bool:
    """Whether loci on several strands or chromosomes are parts of one transcript, not copies."""
    places = {locus[0][:2] for locus in loci}
    if len(places) == 1:
        return False
    if places <= {span[:2] for span in lines}:
        return False
    numbers = [{exon.number for exon in locus} - {None} for locus in loci]
    if all(numbers):
        return len(set.union(*numbers)) == sum(map(len, numbers))
    order = sorted((exon.line, number) for number, locus in enumerate(loci) for exon in locus)
    runs = 1 + sum(one[1] != other[1] for one, other in itertools.pairwise(order))
    return len({len(locus) for locus in loci}) > 1 or not _are_alike(loci) or runs > len(loci)


def _joined(locus: list[Piece], min_intron: int) -> list[Piece]:
    """Exons sorted by start, overlapping pieces as one; empty if exons overlap by more."""
    joined: list[Piece] = []
    for exon in sorted(locus):
        last = joined[-1] if joined else None
        if last is None or exon.start >= last.end:
            joined.append(exon)
            continue
        overlap = min(exon.end, last.end) - exon.start
        if exon.kind == last.kind == Kind.EXON and overlap >= min_intron:
            return []
        joined[-1] = last._replace(end=max(last.end, exon.end), kind=max(last.kind, exon.kind))
    return joined
