"""Rule diagnose_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.report import diagnose_batch

    call_step(diagnose_batch, snakemake)
