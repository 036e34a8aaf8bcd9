"""Adapter: rule combine_batches calls genebatch.ensemble.combining.combine_batches."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.ensemble.combining import combine_batches

    combine_batches(
        snakemake.input,
        snakemake.params.ensemble,
        snakemake.params.use_weights,
        outputs=snakemake.output,
        missing=snakemake.params.missing,
    )
