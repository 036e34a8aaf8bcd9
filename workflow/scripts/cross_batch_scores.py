"""Adapter: rule cross_batch_scores calls genebatch.cross_batch.cross_batch_scores."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.cross_batch import cross_batch_scores

    cross_batch_scores(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.use_weights,
        threads=snakemake.threads,
        output=snakemake.output.scores,
        missing=snakemake.params.missing,
    )
