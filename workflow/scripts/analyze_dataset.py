"""Adapter: rule analyze_dataset calls genebatch.analysis.analyze_dataset."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.analysis import analyze_dataset

    analyze_dataset(
        snakemake.params.dataset,
        snakemake.params.test_column,
        profile=snakemake.output.profile,
        genes=snakemake.output.genes,
    )
