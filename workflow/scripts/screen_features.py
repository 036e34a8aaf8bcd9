"""Adapter: rule screen_features calls genebatch.dataset.screen.screen_features."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.dataset.screen import screen_features

    screen_features(
        snakemake.input.profile,
        snakemake.input.genes,
        snakemake.input.test_groups,
        snakemake.params.dataset,
        snakemake.params.screen,
        features=snakemake.output.features,
        table=snakemake.output.table,
    )
