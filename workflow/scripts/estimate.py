"""Adapter: rule estimate calls genebatch.estimate.estimate."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.estimate import estimate

    estimate(snakemake.input, snakemake.params.evaluation, snakemake.output.table)
