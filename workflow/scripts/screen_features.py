"""Adapter: rule screen_features calls genebatch.screen.screen_features."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
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
