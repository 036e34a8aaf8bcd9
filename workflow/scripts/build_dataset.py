"""Adapter: rule build_dataset calls genebatch.training_table.build_dataset."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.training_table import build_dataset

    build_dataset(
        snakemake.params.sequence,
        snakemake.output.shards,
        genes_out=snakemake.output.genes,
    )
