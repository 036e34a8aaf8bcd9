"""Adapter: rule consolidate calls genebatch.consolidation.consolidate."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.consolidation import consolidate

    consolidate(
        snakemake.input,
        snakemake.params.final,
        snakemake.params.prevalence,
        outputs=snakemake.output,
    )
