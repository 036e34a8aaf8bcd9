"""Rule score_genes, with the SpliceAI models."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import score_genes_spliceai

    call_step(score_genes_spliceai, snakemake)
