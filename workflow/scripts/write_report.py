"""Rule write_report."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.report import write_report

    call_step(write_report, snakemake)
