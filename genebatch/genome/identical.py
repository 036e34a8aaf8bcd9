"""Finds genes whose spliced transcripts have one sequence."""

import hashlib
from collections.abc import Sequence

import numpy as np

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import Gene
from genebatch.genome.nucleotides import UNKNOWN


def identical_transcripts(fasta: Fasta, genes: Sequence[Gene]) -> dict[str, set[str]]:
    """Gene id to labels that it shares with genes of identical sequence.

    Two genes share a label if a transcript of one has the exons of a transcript of the other: as
    many, as long, and letter for letter the same. Transcripts of one exon count for nothing, as
    they have no splice sites. Reads only the transcripts whose exon lengths several genes have.
    """
    alike: dict[tuple[int, ...], list[tuple[Gene, tuple[tuple[int, int], ...]]]] = {}
    for gene in genes:
        for exons in {transcript.exons for transcript in gene.transcripts}:
            if len(exons) > 1:
                lengths = tuple(end - start for start, end in exons)
                key = lengths if gene.strand == "+" else lengths[::-1]
                alike.setdefault(key, []).append((gene, exons))
    labels: dict[str, set[str]] = {}
    for members in alike.values():
        if len({gene.id for gene, _ in members}) > 1:
            for gene, exons in members:
                label = _sequence_digest(fasta, gene, exons)
                if label:
                    labels.setdefault(gene.id, set()).add(label)
    return labels


def _sequence_digest(fasta: Fasta, gene: Gene, exons: tuple[tuple[int, int], ...]) -> str | None:
    """Digest of a spliced transcript; None if no letter of it is known."""
    ordered = exons if gene.strand == "+" else exons[::-1]
    parts = [fasta.fetch(gene.chrom, start, end, gene.strand) for start, end in ordered]
    codes = np.concatenate(parts)
    if (codes == UNKNOWN).all():
        return None
    return hashlib.sha256(codes.tobytes() + str([len(part) for part in parts]).encode()).hexdigest()
