"""Rule describe_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import describe_groups

    call_step(describe_groups, snakemake)
