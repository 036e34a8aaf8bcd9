"""Reads genes with their transcripts from GTF or GFF3 files, and finds their splice sites."""

import difflib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genebatch.genome.annotation import WANTED, read_annotation
from genebatch.genome.choice import TRANSCRIPTS, choose_biotypes, choose_transcripts
from genebatch.genome.copies import copy_labels
from genebatch.genome.exons import build_exons
from genebatch.genome.gene_loci import find_loci
from genebatch.genome.left_out import MAX_REFUSED, LeftOut
from genebatch.genome.lone_transcripts import warn_of_lone_transcripts
from genebatch.genome.structure import Structure
from genebatch.genome.tags import TAGS
from genebatch.genome.unsure import hollow_stretches, unsure_of_genes
from genebatch.io.files import InputError, first_names
from genebatch.io.text import read_columns

log = logging.getLogger(__name__)

SITES = ("donor", "acceptor")  # kinds of splice sites; scores and tracks have one row for each
STRANDS = {"plus": "+", "minus": "-"}
MIN_INTRON = 10  # nt; the shortest introns known have about 15


class Transcript(NamedTuple):
    """A transcript: its exons as (start, end), genomic, 0-based half-open, ascending.

    `tag` is the best of `tags.TAGS` that marks it, "" where none does.
    """

    id: str
    exons: tuple[tuple[int, int], ...]
    tag: str = ""


