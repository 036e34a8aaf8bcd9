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

from genebatch.genome.annotation import WANTED, read_annotation
from genebatch.genome.copies import copy_labels
from genebatch.genome.exons import build_exons
from genebatch.genome.gene_loci import find_loci
from genebatch.genome.left_out import MAX_REFUSED, LeftOut
from genebatch.genome.unsure import hollow_stretches, unsure_of_genes
from genebatch.io.files import InputError, first_names
from genebatch.io.text import read_columns

log = logging.getLogger(__name__)

SITES = ("donor", "acceptor")  # kinds of splice sites; scores and tracks have one row for each
STRANDS = {"plus": "+", "minus": "-"}
MIN_INTRON = 10  # nt; the shortest introns known have about 15


class Transcript(NamedTuple):
    """A transcript: its exons as (start, end), genomic, 0-based half-open, ascending."""

    id: str
    exons: tuple[tuple[int, int], ...]


class Gene(NamedTuple):
    """A gene on the genome, 0-based half-open.

    Attributes
    ----------
    kind
        Its biotype, "" where none is given.
    copy_of
        The id in the file, if the gene is a further copy of it; else "".
    link
        Its id in a public database, such as `GeneID:55344`; "" where none is given.
    unsure
        Genomic stretches, sorted and apart, in which the file does not tell whether there are
        splice sites. The gene's own sites are known there too.
    """

    id: str
    name: str
    chrom: str
    strand: str
    start: int
    end: int
    kind: str
    transcripts: tuple[Transcript, ...]
    copy_of: str = ""
    link: str = ""
    unsure: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        """Length in nt, introns included."""
        return self.end - self.start


def read_gene_models(
    path: str | Path,
    transcripts: str = "all",
    key: str = "sequence.genes",
    *,
    min_intron: int = MIN_INTRON,
    max_refused: float = MAX_REFUSED,
    limit_key: str = "sequence.max_refused",
) -> list[Gene]:
    """Read the genes of a GTF or GFF3 file, plain or gzip, sorted by chromosome, start, end and id.

    - A gene spans the exons of the transcripts that are kept.
    - A transcript without exon lines is built from its CDS, UTR and codons.
    - Exons of a transcript that abut or are nearer than an intron can be are one exon.
    - A gene id at several loci is several genes (other chromosomes or strands, or transcripts that
      lie apart). The first in the file keeps the id, the others are called `ID@chromosome` or
      `ID@chromosome:start-end`.
    - What cannot be read is left out and named in the log, with the lines. Where it may have
      splice sites, other genes are unsure.

    Streams the file. Holds some columns of the exon lines and the genes, about 600 bytes per exon:
    0.85 GB for 1.1 GB of GTF or GFF3 with 1.4 million exons, which takes 20 s of one core.

    Parameters
    ----------
    path
        The file; GTF needs only exon lines, with gene_id and transcript_id.
    transcripts
        "all", or "longest": per gene the transcript with most exonic nt, and the first by id among
        equals.
    key
        The config key or flag that names the file.
    min_intron
        Exons of a transcript that are nearer than this, in nt, are one exon; at least 1.
    max_refused
        Largest share of the genes that may be left out; see `left_out.LeftOut.check`.
    limit_key
        The config key or flag of `max_refused`.

    Raises
    ------
    InputError
        If the file is no annotation, names chromosomes with blanks, or too many of its genes
        cannot be used. The message names the reasons with their lines.
    """
    if transcripts not in ("all", "longest"):
        raise InputError(f"transcripts is {transcripts!r}; known: all, longest")
    left_out = LeftOut(path)
    structure = read_annotation(path, key, left_out)
    built = build_exons(path, structure, min_intron, left_out)
    structure = structure._replace(pieces=structure.pieces.clear())  # a third of the memory
    exons, loci, lost = find_loci(path, built.exons, structure, left_out)
    if not exons.height:
        left_out.refuse("has no gene that can be used", f"wanted {WANTED} with exons; set {key}")
    hollow = hollow_stretches(path, structure, exons)
    left_out.check(loci.height, max_refused, limit_key)
    if transcripts == "longest":
        exons = _longest(exons)
    genes = sorted(_genes(exons, structure.facts, loci), key=_place)
    genes = unsure_of_genes(genes, built.unsure, lost, hollow)
    longest = max(genes, key=lambda gene: gene.length)
    log.info(
        "%s: %s genes and %s transcripts on %s chromosomes, the longest gene is %s with %s nt",
        path,
        f"{len(genes):,}",
        f"{sum(len(gene.transcripts) for gene in genes):,}",
        f"{len({gene.chrom for gene in genes}):,}",
        longest.id,
        f"{longest.length:,}",
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
    """Gene positions whose label is not known, as far as they are no site of the gene.

    They are splice sites of other genes on the same strand, and the unsure stretches of the gene.

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
            stretches = [np.arange(start, end) for start, end in gene.unsure]
            left_out = np.unique(np.concatenate([inside, *stretches]))
            foreign[gene.id] = _gene_positions(gene, np.setdiff1d(left_out, own[number]))
    return foreign


def overlap_groups(
    genes: Sequence[Gene],
    given: Mapping[str, str] | None = None,
    identical: Mapping[str, Collection[str]] | None = None,
) -> dict[str, str]:
    """Group genes that must stay together in training or test.

    These are one group:

    - genes that overlap on the genome, on either strand;
    - genes that share a given group;
    - copies of a gene, see `copies.copy_labels`;
    - genes with a transcript of identical sequence.

    Chains join: if a overlaps b and b shares a group with c, all three are one group.

    Parameters
    ----------
    genes
        The genes.
    given
        Gene id to group, for example a cluster of paralogs; a gene may have none.
    identical
        Gene id to labels that genes of identical sequence share, see
        `identical.identical_transcripts`.

    Returns
    -------
    dict
        Gene id to group; a group has the name of the first of its gene ids.
    """
    given, identical = given or {}, identical or {}
    copies = copy_labels(genes)
    order = sorted(genes, key=_place)
    labels: dict[Any, int] = {}
    links, chain, chrom, reach = [], -1, None, 0
    for number, gene in enumerate(order):
        if gene.chrom != chrom or gene.start >= reach:
            chain, chrom, reach = chain + 1, gene.chrom, gene.end
        reach = max(reach, gene.end)
        joined = [("chain", chain)]
        joined += [("copy", label) for label in copies[gene.id]]
        joined += [("identical", label) for label in identical.get(gene.id, ())]
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


def _genes(exons: pl.DataFrame, facts: pl.DataFrame, loci: pl.DataFrame) -> Iterator[Gene]:
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
    id_of = dict(loci.select("gene", "id").iter_rows())
    here, anywhere = {}, {}
    for name, chrom, *values in facts.iter_rows():
        here[name, chrom] = values
        anywhere.setdefault(name, values)
    for (gene, chrom, strand), group in made.items():
        original = id_of[gene]
        name, kind, link = here.get((original, chrom)) or anywhere.get(original) or (None,) * 3
        start = min(transcript.exons[0][0] for transcript in group)
        end = max(transcript.exons[-1][1] for transcript in group)
        group.sort(key=lambda transcript: transcript.id)
        copy_of = "" if gene == original else original
        yield Gene(
            *(gene, name or original, chrom, strand, start, end, kind or "", tuple(group)),
            *(copy_of, link or ""),
        )
