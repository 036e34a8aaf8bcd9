"""Adapter: rule diagnose_batch calls genebatch.report.batch.diagnose_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.report.batch import diagnose_batch

    diagnose_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        outputs=snakemake.output,
    )