class Gene(NamedTuple):
    """A gene on the genome, 0-based half-open.

    Attributes
    ----------
    kind
        Its biotype, "" where none is given.
    transcripts
        The transcripts whose sites are the labels, sorted by id.
    copy_of
        The id in the file, if the gene is a further copy of it; else "".
    link
        Its id in a public database, such as `GeneID:55344`; "" where none is given.
    unsure
        Genomic stretches, sorted and apart, in which the file does not tell whether there are
        splice sites. The gene's own sites are known there too.
    others
        Its further annotated transcripts, sorted by id. They may reach beyond the gene.
    beside
        Genomic places of donors and of acceptors of genes on its strand that are left out by
        their biotype, each sorted.
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
    others: tuple[Transcript, ...] = ()
    beside: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    @property
    def length(self) -> int:
        """Length in nt, introns included."""
        return self.end - self.start


def read_gene_models(
    path: str | Path,
    transcripts: str = "all",
    key: str = "sequence.genes",
    *,
    biotypes: Collection[str] | None = None,
    untagged: str = "error",
    min_intron: int = MIN_INTRON,
    max_refused: float = MAX_REFUSED,
    limit_key: str = "sequence.max_refused",
    known: set[str] | None = None,
) -> list[Gene]:
    """Read the genes of a GTF or GFF3 file, plain or gzip, sorted by chromosome, start, end and id.

    - A gene spans the exons of the transcripts that are kept.
    - A transcript without exon lines is built from its CDS, UTR and codons.
    - Exons of a transcript that abut or are nearer than an intron can be are one exon.
    - A gene id at several loci is several genes (other chromosomes or strands, or transcripts that
      lie apart). The first in the file keeps the id, the others are called `ID@chromosome` or
      `ID@chromosome:start-end`.
    - Sites of transcripts that are not taken, and of genes that are left out by their biotype, stay
      known: `Gene.others`, `Gene.beside`. They are no labels, but not known to be nothing either.
    - What cannot be read is left out and named in the log, with the lines. Where it may have
      splice sites, other genes are unsure.

    Streams the file. Holds some columns of the exon lines and the genes, about 600 bytes per exon:
    0.85 GB for 1.1 GB of GTF or GFF3 with 1.4 million exons, which takes 20 s of one core.

    Parameters
    ----------
    path
        The file; GTF needs only exon lines, with gene_id and transcript_id.
    transcripts
        "all"; "longest": per gene the transcript with most exonic nt, and the first by id among
        equals; or "canonical": per gene the transcript of the best tag, see
        `choice.canonical_transcript`.
    key
        The config key or flag that names the file.
    biotypes
        Biotypes of the genes to keep; all genes by default.
    untagged
        What a file without any of the tags is where "canonical" is wanted: "error", or "longest"
        for a warning and the longest transcripts.
    min_intron
        Exons of a transcript that are nearer than this, in nt, are one exon; at least 1.
    max_refused
        Largest share of the genes that may be left out; see `left_out.LeftOut.check`.
    limit_key
        The config key or flag of `max_refused`.
    known
        Takes the ids of all genes of the file, also of those that are left out.

    Raises
    ------
    InputError
        If the file is no annotation, names chromosomes with blanks, or too many of its genes
        cannot be used. The message names the reasons with their lines. Also if no gene has a wanted
        biotype, or no transcript a tag.
    """
    if transcripts not in TRANSCRIPTS:
        raise InputError(f"transcripts is {transcripts!r}; known: {', '.join(TRANSCRIPTS)}")
    left_out = LeftOut(path)
    structure = read_annotation(path, key, left_out)
    built = build_exons(path, structure, min_intron, left_out)
    if known is not None:
        known.update(*(table["gene"].unique() for table in (structure.pieces, structure.facts)))
    structure = structure._replace(pieces=structure.pieces.clear())  # a third of the memory
    exons, loci, lost = find_loci(path, built.exons, structure, left_out)
    if not exons.height:
        left_out.refuse("has no gene that can be used", f"wanted {WANTED} with exons; set {key}")
    hollow = hollow_stretches(path, structure, exons)
    left_out.check(loci.height, max_refused, limit_key)
    warn_of_lone_transcripts(path, exons, key)
    every = list(_genes(exons, structure, loci))
    if known is not None:
        known.update(gene.id for gene in every)  # copies have ids of their own
    genes = choose_biotypes(path, every, biotypes)
    genes = sorted(choose_transcripts(path, genes, transcripts, untagged, every), key=_place)
    genes = unsure_of_genes(genes, built.unsure, lost, hollow)
    genes = _with_sites_beside(genes, every)
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


def splice_sites(
    gene: Gene, transcripts: Sequence[Transcript] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gene positions of donors and of acceptors: two sorted int64 arrays without repeats.

    A donor is the last nt of an exon before an intron, an acceptor the first nt of an exon after
    an intron, in transcript orientation, of any transcript. A transcript of one exon has neither.
    A position can be both: in different transcripts, or as an exon of one nt.

    `transcripts` may be others than those of the labels; their sites outside of the gene are left
    out.
    """
    chosen = gene.transcripts if transcripts is None else transcripts
    donors, acceptors = (_inside(gene, sites) for sites in _genomic_sites(gene.strand, chosen))
    return _gene_positions(gene, donors), _gene_positions(gene, acceptors)


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


