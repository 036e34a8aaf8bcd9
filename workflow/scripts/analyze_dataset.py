"""Adapter: rule analyze_dataset calls genebatch.dataset.profile.analyze_dataset."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.dataset.profile import analyze_dataset

    analyze_dataset(
        snakemake.params.dataset,
        snakemake.params.test_column,
        profile=snakemake.output.profile,
        genes=snakemake.output.genes,
        threads=snakemake.threads,
    )
