"""Rule plan_batches."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import plan_batches

    call_step(plan_batches, snakemake)
