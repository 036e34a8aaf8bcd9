"""Adapter: rule build_dataset calls genebatch.features.training_table.build_dataset."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.features.training_table import build_dataset

    build_dataset(
        snakemake.params.sequence,
        snakemake.output.shards,
        genes_out=snakemake.output.genes,
    )
