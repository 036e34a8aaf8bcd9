"""Adapter: rule diagnose_batch calls genebatch.diagnosis.diagnose_batch."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.diagnosis import diagnose_batch

    diagnose_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        outputs=snakemake.output,
    )
