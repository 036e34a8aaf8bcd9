"""Rule evaluate."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.evaluation import evaluate

    call_step(evaluate, snakemake)
