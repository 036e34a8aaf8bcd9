"""Rule neighbours_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.neighbours import neighbours_batch

    call_step(neighbours_batch, snakemake)
