"""Reads genes with their transcripts from GTF or GFF3 files, and finds their splice sites."""

import difflib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genebatch.genome.annotation import read_annotation
from genebatch.genome.exons import check_exons
from genebatch.io.files import InputError, first_names
from genebatch.io.text import read_columns

log = logging.getLogger(__name__)

SITES = ("donor", "acceptor")  # kinds of splice sites; scores and tracks have one row for each
STRANDS = {"plus": "+", "minus": "-"}


class Transcript(NamedTuple):
    """A transcript: its exons as (start, end), genomic, 0-based half-open, ascending."""

    id: str
    exons: tuple[tuple[int, int], ...]


class Gene(NamedTuple):
    """A gene on the genome, 0-based half-open; `kind` is its biotype, "" where none is given."""

    id: str
    name: str
    chrom: str
    strand: str
    start: int
    end: int
    kind: str
    transcripts: tuple[Transcript, ...]

    @property
    def length(self) -> int:
        """Length in nt, introns included."""
        return self.end - self.start


def read_gene_models(
    path: str | Path, transcripts: str = "all", key: str = "sequence.genes"
) -> list[Gene]:
    """Read the genes of a GTF or GFF3 file, plain or gzip, sorted by chromosome, start, end and id.

    - A gene spans the exons of the transcripts that are kept.
    - Exons of a transcript that abut are one exon, as nothing is spliced out between them.
    - A gene id on several chromosomes is several genes, such as the pseudoautosomal genes of chrX
      and chrY in UCSC files. The first in the file keeps the id, the others are called
      `ID@chromosome`; the log says so.
    - Genes without an exon are left out; the log says so.

    Streams the file. Holds some columns of the exon lines and the genes, 500 to 700 bytes per
    exon. A file of the size of human GENCODE (1.65 GB, 1.65 million exons) takes 0.8 GB (GFF3
    1.2 GB) and half a minute.

    Parameters
    ----------
    path
        The file; GTF needs only exon lines, with gene_id and transcript_id.
    transcripts
        "all", or "longest": per gene the transcript with most exonic nt, and the first by id among
        equals.
    key
        The config key or flag that names the file.

    Raises
    ------
    InputError
        Naming file and line: the file is no annotation, a line is damaged, exons of a transcript
        overlap or lie on two strands or chromosomes, transcripts of a gene lie on both strands,
        or a gene line does not contain its exons.
    """
    if transcripts not in ("all", "longest"):
        raise InputError(f"transcripts is {transcripts!r}; known: all, longest")
    annotation = check_exons(path, read_annotation(path, key))
    exons = annotation.exons
    if transcripts == "longest":
        exons = _longest(exons)
    genes = sorted(_genes(exons, annotation.facts), key=_place)
    longest = max(genes, key=lambda gene: gene.length)
    log.info(
        "%s: %s genes and %s transcripts on %s chromosomes, the longest gene is %s with %s nt; "
        "%s genes without exons left out",
        path,
        f"{len(genes):,}",
        f"{sum(len(gene.transcripts) for gene in genes):,}",
        f"{len({gene.chrom for gene in genes}):,}",
        longest.id,
        f"{longest.length:,}",
        f"{annotation.childless:,}",
    )
    return genes


def splice_sites(gene: Gene) -> tuple[np.ndarray, np.ndarray]:
    """Gene positions of donors and of acceptors: two sorted int64 arrays without repeats.

    A donor is the last nt of an exon before an intron, an acceptor the first nt of an exon after
    an intron, in transcript orientation, of any transcript. A transcript of one exon has neither.
    A position can be both: in different transcripts, or as an exon of one nt.
    """
    lasts, firsts = _exon_ends(gene)
    donors, acceptors = (lasts, firsts) if gene.strand == "+" else (firsts, lasts)
    return _gene_positions(gene, np.unique(donors)), _gene_positions(gene, np.unique(acceptors))


