"""Rule calibrate_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.batches import calibrate_batch

    call_step(calibrate_batch, snakemake)
