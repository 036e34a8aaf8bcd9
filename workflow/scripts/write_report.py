"""Adapter: rule write_report calls genebatch.report.write_report."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.report import write_report

    write_report(snakemake.input, snakemake.params.config, snakemake.output)
