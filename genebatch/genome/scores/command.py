"""Hands the sequence of genes to a program of the user's, and reads the scores that it wrote.

The contract, which a program has to keep:

- it reads FASTA: a record for each gene, named by its id, in transcript orientation, with `flank`
  bases before and behind the gene; bases beyond the contig are N;
- it writes a table of scores, as `sequence.scores` takes one: gene_id, position, donor and
  acceptor; a position counts from 0 at the first base of the gene, not of the record.
"""

from collections.abc import Iterator, Sequence
from os import PathLike

import numpy as np

from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import Gene, stretches
from genebatch.genome.scores.sparse_file import ScoredStretch
from genebatch.genome.scores.tracks import ScoreTracks
from genebatch.io.files import InputError, whole

LETTERS = np.frombuffer(b"ACGTN", np.uint8)
BLOCK = 262_144  # positions at a time
LINE = 60  # letters


def write_gene_sequences(
    genome: Fasta, genes: Sequence[Gene], flank: int, path: str | PathLike
) -> None:
    """Write a FASTA record for every gene, whole; holds one gene.

    Parameters
    ----------
    genome
        The genome, on which all genes lie.
    genes
        The genes.
    flank
        Bases before and behind a gene.
    path
        File to write.

    Raises
    ------
    InputError
        If an id has blanks: a program would see the part before it.
    """
    for gene in genes:
        if gene.id.split() != [gene.id]:
            raise InputError(
                f"gene {gene.id!r} has blanks in its id, which end a name in FASTA; rename it in "
                "the gene models, or set sequence.scores to scores that you have"
            )
    with whole(path) as temporary, open(temporary, "wb") as stream:
        for gene in genes:
            codes = gene_codes(genome, gene, -flank, gene.length + flank)
            stream.write(f">{gene.id} length={gene.length} flank={flank}\n".encode())
            letters = LETTERS[codes].tobytes()
            for start in range(0, len(letters), LINE):
                stream.write(letters[start : start + LINE] + b"\n")


def given_stretches(tracks: ScoreTracks, genes: Sequence[Gene]) -> Iterator[ScoredStretch]:
    """Scores of every position of the genes, in the order given; holds one block."""
    for gene in genes:
        for start, stop in stretches(gene, BLOCK):
            yield ScoredStretch(gene.id, start, tracks.fetch(gene, start, stop))