def sites_on_strand(genes: Sequence[Gene]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Gene positions of all annotated donors and acceptors on the strand of each gene, by its id.

    They are the sites of every transcript of every gene, taken or not, and those of genes that are
    left out by their biotype. Two sorted int64 arrays a gene, inside the gene.
    """
    by_strand: dict[tuple[str, str], list[Gene]] = {}
    for gene in genes:
        by_strand.setdefault((gene.chrom, gene.strand), []).append(gene)
    found = {}
    for (_, strand), members in by_strand.items():
        every = (transcript for gene in members for transcript in gene.transcripts + gene.others)
        sites = _genomic_sites(strand, every)
        for gene in members:
            here = (
                _gene_positions(gene, np.union1d(_inside(gene, known), np.array(more, np.int64)))
                for known, more in zip(sites, gene.beside, strict=True)
            )
            found[gene.id] = tuple(here)
    return found


def unlabelled(gene: Gene, on_strand: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Gene positions whose label is not known, as far as they are no site of the gene's labels.

    They are all other annotated sites on the strand, which `sites_on_strand` gives, and the unsure
    stretches of the gene: sorted int64 positions.
    """
    stretches = [np.arange(start, end) for start, end in gene.unsure]
    unsure = _gene_positions(gene, np.concatenate([np.empty(0, np.int64), *stretches]))
    return np.setdiff1d(np.concatenate([*on_strand, unsure]), np.concatenate(splice_sites(gene)))


def foreign_sites(genes: Sequence[Gene]) -> dict[str, np.ndarray]:
    """Gene id to its `unlabelled` positions, for all genes of the gene models."""
    on_strand = sites_on_strand(genes)
    return {gene.id: unlabelled(gene, on_strand[gene.id]) for gene in genes}


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


def _genomic_sites(strand: str, transcripts: Iterable[Transcript]) -> tuple[np.ndarray, np.ndarray]:
    """Genomic places of the donors and acceptors of transcripts, each sorted and once."""
    exons = [transcript.exons for transcript in transcripts]
    lasts = np.unique(np.array([end - 1 for spans in exons for _, end in spans[:-1]], np.int64))
    firsts = np.unique(np.array([start for spans in exons for start, _ in spans[1:]], np.int64))
    return (lasts, firsts) if strand == "+" else (firsts, lasts)


def _inside(gene: Gene, places: np.ndarray) -> np.ndarray:
    """Those of ascending genomic places that lie in the gene."""
    return places[slice(*np.searchsorted(places, (gene.start, gene.end)))]


def _gene_positions(gene: Gene, genomic: np.ndarray) -> np.ndarray:
    """Ascending gene positions of ascending genomic positions."""
    return genomic - gene.start if gene.strand == "+" else (gene.end - 1 - genomic)[::-1]


def _with_sites_beside(genes: Sequence[Gene], every: Sequence[Gene]) -> list[Gene]:
    """Add the sites of genes that are left out to the genes that they lie in."""
    kept = {gene.id for gene in genes}
    if len(kept) == len(every):
        return list(genes)
    passed: dict[tuple[str, str], list[Transcript]] = {}
    for gene in every:
        if gene.id not in kept:
            passed.setdefault((gene.chrom, gene.strand), []).extend(gene.transcripts)
    sites = {place: _genomic_sites(place[1], found) for place, found in passed.items()}
    nothing = np.empty(0, np.int64), np.empty(0, np.int64)
    return [
        gene._replace(
            beside=tuple(
                tuple(_inside(gene, places).tolist())
                for places in sites.get((gene.chrom, gene.strand), nothing)
            )
        )
        for gene in genes
    ]


def _genes(exons: pl.DataFrame, structure: Structure, loci: pl.DataFrame) -> Iterator[Gene]:
    """Make genes of all transcripts, from exons that are sorted by gene, transcript and start."""
    transcripts = exons.group_by("gene", "key", maintain_order=True).agg(
        *(pl.col(name).first() for name in ("id", "transcript", "chrom", "strand")),
        pl.len().alias("exons"),
    )
    tags = structure.tags.rename({"gene": "id"})
    transcripts = transcripts.join(tags, on=["id", "transcript"], how="left", maintain_order="left")
    spans = list(zip(exons["start"].to_list(), exons["end"].to_list(), strict=True))
    stops = transcripts["exons"].cum_sum().to_list()
    made: dict[tuple[str, str, str], list[Transcript]] = {}
    first = 0
    columns = transcripts.select("gene", "transcript", "chrom", "strand", "tag").iter_rows()
    for (gene, name, chrom, strand, tag), stop in zip(columns, stops, strict=True):
        made.setdefault((gene, chrom, strand), []).append(
            Transcript(name, tuple(spans[first:stop]), "" if tag is None else TAGS[tag])
        )
        first = stop
    id_of = dict(loci.select("gene", "id").iter_rows())
    here, anywhere = {}, {}
    for name, chrom, *values in structure.facts.iter_rows():
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
