"""Adapter: rule score_genes calls genebatch.spliceai_scores.score_genes."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.spliceai_scores import score_genes

    score_genes(
        snakemake.input.fasta,
        snakemake.input.genes,
        snakemake.output.scores,
        snakemake.params.transcripts,
        snakemake.threads,
    )
