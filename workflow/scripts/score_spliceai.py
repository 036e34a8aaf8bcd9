"""Adapter: rule score_genes calls genebatch.genome.scores.spliceai.score_genes."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.genome.scores.spliceai import score_genes

    score_genes(
        snakemake.input.fasta,
        snakemake.input.genes,
        snakemake.output.scores,
        snakemake.params.transcripts,
        snakemake.threads,
    )
