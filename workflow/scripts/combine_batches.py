"""Adapter: rule combine_batches calls genebatch.combining.combine_batches."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.combining import combine_batches

    combine_batches(
        snakemake.input,
        snakemake.params.ensemble,
        snakemake.params.use_weights,
        outputs=snakemake.output,
        missing=snakemake.params.missing,
    )
