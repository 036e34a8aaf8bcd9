"""Rule explain_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.batches import explain_batch

    call_step(explain_batch, snakemake)
