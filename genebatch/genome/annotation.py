"""Reads GTF and GFF3 files as tables of the pieces of transcripts, and of their genes."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genebatch.genome import gff3_tree, gtf_lines
from genebatch.genome.left_out import LeftOut
from genebatch.genome.line_types import Kind, with_kind
from genebatch.genome.structure import Structure
from genebatch.io.files import InputError
from genebatch.io.text import line_blocks

WANTED = "gene models as GTF or GFF3"
COLUMNS = (
    *("chrom", "source", "type", "start", "end"),
    *("score", "strand", "phase", "attributes"),
)
SEQUENCES = "^(##FASTA|>)"
VERSION_3 = r"^##gff-version\s+3"
SKIPPED = pl.col("text").str.contains(r"^(#|track |browser |\s*$)")
# Two functions per format: one cuts a block of lines into tables, one joins the tables of all
# blocks.
FORMATS = {
    "GTF": (gtf_lines.read_block, gtf_lines.join_blocks),
    "GFF3": (gff3_tree.read_block, gff3_tree.join_blocks),
}
# How the attributes of each format begin. Free text looks like unquoted GTF.
FORMS = {"GTF": r'^\s*\w+\s+("|[^=;]*(;|$))', "GFF3": r"^\s*[^=;\s]+\s*="}
DECISIVE = 1_000  # lines whose attributes decide on the format
# Other formats, by a pattern of the first line that is no comment.
FOREIGN = {
    r"^>": "a FASTA file",
    r"^@(HD|SQ|PG|RG|CO)\t": "a SAM file",
    r"^@": "a FASTQ file",
    r"^LOCUS ": "a GenBank file",
    r"^[^\t]+\t[0-9]+\t[0-9]+(\t|$)": "a BED file",
    r"^[^\t]+\t[0-9]+\t[^\t]*\t[ACGTN]+\t": "a VCF file",
    r"^([^\t]+\t){1,3}[+-]\t[0-9]+\t[0-9]+\t": "a genePred or refFlat table",
    r"^gene_id[\t,]": "a table of scores or groups",
}


def read_annotation(path: str | Path, key: str, left_out: LeftOut) -> Structure:
    """Read a GTF or GFF3 file, plain or gzip.

    The attributes of the lines and the header tell the two formats apart. Streams the file: holds
    a block of lines, and a few columns of the lines of genes, transcripts and exons.

    Parameters
    ----------
    path
        The file.
    key
        The config key or flag that names it.
    left_out
        Takes the lines that cannot be used.

    Raises
    ------
    InputError
        If the file is something else, has no exons, or has a blank or empty chromosome name.
    """
    types: Counter[str] = Counter()
    lines = _Lines(path, key, left_out)
    blocks = iter(lines)
    first, form = _format(blocks, lines)
    read_block, join_blocks = FORMATS[form]
    parts = []
    for frame in itertools.chain(first, blocks):
        types.update(dict(frame["type"].value_counts().iter_rows()))
        parts.append(read_block(frame))
    structure = None
    if parts:
        tables = (pl.concat(tables) for tables in zip(*parts, strict=True))
        structure = join_blocks(*tables, left_out)
    if structure is None or not structure.pieces.height:
        shown = ", ".join(f"{name} ({count:,})" for name, count in types.most_common(5))
        left_out.refuse(
            "has no line of type exon or CDS that names its transcript (its types: "
            f"{shown or 'none, it has no lines'})",
            f"wanted {WANTED} with exons; set {key}",
        )
    return structure


class _Lines:
    """The lines of a file but comments, as tables of columns; ends before the sequences of GFF3.

    A line whose coordinates are wrong has start and end 0.

    Attributes
    ----------
    version_3
        Whether a header read so far says that the file is GFF3.
    """

    def __init__(self, path: str | Path, key: str, left_out: LeftOut):
        self.path, self.key, self._left_out = path, key, left_out
        self.version_3 = False

    def __iter__(self) -> Iterator[pl.DataFrame]:
        seen = False
        for block in line_blocks(self.path, WANTED, self.key):
            frame = pl.DataFrame({"text": block.lines}).with_row_index("line", offset=block.first)
            if not seen:
                self.version_3 |= frame["text"].str.contains(VERSION_3).any()
            frame = frame.filter(~SKIPPED | pl.col("text").str.contains(SEQUENCES))
            if frame.height and not seen:
                _refuse_foreign(self.path, frame["text"][0], self.key)
                seen = True
            sequences = frame["text"].str.contains(SEQUENCES)
            ended = sequences.any()
            if ended:
                frame = frame.head(sequences.arg_max())
            if frame.height:
                yield self._columns(frame)
            if ended:
                return

    def _columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Split lines at tabs and make starts 0-based; leave out lines of fewer columns."""
        parts = pl.col("text").str.splitn("\t", 9).struct.rename_fields(list(COLUMNS))
        table = frame.select("line", parts.struct.unnest()).drop("source", "score", "phase")
        short = table["attributes"].is_null()
        if short.any():
            self._leave_out_short(frame.filter(short))
            table = table.filter(~short)
        table = with_kind(table)
        self._refuse_blank(table)
        numbers = table.with_columns(
            pl.col("start").cast(pl.Int64, strict=False) - 1,
            pl.col("end").cast(pl.Int64, strict=False),
        )
        right = ((pl.col("start") >= 0) & (pl.col("start") < pl.col("end"))).fill_null(False)
        wrong = numbers.select(~right).to_series()
        if not wrong.any():
            return numbers
        self._leave_out_misplaced(table.filter(wrong))
        return numbers.with_columns(
            pl.when(right).then(name).otherwise(0).alias(name) for name in ("start", "end")
        )

    def _leave_out_short(self, lines: pl.DataFrame) -> None:
        spaces = pl.col("text").str.count_matches(r"\S+") >= len(COLUMNS)
        columns = pl.col("text").str.count_matches("\t") + 1
        items = lines.select(
            "line",
            pl.format(
                "has {} columns{}",
                columns,
                pl.when(spaces)
                .then(pl.lit("; it has spaces where tabs belong"))
                .otherwise(pl.lit("")),
            ).alias("reason"),
        )
        self._left_out.add("lines without the 9 columns separated by tabs", items)

    def _leave_out_misplaced(self, lines: pl.DataFrame) -> None:
        place = pl.format("start '{}', end '{}'", "start", "end")
        what = "lines whose start and end are not whole numbers from 1 with start <= end"
        # The transcripts of exons are left out, and count.
        self._left_out.add(what, lines.select("line", place.alias("reason")), counts=False)

    def _refuse_blank(self, table: pl.DataFrame) -> None:
        """Refuse chromosome names that are empty, or begin or end with blanks."""
        named = table.filter(pl.col("kind") <= Kind.TRANSCRIPT)
        blank = named.filter(pl.col("chrom") != pl.col("chrom").str.strip_chars())
        blank = pl.concat([named.filter(pl.col("chrom") == ""), blank]).head(1)
        if blank.height:
            line, chrom = blank.select("line", "chrom").row(0)
            fact = "has blanks at its beginning or end" if chrom else "is empty"
            raise InputError(
                f"{self.path}, line {line:,}: column 1, the chromosome {chrom!r}, {fact}; wanted "
                f"the names of the genome; mend the file, or set {self.key} to another"
            )


