"""Writes families of similar genes, for `sequence.groups`."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import polars as pl

from genebatch.genome.families import COVER, IDENTITY, group_by_similarity
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import read_gene_models
from genebatch.genome.left_out import MAX_REFUSED
from genebatch.genome.placing import genes_on_genome
from genebatch.io.files import write_tsv

FASTA_KEY, GENES_KEY, LIMIT_KEY = "--fasta", "--genes", "--max-refused"


class Families(NamedTuple):
    """How many genes were grouped, into how many families, and the size of the largest."""

    genes: int
    families: int
    largest: int


def group_genes(
    *,
    fasta: str,
    genes: str,
    biotypes: Collection[str] | None = None,
    cover: float = COVER,
    identity: float = IDENTITY,
    max_refused: float = MAX_REFUSED,
    output: str,
) -> Families:
    """Group genes whose spliced sequences are similar, and write the groups.

    Genes that do not lie on the genome are left out, with a warning.

    Parameters
    ----------
    fasta, genes
        The genome and the gene models.
    biotypes, max_refused
        How the gene models are read, see `genes.read_gene_models`.
    cover, identity
        Which genes are similar, see `families.group_by_similarity`.
    output
        TSV to write: gene_id, group.

    Raises
    ------
    InputError
        If an input is broken, or too many genes are not on the genome.
    """
    models = read_gene_models(
        genes, key=GENES_KEY, biotypes=biotypes, max_refused=max_refused, limit_key=LIMIT_KEY
    )
    with Fasta(fasta, FASTA_KEY) as genome:
        placed = genes_on_genome(
            *(models, genome.contigs, genes, genome.path),
            max_refused=max_refused,
            key=FASTA_KEY,
            limit_key=LIMIT_KEY,
        )
        families = group_by_similarity(genome, placed, cover, identity)
    table = pl.DataFrame({"gene_id": list(families), "group": list(families.values())})
    write_tsv(output, table)
    sizes = Counter(families.values())
    return Families(len(families), len(sizes), max(sizes.values()))
