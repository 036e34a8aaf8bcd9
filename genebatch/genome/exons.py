"""Puts the exons of transcripts together from the lines of an annotation."""

import itertools
import logging
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch.genome.left_out import LeftOut
from genebatch.genome.line_types import Kind
from genebatch.genome.loci import FEWEST_REPEATED, STRANDS, Hints, Lines, Piece, untangle
from genebatch.genome.repeated_ids import Span
from genebatch.genome.structure import Structure
from genebatch.io.files import first_names

log = logging.getLogger(__name__)

# In a file in blocks, at most this share of transcripts has its lines apart.
FEW = 0.1
EXON = ("gene", "key", "transcript", "chrom", "strand", "start", "end", "line")
STRETCH = ("chrom", "strand", "start", "end")


class Exons(NamedTuple):
    """Exons of transcripts, and what is not known.

    Attributes
    ----------
    exons : pl.DataFrame
        gene, key, transcript, chrom, strand, start, end, line; sorted by gene, key and start. The
        exons of a gene and key are one transcript at one locus.
    unsure : pl.DataFrame
        chrom, strand, start, end: stretches in which splice sites are not known, such as the ends
        of the exons of transcripts that are left out.
    """

    exons: pl.DataFrame
    unsure: pl.DataFrame


def build_exons(
    path: str | Path, structure: Structure, min_intron: int, left_out: LeftOut
) -> Exons:
    """Build the exons of every transcript at each of its loci.

    - A transcript without exon lines is built from its CDS, UTR and codons.
    - Exact doubles of a line are one exon.
    - Exons nearer than `min_intron` nt are one exon; the ends between them are unsure.
    - Transcripts that cannot be read are left out; the ends of their exons are unsure.
    - So are the ends of a transcript's exons if its loci may be parts of one.
    """
    pieces = _numbered(structure.pieces)
    if pieces.height < structure.pieces.height:
        doubles = structure.pieces.height - pieces.height
        log.info("%s: %s exact doubles of exon or CDS lines left out", path, f"{doubles:,}")
    hints = Hints(_in_blocks(pieces), structure.bare)
    odd = _odd(pieces, structure.transcripts, hints)
    plain = pieces.filter(~pl.col("t").is_in(odd.implode()))
    tangled = pieces.filter(pl.col("t").is_in(odd.implode()))
    rows, unsure = _untangled(path, tangled, structure, hints, min_intron, left_out)
    exons = plain.select(EXON)
    if rows.height:
        exons = pl.concat([exons, rows]).sort("gene", "key", "start", maintain_order=True)
    exons, gaps = _without_short_gaps(path, exons, min_intron)
    loose = _ends(structure.loose.filter(pl.col("end") > pl.col("start")))
    return Exons(exons, pl.concat([unsure, gaps, loose]))


def _numbered(pieces: pl.DataFrame) -> pl.DataFrame:
    """Sort pieces by transcript and start; number transcripts (`t`) and blocks (`run`)."""
    pieces = _with_runs(pieces)
    pieces = pieces.sort("gene", "key", "start", "end", "kind", maintain_order=True)
    opens = (pl.col("gene") != pl.col("gene").shift(1)) | (pl.col("key") != pl.col("key").shift(1))
    pieces = pieces.with_columns(opens.fill_null(True).cum_sum().alias("t"))
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in ("t", *STRETCH))
    # A double of another type than exon tells nothing; one exon line is enough.
    return pieces.filter(~same.fill_null(False))


