"""Rule rank_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.evaluation import rank_groups

    call_step(rank_groups, snakemake)
