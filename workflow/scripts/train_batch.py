"""Adapter: rule train_batch calls genebatch.training.train_batch."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.training import train_batch

    train_batch(
        {**snakemake.input, "rows": snakemake.params.rows},
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.learner | {"threads": snakemake.threads},
        output=snakemake.output.model,
    )