def _with_runs(pieces: pl.DataFrame) -> pl.DataFrame:
    """Number the blocks of lines of each gene in the file (`run`).

    Lines of other genes end a block. They do not where all lines up to the gene's next one are in
    the order of the coordinates, up or down or as text: there genes overlap or lie in each other.
    """
    start, text = pl.col("start"), pl.col("start").cast(pl.String)
    steps = pieces.select(
        "gene",
        # A line of several parents stands here several times.
        (pl.col("line") != pl.col("line").shift(1)).cum_sum().alias("lines"),
        (start < start.shift(1)).cum_sum().alias("falls"),
        (start > start.shift(1)).cum_sum().alias("rises"),
        (text < text.shift(1)).cum_sum().alias("falls_as_text"),
    ).fill_null(0)
    since = steps.select(
        "gene", *(pl.col(name).diff().over("gene") for name in steps.columns if name != "gene")
    )
    opens = (pl.col("lines") > 1) & pl.all_horizontal(pl.col("falls", "rises", "falls_as_text") > 0)
    run = since.select(opens.fill_null(False).cast(pl.Int64).cum_sum().over("gene"))
    return pieces.with_columns(run.to_series().alias("run"))


def _in_blocks(pieces: pl.DataFrame) -> bool:
    """Whether the lines of a transcript stand together, not interrupted by those of other genes."""
    several = pieces.group_by("t").agg(
        pl.len().alias("pieces"), (pl.col("run").min() != pl.col("run").max()).alias("apart")
    )
    several = several.filter(pl.col("pieces") > 1)
    return bool(several.height) and several["apart"].mean() <= FEW


def _odd(pieces: pl.DataFrame, lines: pl.DataFrame, hints: Hints) -> pl.Series:
    """Numbers of the transcripts whose pieces are not simply its exons."""

    def differ(name: str) -> pl.Expr:
        return pl.col(name).min() != pl.col(name).max()

    before, numbers = pl.col("end").shift(1), pl.col("number")
    same = pl.col("t") == pl.col("t").shift(1)
    overlaps = (same & (pl.col("start") < before)).fill_null(False)
    odd = (
        (pl.col("kind").max() > Kind.EXON)
        | (pl.col("flaw").max() > 0)
        | differ("chrom")
        | differ("strand")
        | ~pl.col("strand").first().is_in(STRANDS)
        | (numbers.drop_nulls().n_unique() < numbers.count())
        | pl.col("overlaps").any()
    )
    if hints.bare:  # copies by their pattern are possible
        odd |= pl.len() >= 2 * FEWEST_REPEATED
    if hints.in_blocks:
        odd |= differ("run") & (numbers.count() == 0)
    by_transcript = (
        pieces.with_columns(overlaps.alias("overlaps"))
        .group_by("t")
        .agg(pl.col("gene").first(), pl.col("key").first(), odd.alias("odd"))
    )
    repeated = lines.filter(pl.struct("gene", "key").is_duplicated())
    repeated = by_transcript.join(repeated, on=["gene", "key"], how="semi")["t"]
    return pl.concat([by_transcript.filter("odd")["t"], repeated]).unique()


