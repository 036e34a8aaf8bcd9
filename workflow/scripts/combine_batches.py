"""Rule combine_batches."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.ensemble import combine_batches

    call_step(combine_batches, snakemake)
