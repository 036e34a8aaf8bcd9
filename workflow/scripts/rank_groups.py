"""Adapter: rule rank_groups calls genebatch.evaluation.group_ranks.rank_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.evaluation.group_ranks import rank_groups

    rank_groups(snakemake.input, snakemake.output, snakemake.params.combiner)
