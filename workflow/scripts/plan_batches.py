"""Adapter: rule plan_batches calls genebatch.plan.planning.plan_batches and split.split_batches."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.split import split_batches

    from genebatch.plan.planning import plan_batches

    config = snakemake.params.config
    learner = config["learner"] | {"threads": snakemake.resources.batch_threads}
    plan_batches(
        snakemake.input.profile,
        snakemake.input.genes,
        snakemake.input.test_groups,
        snakemake.input.features,
        config | {"learner": learner},
        budget_mb=snakemake.resources.budget_mb,
        outputs=snakemake.output,
        group_features=snakemake.input.get("group_features"),
    )
    split_batches({**snakemake.input, "plan": snakemake.output.genes}, snakemake.params.rows)
