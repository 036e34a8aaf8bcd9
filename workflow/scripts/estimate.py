"""Adapter: rule estimate calls genebatch.evaluation.training_groups.estimate."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.evaluation.training_groups import estimate

    estimate(snakemake.input, snakemake.params.evaluation, snakemake.output.table)
