"""Reads splice junctions from SJ.out.tab of STAR or from BED12, plain or gzip."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch.io.files import InputError
from genebatch.io.text import line_blocks

WANTED = "splice junctions: SJ.out.tab of STAR (9 columns) or BED12"
MOST_READS = 2**31 - 1
SCHEMA = {
    "line": pl.Int64,
    "chrom": pl.String,
    "strand": pl.String,
    "left": pl.Int64,
    "right": pl.Int64,
    "unique": pl.Int64,
    "all": pl.Int64,
}
STRAND_OF_CODE = {0: "", 1: "+", 2: "-"}
# Of STAR's motifs: GT/AG, GC/AG and AT/AC, and their reverse complements. 0 is another motif.
STRAND_OF_MOTIF = {0: "", 1: "+", 2: "-", 3: "+", 4: "-", 5: "+", 6: "-"}
BED_STRANDS = {"+": "+", "-": "-", ".": "", "?": ""}


class Junctions(NamedTuple):
    """The junctions of a file.

    Attributes
    ----------
    table
        One row for each line and intron: `line`; `chrom`; `strand`, empty where it is not known;
        `left` and `right`, the exonic bases beside the intron, 0-based; `unique` and `all` reads.
    lines
        Number of lines of data.
    unspliced
        Lines without an intron: BED12 with one block.
    """

    table: pl.DataFrame
    lines: int
    unspliced: int


class _Column(NamedTuple):
    """A column that has to be a whole number from `least` to `most`."""

    place: int
    name: str
    least: int
    most: int | None = None


NO_DATA = r"^($|#|(track|browser)\s)"
STAR = (
    # The exonic base before the intron needs a place.
    *(_Column(1, "intron start", 2), _Column(2, "intron end", 2)),
    *(_Column(3, "strand", 0, 2), _Column(4, "motif", 0, 6), _Column(5, "annotated", 0, 1)),
    _Column(6, "unique reads", 0, MOST_READS),
    _Column(7, "multi-mapping reads", 0, MOST_READS),
    _Column(8, "overhang", 0),
)
BED = (
    *(_Column(1, "chromStart", 0), _Column(2, "chromEnd", 1), _Column(4, "score", 0, MOST_READS)),
    _Column(9, "blockCount", 1),
)


def read_junctions(path: str | Path, key: str) -> Junctions:
    """Read all junctions of a file.

    The number of columns of the first line tells the format. SJ.out.tab: a junction of unknown
    strand gets that of its motif, if the motif tells one. BED12: the gaps between blocks are
    introns and the score is the number of reads; unique reads are not told, so they are all reads.
    Lines that begin with `#`, `track` or `browser` are no data.

    Holds the table, 80 bytes for each junction, and one block of text.

    Parameters
    ----------
    path
        The file.
    key
        The config key or flag that names it.

    Raises
    ------
    InputError
        Naming file, line and column of the first value that is wrong, and what was wanted.
    """
    tables, lines, unspliced, fields = [pl.DataFrame(schema=SCHEMA)], 0, 0, None
    for block in line_blocks(path, WANTED, key):
        text = pl.DataFrame({"text": block.lines}).with_row_index("line", offset=block.first)
        text = text.filter(~pl.col("text").str.contains(NO_DATA))
        if not text.height:
            continue
        fields = fields or _fields(path, text, key)
        table, without = FORMATS[fields](_split(path, text, fields, key), _Refuse(path, key))
        tables.append(table.select(*SCHEMA).cast(SCHEMA))
        lines, unspliced = lines + text.height, unspliced + without
    if fields is None:
        raise InputError(f"{path} has no line of data; wanted {WANTED}; set {key}")
    return Junctions(pl.concat(tables), lines, unspliced)


class _Refuse(NamedTuple):
    """Raises errors about lines of a file."""

    path: str | Path
    key: str

    def __call__(self, wrong: pl.DataFrame, value: str, column: str, wanted: str) -> None:
        """Refuse the first of some lines, if there is one, for a column that holds its value."""
        if wrong.height:
            line, shown = wrong.select(pl.col("line"), pl.col(value).cast(pl.String)).row(0)
            raise InputError(
                f"{self.path}, line {line:,}, {column}: {shown!r}; wanted {wanted}; set {self.key}"
            )


def _fields(path: str | Path, text: pl.DataFrame, key: str) -> int:
    """Number of columns of the first line, if a format has so many."""
    line, first = text.select("line", "text").row(0)
    fields = first.count("\t") + 1
    if fields not in FORMATS:
        hint = ""
        if 3 <= fields < 12 and all(word.isdecimal() for word in first.split("\t")[1:3]):
            hint = " (BED without blocks does not tell where the intron is)"
        raise InputError(
            f"{path}, line {line:,} has {fields} columns{hint}; wanted {WANTED}, separated by "
            f"tabs; set {key}"
        )
    return fields


def _split(path: str | Path, text: pl.DataFrame, fields: int, key: str) -> pl.DataFrame:
    """Columns `0`, `1`, ... of the lines, as text."""
    counts = text["text"].str.count_matches("\t", literal=True) + 1
    wrong = text.filter(counts != fields)
    if wrong.height:
        found = counts.filter(counts != fields)[0]
        raise InputError(
            f"{path}, line {wrong['line'][0]:,} has {found} columns; wanted {fields} as in the "
            f"first line; set {key}"
        )
    parts = pl.col("text").str.splitn("\t", fields).struct
    return text.select("line", parts.rename_fields([str(n) for n in range(fields)]).struct.unnest())


def _numbers(table: pl.DataFrame, columns: Sequence[_Column], refuse: _Refuse) -> pl.DataFrame:
    """The table with some of its columns as whole numbers, by their names."""
    for column in columns:
        text = str(column.place)
        # Of text that is no number a cast makes null.
        number = pl.col(text).str.strip_chars().cast(pl.Int64, strict=False)
        table = table.with_columns(number.alias(column.name))
        fits = pl.col(column.name) >= column.least
        wanted = f"a whole number from {column.least} on"
        if column.most is not None:
            fits &= pl.col(column.name) <= column.most
            wanted = f"a whole number from {column.least} to {column.most:,}"
        wrong = table.filter(~fits.fill_null(False))
        refuse(wrong, text, f"column {column.place + 1} ({column.name})", wanted)
    return table


def _star(table: pl.DataFrame, refuse: _Refuse) -> tuple[pl.DataFrame, int]:
    """Junctions of lines of SJ.out.tab, whose introns count from 1 with both ends."""
    table = _numbers(table, STAR, refuse)
    short = table.filter(pl.col("intron end") < pl.col("intron start"))
    refuse(short, "intron end", "column 3 (intron end)", "an end that is not before the start")
    known = pl.col("strand").replace_strict(STRAND_OF_CODE, return_dtype=pl.String)
    by_motif = pl.col("motif").replace_strict(STRAND_OF_MOTIF, return_dtype=pl.String)
    unique = pl.col("unique reads")
    made = table.select(
        "line",
        pl.col("0").alias("chrom"),
        pl.when(pl.col("strand") == 0).then(by_motif).otherwise(known).alias("strand"),
        (pl.col("intron start") - 2).alias("left"),
        pl.col("intron end").alias("right"),
        unique.alias("unique"),
        (unique + pl.col("multi-mapping reads")).alias("all"),
    )
    return made, 0


def _bed(table: pl.DataFrame, refuse: _Refuse) -> tuple[pl.DataFrame, int]:
    """Junctions of lines of BED12, whose blocks count from 0 at chromStart."""
    table = _numbers(table, BED, refuse)
    strands = table.filter(~pl.col("5").is_in(list(BED_STRANDS)))
    refuse(strands, "5", "column 6 (strand)", "+, - or .")
    blocks = _blocks(table, refuse)
    last = pl.col("line") != pl.col("line").shift(-1)
    introns = blocks.with_columns(
        (pl.col("stop") - 1).alias("left"), pl.col("begin").shift(-1).alias("right")
    ).filter(~last.fill_null(True))
    made = introns.select(
        "line",
        pl.col("0").alias("chrom"),
        pl.col("5").replace_strict(BED_STRANDS, return_dtype=pl.String).alias("strand"),
        *("left", "right", pl.col("score").alias("unique"), pl.col("score").alias("all")),
    )
    return made, table.filter(pl.col("blockCount") == 1).height


def _blocks(table: pl.DataFrame, refuse: _Refuse) -> pl.DataFrame:
    """One row for each block, with `begin` and `stop` on the chromosome."""
    for place, name in ((10, "blockSizes"), (11, "blockStarts")):
        text = str(place)
        words = pl.col(text).str.strip_chars().str.strip_suffix(",").str.split(",")
        # Of text that is no number a cast makes null.
        table = table.with_columns(words.cast(pl.List(pl.Int64), strict=False).alias(name))
        numbers = pl.col(name).list
        empty = numbers.eval(pl.element().is_null()).list.any()
        wrong = (numbers.len() != pl.col("blockCount")) | empty
        wanted = "blockCount whole numbers, separated by commas"
        refuse(table.filter(wrong), text, f"column {place + 1} ({name})", wanted)
    columns = ("line", "0", "5", "10", "11", "score", "chromStart", "chromEnd")
    blocks = table.select(*columns, "blockSizes", "blockStarts").explode(
        "blockSizes", "blockStarts"
    )
    begin = pl.col("chromStart") + pl.col("blockStarts")
    blocks = blocks.with_columns(begin.alias("begin"), (begin + pl.col("blockSizes")).alias("stop"))
    same = pl.col("line") == pl.col("line").shift(1)
    before = pl.when(same).then(pl.col("stop").shift(1)).otherwise(pl.col("chromStart") - 1)
    refuse(
        blocks.filter(pl.col("blockSizes") < 1), "10", "column 11 (blockSizes)", "sizes from 1 on"
    )
    # A gap of 0 between blocks is no intron.
    wrong = (pl.col("begin") <= before) | (pl.col("stop") > pl.col("chromEnd"))
    wanted = "blocks in order and apart, between chromStart and chromEnd"
    refuse(blocks.filter(wrong), "11", "column 12 (blockStarts)", wanted)
    return blocks


FORMATS: dict[int, Callable[[pl.DataFrame, _Refuse], tuple[pl.DataFrame, int]]] = {
    9: _star,
    12: _bed,
}
