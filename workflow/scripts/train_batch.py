"""Rule train_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.batches import train_batch

    call_step(train_batch, snakemake)
