"""Adapter: rule rank_groups calls genebatch.gene_ranks.rank_groups."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.gene_ranks import rank_groups

    rank_groups(snakemake.input, snakemake.output, snakemake.params.combiner)
