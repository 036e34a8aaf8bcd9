"""Adapter: rule score_genes with scorer light calls genebatch.genome.scores.light.score_genes."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.genome.scores.light import score_genes

    score_genes(
        snakemake.input.fasta,
        snakemake.input.genes,
        snakemake.output.scores,
        snakemake.params.transcripts,
    )