def _untangled(
    path: str | Path,
    pieces: pl.DataFrame,
    structure: Structure,
    hints: Hints,
    min_intron: int,
    left_out: LeftOut,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exons of the transcripts that are not simply made of their exon lines; unsure stretches."""
    own = _spans(structure.transcripts, pieces, ["gene", "key"])
    of_gene = _spans(structure.genes, pieces, ["gene"])
    rows, refused, unsure, contradicted, doubtful, built = [], {}, [], [], [], 0
    columns = ("gene", "key", "transcript", *Piece._fields)
    by_transcript = itertools.groupby(pieces.select(columns).iter_rows(), lambda row: row[:3])
    for (gene, key, name), members in by_transcript:
        members = [Piece(*row[3:]) for row in members]
        lines = Lines(own.get((gene, key), ()), of_gene.get((gene,), ()))
        found = untangle(members, lines, hints, min_intron)
        first = min(piece.line for piece in members)
        if found.reason:
            named = refused.setdefault((found.reason, found.counts), {})
            named.setdefault((name, gene), first)
            unsure += members
        if found.outside:
            contradicted.append((first, name))
            unsure += found.outside
        if found.doubtful:
            doubtful.append((first, name))
            unsure += members
        built += min(piece.kind for piece in members) == Kind.CODING and not found.reason
        for number, locus in enumerate(found.loci):
            place = key if number == 0 else f"{key}\n@{number}"
            rows += [(gene, place, name, *exon[:5]) for exon in locus]
    for (reason, counts), items in refused.items():
        table = pl.DataFrame(
            [(line, *names) for names, line in items.items()],
            ("line", "name", "gene"),
            orient="row",
        )
        left_out.add(f"transcripts that {reason}", table, counts=counts)
    if contradicted:
        log.warning(
            "%s: %s transcripts have CDS or UTR lines outside of their exons, whose ends become no "
            "rows: %s",
            path,
            f"{len(contradicted):,}",
            first_names(f"{name!r} (line {line:,})" for line, name in sorted(contradicted)),
        )
    if doubtful:
        log.warning(
            "%s: %s transcripts may be one or several, since lines of other genes stand between "
            "theirs, or exon numbers or exons repeat; ends of exons that are no site of a part "
            "become no rows: %s",
            path,
            f"{len(doubtful):,}",
            first_names(f"{name!r} (line {line:,})" for line, name in sorted(doubtful)),
        )
    if built:
        log.info("%s: exons of %s transcripts built from CDS and UTR", path, f"{built:,}")
    schema = {name: pieces.schema[name] for name in EXON}
    ends = pl.DataFrame(
        [piece[:4] for piece in unsure], {n: pieces.schema[n] for n in STRETCH}, orient="row"
    )
    return pl.DataFrame(rows, schema, orient="row"), _ends(ends)


def _spans(
    lines: pl.DataFrame, pieces: pl.DataFrame, by: list[str]
) -> dict[tuple[str, ...], list[Span]]:
    """The lines of the genes or transcripts that some pieces belong to."""
    lines = lines.join(pieces.select(by).unique(), on=by, how="semi", maintain_order="left")
    spans: dict[tuple[str, ...], list[Span]] = {}
    for *names, chrom, strand, start, end, line in lines.select(*by, *STRETCH, "line").iter_rows():
        spans.setdefault(tuple(names), []).append(Span(chrom, strand, start, end, (line,)))
    return spans


def _ends(pieces: pl.DataFrame) -> pl.DataFrame:
    """First and last base of pieces, as stretches."""
    pieces = pieces.filter(pl.col("end") > pl.col("start")).select(STRETCH)
    return pl.concat(
        [
            pieces.with_columns(end=pl.col("start") + 1),
            pieces.with_columns(start=pl.col("end") - 1),
        ]
    )


def _without_short_gaps(
    path: str | Path, exons: pl.DataFrame, min_intron: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Join exons nearer than an intron can be; give the ends between them as stretches."""
    same = (pl.col("gene") == pl.col("gene").shift(1)) & (pl.col("key") == pl.col("key").shift(1))
    gap = pl.when(same).then(pl.col("start") - pl.col("end").shift(1))
    exons = exons.with_columns(gap.alias("gap"))
    joins = exons.select((pl.col("gap") < min_intron).fill_null(False)).to_series()
    if not joins.any():
        return exons.drop("gap"), exons.select(STRETCH).clear()
    short = joins & (exons["gap"] > 0)
    before = exons.select(pl.all().shift(1)).filter(short).select(STRETCH)
    after = exons.filter(short).select(STRETCH)
    ends = pl.concat(
        [
            before.with_columns(start=pl.col("end") - 1),
            after.with_columns(end=pl.col("start") + 1),
        ]
    )
    if short.any():
        named = exons.filter(short).unique("key", keep="first", maintain_order=True)
        log.info(
            "%s: %s gaps between exons are shorter than min_intron (%d nt) and no introns, first "
            "in %s",
            path,
            f"{short.sum():,}",
            min_intron,
            first_names(named["transcript"]),
        )
    opens = ~joins
    last = opens.shift(-1, fill_value=True)
    joined = exons.filter(opens).with_columns(exons["end"].filter(last))
    return joined.drop("gap"), ends
