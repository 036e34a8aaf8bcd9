"""Adapter: rule predict calls genebatch.inference.predict_file."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.inference import predict_file

    predict_file(
        snakemake.input.model,
        snakemake.params.table,
        snakemake.output.predictions,
        threads=snakemake.threads,
    )
