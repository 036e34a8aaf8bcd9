"""Adapter: rule train_batch calls genebatch.training.recipe.train_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.recipe import train_batch

    train_batch(
        {**snakemake.input, "rows": snakemake.params.rows},
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.learner | {"threads": snakemake.threads},
        output=snakemake.output.model,
    )
