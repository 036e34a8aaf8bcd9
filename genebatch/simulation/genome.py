"""Simulates a small genome: a FASTA file and a GTF file to try the way from sequence to calls.

Its genes have exons and introns, and some of them overlap. The light scorer finds their sites
well, but not perfectly. It is no model of any species.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from genebatch.genome.genes import Gene, Transcript
from genebatch.io.files import whole
from genebatch.simulation.locus import plan_contigs
from genebatch.simulation.sequence import Painted, paint

LINE = 60  # bases
LETTERS = np.frombuffer(b"ACGTNacgtn", dtype=np.uint8)


def simulate_genome(
    out: str | Path, *, n_genes: int = 200, n_chromosomes: int = 5, seed: int = 7
) -> Path:
    """Write `out/genome.fa` and `out/genes.gtf`.

    A gene takes about 9,000 nt, so 200 genes take about 1,900,000 nt. Files of an earlier call are
    replaced once both new ones are complete, and the index of the earlier FASTA file is removed.
    The same arguments give the same bytes. Holds the plan of all genes and one contig.

    Raises
    ------
    InputError
        If the numbers do not fit together.
    """
    contigs = plan_contigs(n_genes, n_chromosomes, seed)
    fasta, gtf = Path(out) / "genome.fa", Path(out) / "genes.gtf"
    with ExitStack() as complete:
        sequences = complete.enter_context(complete.enter_context(whole(fasta)).open("wb"))
        models = complete.enter_context(complete.enter_context(whole(gtf)).open("w"))
        for contig in contigs:
            sequences.write(f">{contig.name}\n".encode())
            sequences.write(_lines(paint(contig, seed)))
            for gene in contig.genes:
                models.writelines(_gtf_lines(gene))
        # htslib uses any index that lies beside the file, even one of an earlier file.
        fasta.with_name("genome.fa.fai").unlink(missing_ok=True)
    return Path(out)


def _lines(painted: Painted) -> bytes:
    letters = LETTERS[painted.codes + 5 * painted.soft_masked]
    full = len(letters) // LINE * LINE
    lines = np.full((full // LINE, LINE + 1), ord("\n"), dtype=np.uint8)
    lines[:, :LINE] = letters[:full].reshape(-1, LINE)
    rest = letters[full:].tobytes()
    return lines.tobytes() + (rest + b"\n" if rest else b"")


def _gtf_lines(gene: Gene) -> Iterator[str]:
    facts = {"gene_id": gene.id, "gene_name": gene.name, "gene_biotype": gene.kind}
    yield _gtf_line(gene, "gene", (gene.start, gene.end), facts)
    for transcript in gene.transcripts:
        yield from _transcript_lines(gene, transcript, facts | {"transcript_id": transcript.id})


def _transcript_lines(gene: Gene, transcript: Transcript, facts: dict[str, str]) -> Iterable[str]:
    """Lines of a transcript, its exons numbered and ordered in its own orientation."""
    exons = transcript.exons if gene.strand == "+" else transcript.exons[::-1]
    yield _gtf_line(gene, "transcript", (transcript.exons[0][0], transcript.exons[-1][1]), facts)
    for number, exon in enumerate(exons, start=1):
        yield _gtf_line(gene, "exon", exon, facts | {"exon_number": str(number)})


def _gtf_line(gene: Gene, feature: str, span: tuple[int, int], facts: dict[str, str]) -> str:
    attributes = " ".join(f'{name} "{value}";' for name, value in facts.items())
    place = f"{span[0] + 1}\t{span[1]}\t.\t{gene.strand}\t."
    return f"{gene.chrom}\tgenebatch\t{feature}\t{place}\t{attributes}\n"
