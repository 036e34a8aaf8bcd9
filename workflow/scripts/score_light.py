"""Adapter: rule score_genes with scorer light calls genebatch.light_scorer.score_genes."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.light_scorer import score_genes

    score_genes(
        snakemake.input.fasta,
        snakemake.input.genes,
        snakemake.output.scores,
        snakemake.params.transcripts,
    )
