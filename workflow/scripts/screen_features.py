"""Adapter: rule screen_features calls genebatch.screen.screen_features."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.screen import screen_features

    screen_features(
        snakemake.input.profile,
        snakemake.input.genes,
        snakemake.input.test_groups,
        snakemake.params.dataset,
        snakemake.params.screen,
        features=snakemake.output.features,
        table=snakemake.output.table,
    )
