"""Adapter: rule write_report calls genebatch.report.write_report."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
):
    from genebatch.report import write_report

    write_report(snakemake.input, snakemake.params.config, snakemake.output)
