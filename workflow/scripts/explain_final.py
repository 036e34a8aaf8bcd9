"""Rule explain_final."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.evaluation import explain_final

    call_step(explain_final, snakemake)
