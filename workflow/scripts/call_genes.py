"""Rule call_genes."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import call_genes

    call_step(call_genes, snakemake)
