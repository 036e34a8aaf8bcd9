"""Adapter: rule describe_groups calls genebatch.dataset.similarity.describe_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.dataset.similarity import describe_groups

    describe_groups(
        snakemake.input.profile,
        snakemake.input.genes,
        snakemake.input.test_groups,
        snakemake.input.features,
        snakemake.params.similar_by,
        groups=snakemake.output.groups,
        similarity=snakemake.output.similarity,
    )
