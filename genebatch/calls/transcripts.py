"""Writes the most probable transcripts of genes, with their posteriors, as GFF3."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as pq

from genebatch.calls.browser_files import order_of_genes
from genebatch.calls.positions_file import ROW_GROUP, row_reader, row_starts
from genebatch.features.along_gene import Genome
from genebatch.features.structure.columns import STRONG, Structure
from genebatch.features.structure.lengths import FLAT
from genebatch.features.structure.paths import Path as Chain
from genebatch.features.structure.transcripts import Transcript, transcript
from genebatch.genome.fasta import gene_codes
from genebatch.genome.genes import SITES, Gene, genomic_span, stretches
from genebatch.genome.genes import Transcript as Known
from genebatch.io.files import digest

log = logging.getLogger(__name__)

TRANSCRIPTS = "transcripts.gff3"
DRAWS, LEAST_POSTERIOR = 100, 0.05
# Log-odds that a site costs where the model scored it: its features have seen the chains already.
# benchmarks/transcripts.md tells how it was chosen, and by which genes.
COST = 2.0
# Chains count the same evidence more than once, so their weights are too sure. All log weights are
# divided by this, which was chosen there too.
TEMPERATURE = 2.0
SOURCE = "genebatch"
SAFE = ".:^*$@!+_?-|"  # what stands in GFF3 as it is, beside letters and digits

Read = Callable[[int, int], np.ndarray]
Span = tuple[int, int]


class Drawing(NamedTuple):
    """Which chains of a gene are written beside the best one.

    Attributes
    ----------
    draws
        Number of chains that are drawn at random.
    least_posterior
        Those drawn are written from this posterior on.
    """

    draws: int = DRAWS
    least_posterior: float = LEAST_POSTERIOR


class Predicted(NamedTuple):
    """A predicted transcript. Spans are genomic, half-open, in the order of the transcript.

    Attributes
    ----------
    chain
        The chain of sites, with posteriors.
    made
        The transcript in gene positions.
    exons, introns, coding
        Its parts.
    exons_annotated, introns_annotated
        Whether each is a part of an annotated transcript. The outer end of a first or last exon
        may lie anywhere.
    annotated
        Whether all introns are annotated. Without introns: whether an annotated transcript has
        none either.
    """

    chain: Chain
    made: Transcript
    exons: list[Span]
    introns: list[Span]
    coding: list[Span]
    exons_annotated: list[bool]
    introns_annotated: list[bool]
    annotated: bool

    @classmethod
    def see(cls, gene: Gene, chain: Chain, made: Transcript, known: "Annotated") -> Self:
        """Put a transcript on the genome, beside the annotated ones."""
        introns = [(one[1], other[0]) for one, other in pairwise(made.exons)]
        spans = made.exons, introns, [part[:2] for part in made.coding]
        exons, introns, coding = ([genomic_span(gene, *span) for span in kind] for kind in spans)
        return cls(
            *(chain, made, exons, introns, coding),
            [known.has_exon(exon, introns) for exon in exons],
            [intron in known.introns for intron in introns],
            known.introns.issuperset(introns) if introns else known.unspliced,
        )


class Annotated:
    """What the annotated transcripts of a gene have; spans as in `genome.genes.Transcript`."""

    def __init__(self, transcripts: Sequence[Known]):
        by_transcript = [transcript.exons for transcript in transcripts]
        self.exons = {exon for exons in by_transcript for exon in exons}
        self.introns = {(a[1], b[0]) for exons in by_transcript for a, b in pairwise(exons)}
        self.unspliced = any(len(exons) == 1 for exons in by_transcript)
        self._starts = {end for _, end in self.introns}
        self._ends = {start for start, _ in self.introns}

    def has_exon(self, exon: Span, introns: Sequence[Span]) -> bool:
        """Whether an exon is annotated; only its ends at one of `introns` count."""
        before = any(end == exon[0] for _, end in introns)
        behind = any(start == exon[1] for start, _ in introns)
        if before and behind:
            return exon in self.exons
        if before:
            return exon[0] in self._starts
        return exon[1] in self._ends if behind else self.unspliced


def write_transcripts(
    path: str | Path,
    positions: str | Path,
    genes: Sequence[Gene],
    genome: Genome,
    annotation: Mapping[str, Sequence[Known]],
    drawing: Drawing,
    head: Sequence[str],
) -> None:
    """Write predicted transcripts of genes as GFF3, sorted by chromosome and start.

    Holds the chains of one gene, and the lines of genes that overlap.

    Parameters
    ----------
    path
        GFF3 file to write.
    positions
        A complete positions file.
    genes
        Its genes, in the order of the file.
    genome
        Sequence, and what is known of gene structure.
    annotation
        Gene id to its annotated transcripts.
    drawing
        Which chains are written.
    head
        Comments.
    """
    n = unknown = 0
    with pq.ParquetFile(positions) as file, open(path, "w", encoding="utf-8") as stream:
        read = row_reader(file, [*(f"probability_{name}" for name in SITES), "rescored"])
        stream.write("##gff-version 3\n")
        stream.writelines(f"# {line}\n" for line in head)
        waiting: list[tuple[int, str]] = []
        chrom = None
        starts = row_starts(genes).tolist()
        for gene, row in ((genes[n], starts[n]) for n in order_of_genes(genes)):
            reach = gene.start if gene.chrom == chrom else None
            waiting, chrom = _pass_on(waiting, reach, stream.write), gene.chrom
            known = Annotated(annotation[gene.id])
            found = predict(gene, genome, partial(_rows, read, row), known, drawing)
            waiting += _lines(gene, found, drawing.draws)
            n += len(found)
            unknown += _count_not_annotated(found)
        _pass_on(waiting, None, stream.write)
    log.info(
        "%s predicted transcripts of %s genes; %s of their exons are not annotated",
        *(f"{number:,}" for number in (n, len(genes), unknown)),
    )


def predict(
    gene: Gene, genome: Genome, read: Read, known: Annotated, drawing: Drawing
) -> list[Predicted]:
    """The most probable transcripts of a gene, the best one first.

    The chains are weighed as for the features of the family "structure", with four differences.

    - The weight of a site is the odds of its probability in the positions file. That is what the
      model made of the base score, or the base score itself where the model scored nothing.
    - The odds are those against chance sites as dense as the other sites of the gene, see
      `against_chance`. Without this, chains pass too many weak sites.
    - A site that the model scored costs `COST`. Base scores cost nothing.
    - All log weights are divided by `TEMPERATURE`, which makes posteriors less sure.

    Parameters
    ----------
    gene
        The gene.
    genome
        Sequence, and what is known of gene structure.
    read
        Gives the rows between two gene positions, (positions, 3): the probabilities of donor and
        acceptor, and 1 where the model scored the position.
    known
        The annotated transcripts; they change no prediction.
    drawing
        Which chains are wanted. What is drawn depends on the gene's id, and on no other gene.
    """
    fetch = partial(gene_codes, genome.fasta, gene)
    kept = strong_positions(gene, read)
    structure = Structure(kept, fetch, gene.length, genome.structure, 0, TEMPERATURE)
    rng = np.random.default_rng(int(digest(gene.id), 16))
    chains = structure.paths().likely(drawing.draws, rng, drawing.least_posterior)
    lengths = genome.structure.lengths
    made = [transcript(chain, fetch, gene.length, lengths) for chain in chains]
    return [Predicted.see(gene, *pair, known) for pair in zip(chains, made, strict=True)]


def _rows(read: Read, row: int, start: int, stop: int) -> np.ndarray:
    """Rows of a gene whose first row is `row`."""
    return read(row + start, row + stop)


def strong_positions(gene: Gene, read: Read) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions that chains may pass and their weights as shares, for donors and for acceptors."""
    found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in SITES]
    expected = np.zeros(len(SITES))
    for start, stop in stretches(gene, ROW_GROUP):
        values = read(start, stop)
        expected += values[:, : len(SITES)].sum(axis=0, dtype=np.float64)
        for kind, parts in enumerate(found):
            places = np.flatnonzero(values[:, kind] >= np.float32(STRONG))
            parts.append((start + places, values[places, kind], values[places, -1]))
    strong = []
    for parts, sites in zip(found, expected, strict=True):
        places, probability, rescored = map(np.concatenate, zip(*parts, strict=True))
        others = (sites - probability) / gene.length
        strong.append((places, against_chance(probability, others, COST * rescored)))
    return strong