def stretches(gene: Gene, size: int) -> Iterator[tuple[int, int]]:
    """First and end position of successive stretches of at most `size` nt that cover a gene."""
    for start in range(0, gene.length, size):
        yield start, min(start + size, gene.length)


def genomic_positions(gene: Gene, positions: np.ndarray) -> np.ndarray:
    """0-based genomic positions of gene positions; descending on the minus strand."""
    positions = np.asarray(positions)
    return gene.start + positions if gene.strand == "+" else gene.end - 1 - positions


def genomic_span(gene: Gene, start: int, stop: int) -> tuple[int, int]:
    """Genomic start and end of gene positions `start` to `stop`; they may leave the gene."""
    if gene.strand == "+":
        return gene.start + start, gene.start + stop
    return gene.end - stop, gene.end - start


def foreign_sites(genes: Sequence[Gene]) -> dict[str, np.ndarray]:
    """Gene positions that are a splice site of another gene on the same strand, but not its own.

    Returns
    -------
    dict
        Gene id to sorted int64 positions inside the gene, empty where there are none.
    """
    own = [np.unique(np.concatenate(_exon_ends(gene))) for gene in genes]
    places: dict[tuple[str, str], list[int]] = {}
    for number, gene in enumerate(genes):
        places.setdefault((gene.chrom, gene.strand), []).append(number)
    foreign = {}
    for numbers in places.values():
        sites = np.unique(np.concatenate([own[number] for number in numbers]))
        for number in numbers:
            gene = genes[number]
            inside = sites[slice(*np.searchsorted(sites, (gene.start, gene.end)))]
            foreign[gene.id] = _gene_positions(gene, np.setdiff1d(inside, own[number]))
    return foreign


