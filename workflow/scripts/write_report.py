"""Adapter: rule write_report calls genebatch.report.page.write_report."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.report.page import write_report

    write_report(snakemake.input, snakemake.params.config, snakemake.output)
