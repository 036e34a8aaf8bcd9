"""Adapter: rule consolidate calls genebatch.ensemble.final.consolidate."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.ensemble.final import consolidate

    consolidate(
        snakemake.input,
        snakemake.params.final,
        snakemake.params.prevalence,
        outputs=snakemake.output,
    )