def overlap_groups(genes: Sequence[Gene], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Group genes that must stay together in training or test.

    These are one group:

    - genes that overlap on the genome, on either strand;
    - genes that share a given group;
    - copies of a gene on several chromosomes (`ID`, `ID@chrY`, `ID_PAR_Y`).

    Chains join: if a overlaps b and b shares a group with c, all three are one group.

    Parameters
    ----------
    genes
        The genes.
    given
        Gene id to group, for example a cluster of paralogs; a gene may have none.

    Returns
    -------
    dict
        Gene id to group; a group has the name of the first of its gene ids.
    """
    given = given or {}
    order = sorted(genes, key=_place)
    labels: dict[Any, int] = {}
    links, chain, chrom, reach = [], -1, None, 0
    for number, gene in enumerate(order):
        if gene.chrom != chrom or gene.start >= reach:
            chain, chrom, reach = chain + 1, gene.chrom, gene.end
        reach = max(reach, gene.end)
        joined = [("chain", chain), ("copy", _root(gene))]
        joined += [("given", given[gene.id])] if gene.id in given else []
        links += [(number, labels.setdefault(label, len(labels))) for label in joined]
    rows, columns = np.array(links, dtype=np.int64).reshape(-1, 2).T
    size = len(order) + len(labels)
    graph = coo_array((np.ones(rows.size), (rows, columns + len(order))), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(order)]
    names: dict[int, str] = {}
    for number in sorted(range(len(order)), key=lambda number: order[number].id):
        names.setdefault(component[number], order[number].id)
    return {gene.id: names[component[number]] for number, gene in enumerate(order)}


def read_groups(path: str | Path, key: str = "sequence.groups") -> dict[str, str]:
    """Read the groups of genes from a TSV or CSV file with the columns gene_id and group.

    Raises
    ------
    InputError
        If a column is missing, a value is empty, or a gene has two groups.
    """
    groups: dict[str, str] = {}
    for table in read_columns(path, ("gene_id", "group"), "a table of gene_id and group", key):
        for line, gene, group in table.iter_rows():
            if not gene or not group:
                raise InputError(f"{path}, line {line:,}: gene_id or group is empty; set {key}")
            if groups.setdefault(gene, group) != group:
                raise InputError(
                    f"{path}, line {line:,}: gene {gene!r} is in group {group!r} but was in "
                    f"{groups[gene]!r} above; wanted one group a gene"
                )
    return groups


def select_genes(genes: Sequence[Gene], wanted: Collection[str], source: str) -> list[Gene]:
    """Genes with the ids `wanted`, in the order of `genes`.

    Parameters
    ----------
    genes
        All genes.
    wanted
        Gene ids.
    source
        Where `wanted` comes from, for the message.

    Raises
    ------
    InputError
        Naming ids that no gene has, and the most similar ids of genes.
    """
    chosen = set(wanted)
    unknown = sorted(chosen - {gene.id for gene in genes})
    if unknown:
        shown = first_names(f"{name!r}{_hint(name, genes)}" for name in unknown)
        raise InputError(
            f"{source}: {len(unknown):,} of {len(chosen):,} genes are not in the gene models: "
            f"{shown}"
        )
    return [gene for gene in genes if gene.id in chosen]


def _hint(name: str, genes: Sequence[Gene]) -> str:
    named = [gene.id for gene in genes if gene.name == name]
    near = named or difflib.get_close_matches(name, [gene.id for gene in genes], n=1)
    return f" ({'the name of' if named else 'nearest is'} {near[0]!r})" if near else ""


def _place(gene: Gene) -> tuple[str, int, int, str]:
    return gene.chrom, gene.start, gene.end, gene.id


def _root(gene: Gene) -> str:
    return gene.id.removesuffix(f"@{gene.chrom}").removesuffix("_PAR_Y")


def _exon_ends(gene: Gene) -> tuple[np.ndarray, np.ndarray]:
    """Genomic positions of the last and first nt of exons beside an intron."""
    exons = [transcript.exons for transcript in gene.transcripts]
    lasts = [end - 1 for spans in exons for _, end in spans[:-1]]
    firsts = [start for spans in exons for start, _ in spans[1:]]
    return np.array(lasts, dtype=np.int64), np.array(firsts, dtype=np.int64)


def _gene_positions(gene: Gene, genomic: np.ndarray) -> np.ndarray:
    """Ascending gene positions of ascending genomic positions."""
    return genomic - gene.start if gene.strand == "+" else (gene.end - 1 - genomic)[::-1]


def _longest(exons: pl.DataFrame) -> pl.DataFrame:
    """Exons of each gene's transcript with most exonic nt."""
    lengths = exons.group_by("gene", "key").agg(
        (pl.col("end") - pl.col("start")).sum().alias("length"), pl.col("transcript").first()
    )
    order = ["gene", "length", "transcript", "key"]
    chosen = lengths.sort(order, descending=[False, True, False, False])
    chosen = chosen.unique("gene", keep="first")
    return exons.join(chosen, on=["gene", "key"], how="semi", maintain_order="left")


def _genes(exons: pl.DataFrame, facts: pl.DataFrame) -> Iterator[Gene]:
    """Make genes from exons that are sorted by gene, transcript and start."""
    transcripts = exons.group_by("gene", "key", maintain_order=True).agg(
        *(pl.col(name).first() for name in ("transcript", "chrom", "strand")),
        pl.len().alias("exons"),
    )
    spans = list(zip(exons["start"].to_list(), exons["end"].to_list(), strict=True))
    stops = transcripts["exons"].cum_sum().to_list()
    made: dict[tuple[str, str, str], list[Transcript]] = {}
    first = 0
    for (gene, _, name, chrom, strand, _), stop in zip(transcripts.iter_rows(), stops, strict=True):
        made.setdefault((gene, chrom, strand), []).append(
            Transcript(name, tuple(spans[first:stop]))
        )
        first = stop
    named = {(gene, chrom): (name, kind) for gene, chrom, name, kind in facts.iter_rows()}
    for (gene, chrom, strand), group in made.items():
        name, kind = named[gene, chrom]
        start = min(transcript.exons[0][0] for transcript in group)
        end = max(transcript.exons[-1][1] for transcript in group)
        group.sort(key=lambda transcript: transcript.id)
        yield Gene(gene, name or gene, chrom, strand, start, end, kind or "", tuple(group))
