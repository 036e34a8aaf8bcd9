"""Adapter: rule consolidate calls genebatch.consolidation.consolidate."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
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
