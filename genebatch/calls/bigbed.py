"""Writes calls and predicted transcripts as bigBed, which a browser reads by parts."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from urllib.parse import unquote

from genebatch.calls.browser_files import bed_name
from genebatch.genome.genes import Gene
from genebatch.io.files import InputError

Item = tuple[str, int, int, str]  # chromosome, start, end and the further columns
COLUMNS = (
    ("string chrom", "Chromosome"),
    ("uint chromStart", "First base, from 0"),
    ("uint chromEnd", "Base behind the last, from 0"),
    ("string name", "Gene, and class or number of the transcript"),
    ("uint score", "1000 times the probability or posterior"),
    ("char[1] strand", "Strand"),
    ("uint thickStart", "First base drawn thick"),
    ("uint thickEnd", "Base behind the last drawn thick"),
    ("uint reserved", "Colour"),
    ("int blockCount", "Number of exons"),
    ("int[blockCount] blockSizes", "Lengths of the exons"),
    ("int[blockCount] chromStarts", "Starts of the exons, from chromStart"),
)
CALLS, CHAINS = 9, 12  # columns
NO_COLOUR = "0,0,0"
# Numbers that begin the parts of a bigBed file, and its version, by the specification of UCSC.
MAGIC, CHROMOSOMES, TREE, VERSION = 0x8789F2EB, 0x78CA8C91, 0x2468ACE0, 4
HEADER = 64 + 10 * 24  # bytes, with room for ten levels of zoom as other writers leave it


def bigbed_library(wanting: str) -> ModuleType:
    """Import pybigtools; if it is missing, raise an `InputError` that says what needs it."""
    try:
        import pybigtools
    except ImportError as error:
        raise InputError(
            f"{wanting} needs pybigtools, which is not installed: `pip install genebatch[genomics]`"
        ) from error
    return pybigtools


def write_bigbed(
    path: Path, items: Iterable[Item], contigs: Mapping[str, int], columns: int, wanting: str
) -> None:
    """Write items, each chromosome's together and sorted by start; also none at all.

    Parameters
    ----------
    path
        File to write.
    items
        The items.
    contigs
        Length of each chromosome in nt.
    columns
        How many of `COLUMNS` the items have.
    wanting
        The config key or flag that asks for the file.
    """
    rest = iter(items)
    first = next(rest, None)
    sql = _sql(columns)
    if first is None:
        path.write_bytes(_empty(sql, columns, *next(iter(contigs.items()))))
        return
    writer = bigbed_library(wanting).open(str(path), "w")
    writer.write(dict(contigs), chain([first], rest), autosql=sql)


def items_of_bed(lines: Iterable[str]) -> Iterator[Item]:
    """Items of BED lines; skips comments."""
    for line in lines:
        if not line.startswith("#"):
            name, start, end, rest = line.rstrip("\n").split("\t", 3)
            yield name, int(start), int(end), rest


class _Chain(NamedTuple):
    """A predicted transcript, as far as its lines are read."""

    chrom: str
    start: int
    end: int
    name: str
    score: int
    strand: str
    exons: list[tuple[int, int]]
    coding: list[int]

    def item(self) -> Item:
        """The transcript as BED12."""
        thick = (min(self.coding), max(self.coding)) if self.coding else (self.start, self.start)
        facts = [self.name, self.score, self.strand, *thick]
        return self.chrom, self.start, self.end, _columns(facts, self.start, sorted(self.exons))


def items_of_genes(genes: Iterable[Gene], contigs: Mapping[str, int]) -> list[Item]:
    """All transcripts of gene models as BED12, sorted. Coding sequence is not told apart.

    Left out are further transcripts of a gene that end beyond their chromosome.
    """
    items = []
    for gene in genes:
        for one in gene.transcripts + gene.others:
            start, end = one.exons[0][0], one.exons[-1][1]
            if end > contigs[gene.chrom]:
                continue
            facts = [bed_name(one.id), 0, gene.strand, start, end]
            items.append((gene.chrom, start, end, _columns(facts, start, one.exons)))
    return sorted(items)


def items_of_transcripts(lines: Iterable[str]) -> Iterator[Item]:
    """Transcripts of a file of `transcripts.write_transcripts`, as BED12.

    Holds those that reach to the line that is read.
    """
    waiting: deque[_Chain] = deque()
    by_id: dict[str, _Chain] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        columns = line.rstrip("\n").split("\t")
        chrom, kind, start, end = unquote(columns[0]), columns[2], *map(int, columns[3:5])
        facts = dict(part.split("=", 1) for part in columns[8].split(";"))
        while waiting and (waiting[0].chrom != chrom or waiting[0].end < start):
            yield waiting.popleft().item()
        if not waiting:
            by_id.clear()
        if "posterior" in facts and "rank" in facts:
            name = bed_name(unquote(facts["ID"].partition(":")[2]))
            score = round(1000 * float(facts["posterior"]))
            own = _Chain(chrom, start - 1, end, name, score, columns[6], [], [])
            by_id[facts["ID"]] = own
            waiting.append(own)
        elif kind == "exon":
            by_id[facts["Parent"]].exons.append((start - 1, end))
        elif kind == "CDS":
            by_id[facts["Parent"]].coding.extend((start - 1, end))
    yield from (one.item() for one in waiting)


def _columns(facts: list[str | int], first: int, exons: Sequence[tuple[int, int]]) -> str:
    """Columns of BED12 from the name on."""
    lengths = [end - start for start, end in exons]
    starts = [start - first for start, _ in exons]
    lists = [",".join(map(str, numbers)) for numbers in (lengths, starts)]
    return "\t".join(map(str, [*facts, NO_COLOUR, len(exons), *lists]))


def _sql(columns: int) -> str:
    fields = "\n".join(f'    {field}; "{words}"' for field, words in COLUMNS[:columns])
    return f'table genebatch\n"Splice sites or transcripts of genebatch"\n    (\n{fields}\n    )\n'


def _empty(sql: str, columns: int, chrom: str, size: int) -> bytes:
    """A bigBed file without items, which pybigtools does not write.

    It has one chromosome, an empty list of blocks and an index of one empty leaf.
    """
    text, name = sql.encode() + b"\0", chrom.encode()
    summary = HEADER + len(text)
    tree = summary + 40
    chromosomes = struct.pack("<IIIIQQ", CHROMOSOMES, 1, len(name), 8, 1, 0)
    chromosomes += struct.pack("<BBH", 1, 0, 1) + name + struct.pack("<II", 0, size)
    data = tree + len(chromosomes)
    index = data + 8
    header = struct.pack(
        "<IHHQQQHHQQIQ",
        *(MAGIC, VERSION, 0, tree, data, index),
        *(columns, columns, HEADER, summary, 0, 0),
    )
    leaf = struct.pack("<IIQIIIIQII", TREE, 256, 0, 0, 0, 0, 0, index, 1, 0)
    leaf += struct.pack("<BBH", 1, 0, 0)
    return header.ljust(HEADER, b"\0") + text + bytes(40) + chromosomes + bytes(8) + leaf
