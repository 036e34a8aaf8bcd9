"""Adapter: rule analyze_dataset calls genebatch.analysis.analyze_dataset."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.analysis import analyze_dataset

    analyze_dataset(
        snakemake.params.dataset,
        snakemake.params.test_column,
        profile=snakemake.output.profile,
        genes=snakemake.output.genes,
        threads=snakemake.threads,
    )
