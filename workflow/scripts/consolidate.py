"""Adapter: rule consolidate calls genebatch.consolidation.consolidate."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.consolidation import consolidate

    consolidate(
        snakemake.input.models,
        snakemake.input.manifest,
        snakemake.input.profile,
        snakemake.params.combiner,
        snakemake.params.prevalence,
        model_file=snakemake.output.model,
        pickle_file=snakemake.output.pickle,
    )
