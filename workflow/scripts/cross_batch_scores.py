"""Adapter: rule cross_batch_scores calls genebatch.ensemble.cross_scores.cross_batch_scores."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.ensemble.cross_scores import cross_batch_scores

    cross_batch_scores(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.use_weights,
        threads=snakemake.threads,
        output=snakemake.output.scores,
        missing=snakemake.params.missing,
    )
