"""Rule score_genes, with the light scorer."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import score_genes_light

    call_step(score_genes_light, snakemake)
