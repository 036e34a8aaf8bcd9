"""Rule cross_validate_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.batches import cross_validate_batch

    call_step(cross_validate_batch, snakemake)