def _refuse_foreign(path: str | Path, line: str, key: str) -> None:
    text = pl.Series([line])
    for pattern, kind in FOREIGN.items():
        if text.str.contains(pattern)[0]:
            raise InputError(f"{path} looks like {kind}; wanted {WANTED}; set {key}")


def _format(blocks: Iterator[pl.DataFrame], lines: _Lines) -> tuple[list[pl.DataFrame], str]:
    """Tell GTF from GFF3 by the header and the attributes of the first lines; give these lines.

    A header of GFF3 is believed if any line has the attributes of GFF3. Else most lines decide.
    """
    first, counts = [], Counter[str]()
    for frame in blocks:
        first.append(frame)
        for form, pattern in FORMS.items():
            counts[form] += int(frame["attributes"].str.contains(pattern).sum())
        if counts.total() >= DECISIVE:
            break
    if counts["GFF3"] and (lines.version_3 or counts["GFF3"] > counts["GTF"]):
        return first, "GFF3"
    if first and not counts.total() and any(frame.height for frame in first):
        line, text = next(f for f in first if f.height).select("line", "attributes").row(0)
        raise InputError(
            f"{lines.path}, line {line:,}: attributes {text[:60]!r} are neither those of GTF "
            f'(gene_id "X"; ...) nor of GFF3 (ID=X;...); set {lines.key}'
        )
    return first, "GTF"
