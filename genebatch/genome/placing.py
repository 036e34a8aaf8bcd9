"""Leaves out genes that do not lie on the sequences of a genome."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from genebatch.genome.contigs import find_contig
from genebatch.genome.genes import Gene
from genebatch.genome.left_out import MAX_REFUSED, LeftOut
from genebatch.genome.unsure import unsure_of_genes
from genebatch.io.files import InputError, first_names


def genes_on_genome(
    genes: Sequence[Gene],
    contigs: Mapping[str, int],
    source: str | Path,
    fasta: str | Path,
    *,
    max_refused: float = MAX_REFUSED,
    key: str = "sequence.fasta",
    limit_key: str = "sequence.max_refused",
) -> list[Gene]:
    """Genes that lie on the genome; the log names the others.

    Left out are genes on a chromosome that the genome lacks, such as scaffolds, and genes that end
    beyond their chromosome. The latter go over the origin of a circular chromosome, or are of
    another assembly. Their sites in other genes are unsure.

    Parameters
    ----------
    genes
        The genes.
    contigs
        Name of each sequence to its length.
    source, fasta
        The files of both, for the messages.
    max_refused
        Largest share of the genes that may be left out; see `left_out.LeftOut.check`.
    key, limit_key
        The config keys or flags of the genome and of `max_refused`.

    Raises
    ------
    InputError
        If no chromosome is in the genome, no gene is left, or too many are left out.
    """
    chroms = dict.fromkeys(gene.chrom for gene in genes)
    lengths = {
        chrom: contigs[name]
        for chrom in chroms
        if (name := find_contig(chrom, contigs)) is not None
    }
    if genes and not lengths:
        raise InputError(
            f"{len(chroms)} of {len(chroms)} chromosomes of {source} are not in {fasta}: "
            f"{_quoted(chroms)}. The first of {fasta} are {_quoted(contigs)}; set {key} to the "
            "genome of the gene models, or rename one"
        )
    missing = [gene for gene in genes if gene.chrom not in lengths]
    beyond = [gene for gene in genes if gene.end > lengths.get(gene.chrom, gene.end)]
    if not missing and not beyond:
        return list(genes)
    left_out = LeftOut(source)
    left_out.add(
        f"genes on chromosomes that {fasta} lacks",
        _items(missing, [f"on {gene.chrom!r}" for gene in missing]),
    )
    left_out.add(
        "genes that end beyond their chromosome (over the origin of a circular one, or of another "
        "assembly)",
        _items(
            beyond,
            [
                f"ends at {gene.end:,} but {gene.chrom} of {fasta} has {lengths[gene.chrom]:,} nt"
                for gene in beyond
            ],
        ),
    )
    out = {gene.id for gene in [*missing, *beyond]}
    kept = [gene for gene in genes if gene.id not in out]
    if not kept:
        left_out.refuse("has no gene that can be used", f"wanted the same assembly; set {key}")
    left_out.check(len(kept), max_refused, limit_key)
    return unsure_of_genes(kept, _exon_ends(beyond))


def _quoted(names: Iterable[str]) -> str:
    """The first few names, in quotes: some differ by a blank at the end only."""
    return first_names(map(repr, names))


def _items(genes: Sequence[Gene], reasons: Sequence[str]) -> pl.DataFrame:
    ids = [gene.id for gene in genes]
    return pl.DataFrame(
        {"line": [None] * len(ids), "name": ids, "gene": ids, "reason": reasons},
        schema_overrides={"line": pl.Int64, "name": pl.String, "gene": pl.String},
    )


def _exon_ends(genes: Sequence[Gene]) -> pl.DataFrame:
    """First and last base of the exons of genes, as stretches."""
    rows = [
        (gene.chrom, gene.strand, base, base + 1)
        for gene in genes
        for transcript in gene.transcripts + gene.others
        for start, end in transcript.exons
        for base in (start, end - 1)
    ]
    schema = {"chrom": pl.String, "strand": pl.String, "start": pl.Int64, "end": pl.Int64}
    return pl.DataFrame(rows, schema, orient="row")
