"""Rule estimate."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.evaluation import estimate

    call_step(estimate, snakemake)