def against_chance(probability: np.ndarray, others: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Probabilities of sites as chains weigh them.

    Lengths are weighed against those between chance sites of which one lies in `FLAT` nt. Where
    sites lie closer, chance does more: the odds of a site are divided by `others * FLAT`. The site
    itself does not count, or the only intron of a short gene would be weighed against itself.

    Parameters
    ----------
    probability : (n,) float32
        Probability of each site.
    others : (n,)
        How many other sites of its kind the gene has a nt.
    cost : (n,)
        Log-odds that each site costs on top.
    """
    factor = np.exp(-cost) / np.maximum(others * FLAT, 1)
    wide = probability.astype(np.float64)
    return (factor * wide / (1 - wide + factor * wide)).astype(np.float32)


def _count_not_annotated(found: Sequence[Predicted]) -> int:
    flagged = (zip(one.exons, one.exons_annotated, strict=True) for one in found)
    return len({exon for exons in flagged for exon, annotated in exons if not annotated})


def _pass_on(
    waiting: list[tuple[int, str]], reach: int | None, write: Callable[[str], object]
) -> list[tuple[int, str]]:
    """Write lines that start before `reach`, or all, in order; return the others."""
    waiting.sort(key=lambda line: line[0])  # stable: parents stay before their parts
    ready = [line for line in waiting if reach is None or line[0] < reach]
    write("".join(text for _, text in ready))
    return waiting[len(ready) :]


def _lines(gene: Gene, found: Sequence[Predicted], draws: int) -> Iterator[tuple[int, str]]:
    """Start and text of each line of a gene, parents before their parts."""
    line = partial(_line, gene)
    name = quote(gene.id, SAFE)
    facts = {"ID": f"gene:{name}", "gene_id": name, "Name": quote(gene.name, SAFE)}
    yield line("gene", (gene.start, gene.end), facts)
    for rank, one in enumerate(found, start=1):
        own = f"transcript:{name}.t{rank}"
        kind = "mRNA" if one.coding else "transcript"
        facts = {"ID": own, "Parent": f"gene:{name}"} | _facts(gene, one, rank, draws)
        yield line(kind, _hull(one.exons), facts, one.chain.posterior)
        posteriors = one.chain.exon_posteriors, one.chain.intron_posteriors
        parts = (one.exons, one.exons_annotated), (one.introns, one.introns_annotated)
        for kind, shares, columns in zip(("exon", "intron"), posteriors, parts, strict=True):
            for share, span, annotated in zip(shares, *columns, strict=True):
                facts = {"Parent": own, "posterior": _short(share), "annotated": _word(annotated)}
                yield line(kind, span, facts, share)
        for span, part in zip(one.coding, one.made.coding, strict=True):
            facts = {"ID": f"CDS:{name}.t{rank}", "Parent": own}
            yield line("CDS", span, facts, phase=str(part.phase))


def _facts(gene: Gene, one: Predicted, rank: int, draws: int) -> dict[str, str]:
    """Attributes of a transcript."""
    facts = {"rank": str(rank), "posterior": _short(one.chain.posterior)}
    if draws:
        facts["drawn_share"] = _short(one.chain.drawn / draws)
    facts["coding"] = _word(bool(one.coding))
    if one.coding:
        facts["frame_posterior"] = _short(one.chain.frame_posterior)
    facts["annotated"] = _word(one.annotated)
    if one.made.early_stop:
        facts["early_stop"] = "yes"
    start, end = _hull(one.exons)
    low, high = one.made.open_ends[:: 1 if gene.strand == "+" else -1]
    if low or high:
        facts["partial"] = "true"
    # Ends that are not known, as NCBI writes them.
    return (
        facts
        | ({"start_range": f".,{start + 1}"} if low else {})
        | ({"end_range": f"{end},."} if high else {})
    )


def _line(
    gene: Gene,
    kind: str,
    span: Span,
    facts: Mapping[str, str],
    score: float | None = None,
    phase: str = ".",
) -> tuple[int, str]:
    columns = [quote(gene.chrom, SAFE), SOURCE, kind, str(span[0] + 1), str(span[1])]
    columns += ["." if score is None else _short(score), gene.strand, phase]
    columns.append(";".join(f"{key}={value}" for key, value in facts.items()))
    return span[0], "\t".join(columns) + "\n"


def _hull(spans: Sequence[Span]) -> Span:
    return min(start for start, _ in spans), max(end for _, end in spans)


def _short(share: float) -> str:
    return f"{share:.4g}"


def _word(value: bool) -> str:
    return "yes" if value else "no"
