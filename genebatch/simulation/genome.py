"""Simulates a small genome: a FASTA file and a GTF file to try the way from sequence to calls.

Its genes have exons and introns, and some of them overlap. Protein-coding genes have a reading
frame. The light scorer finds their sites well, but not perfectly. It is no model of any species.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

import numpy as np

from genebatch.features.structure.codons import CODON
from genebatch.genome.genes import Gene, Transcript
from genebatch.io.files import whole
from genebatch.simulation.evidence import EvidenceFiles
from genebatch.simulation.frames import PROTEIN_CODING, Pieces
from genebatch.simulation.locus import plan_contigs
from genebatch.simulation.sequence import Painted, paint

log = logging.getLogger(__name__)

LINE = 60  # bases
LETTERS = np.frombuffer(b"ACGTNacgtn", dtype=np.uint8)


def simulate_genome(
    out: str | Path,
    *,
    n_genes: int = 200,
    n_chromosomes: int = 5,
    seed: int = 7,
    tracks: bool = False,
) -> Path:
    """Write `out/genome.fa` and `out/genes.gtf`, and with `tracks` the files of evidence.

    The log says how many protein-coding genes have a reading frame; CDS lines say where it is.
    A gene takes about 9,000 nt, so 200 genes take about 1,900,000 nt. Files of an earlier call are
    replaced once both new ones are complete, and the index of the earlier FASTA file is removed.
    The same arguments give the same bytes, and genome and genes are the same with tracks. Holds the
    plan of all genes and one contig.

    Raises
    ------
    InputError
        If the numbers do not fit together, or if tracks are wanted without pyBigWig.
    """
    contigs = plan_contigs(n_genes, n_chromosomes, seed)
    fasta, gtf = Path(out) / "genome.fa", Path(out) / "genes.gtf"
    n_coding = n_frames = 0
    with ExitStack() as complete:
        sequences = complete.enter_context(complete.enter_context(whole(fasta)).open("wb"))
        models = complete.enter_context(complete.enter_context(whole(gtf)).open("w"))
        evidence = EvidenceFiles(out, contigs, seed) if tracks else None
        if evidence is not None:
            complete.enter_context(evidence)
        for contig in contigs:
            sequences.write(f">{contig.name}\n".encode())
            painted = paint(contig, seed)
            sequences.write(_lines(painted))
            if evidence is not None:
                evidence.write(contig, painted.codes)
            n_coding += sum(gene.kind == PROTEIN_CODING for gene in contig.genes)
            n_frames += len(painted.coding)
            for gene in contig.genes:
                models.writelines(_gtf_lines(gene, painted.coding.get(gene.id, ())))
        # htslib uses any index that lies beside the file, even one of an earlier file.
        fasta.with_name("genome.fa.fai").unlink(missing_ok=True)
    log.info("%s of %s protein-coding genes have a reading frame", n_frames, n_coding)
    return Path(out)


def _lines(painted: Painted) -> bytes:
    letters = LETTERS[painted.codes + 5 * painted.soft_masked]
    full = len(letters) // LINE * LINE
    lines = np.full((full // LINE, LINE + 1), ord("\n"), dtype=np.uint8)
    lines[:, :LINE] = letters[:full].reshape(-1, LINE)
    rest = letters[full:].tobytes()
    return lines.tobytes() + (rest + b"\n" if rest else b"")


def _gtf_lines(gene: Gene, coding: Pieces) -> Iterator[str]:
    """Lines of a gene; `coding` is the coding part of its first transcript."""
    facts = {"gene_id": gene.id, "gene_name": gene.name, "gene_biotype": gene.kind}
    yield _gtf_line(gene, "gene", (gene.start, gene.end), facts)
    for transcript, part in zip_longest(gene.transcripts, [coding], fillvalue=()):
        yield from _transcript_lines(gene, transcript, part, facts)


def _transcript_lines(
    gene: Gene, transcript: Transcript, coding: Pieces, facts: dict[str, str]
) -> Iterator[str]:
    """Lines of a transcript, its exons numbered and ordered in its own orientation."""
    facts = facts | {"transcript_id": transcript.id}
    yield _gtf_line(gene, "transcript", (transcript.exons[0][0], transcript.exons[-1][1]), facts)
    for number, exon in enumerate(_oriented(gene, transcript.exons), start=1):
        yield _gtf_line(gene, "exon", exon, facts | {"exon_number": str(number)})
    if coding:
        yield from _coding_lines(gene, coding, facts)


def _coding_lines(gene: Gene, coding: Pieces, facts: dict[str, str]) -> Iterator[str]:
    """Lines of a coding part. In GTF the stop codon is no part of the CDS."""
    start, end = coding[0][0], coding[-1][1]
    left, right = (start, start + CODON), (end - CODON, end)
    if gene.strand == "+":
        start_codon, stop_codon, end = left, right, right[0]
    else:
        start_codon, stop_codon, start = right, left, left[1]
    read = 0
    for first, last in _oriented(gene, coding):
        piece = max(first, start), min(last, end)
        yield _gtf_line(gene, "CDS", piece, facts, phase=-read % CODON)
        read += piece[1] - piece[0]
    yield _gtf_line(gene, "start_codon", start_codon, facts, phase=0)
    yield _gtf_line(gene, "stop_codon", stop_codon, facts, phase=0)


def _oriented(gene: Gene, pieces: Pieces) -> Pieces:
    """Pieces of a gene in its own orientation."""
    return pieces if gene.strand == "+" else pieces[::-1]


def _gtf_line(
    gene: Gene,
    feature: str,
    span: tuple[int, int],
    facts: dict[str, str],
    phase: int | str = ".",
) -> str:
    attributes = " ".join(f'{name} "{value}";' for name, value in facts.items())
    place = f"{span[0] + 1}\t{span[1]}\t.\t{gene.strand}\t{phase}"
    return f"{gene.chrom}\tgenebatch\t{feature}\t{place}\t{attributes}\n"
