"""Adapter: rule cross_validate_batch calls genebatch.training.recipe.cross_validate_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.recipe import cross_validate_batch

    cross_validate_batch(
        {**snakemake.input, "rows": snakemake.params.rows},
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        outputs=snakemake.output,
    )
