"""Adapter: rule diagnose_batch calls genebatch.diagnosis.diagnose_batch."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.diagnosis import diagnose_batch

    diagnose_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        outputs=snakemake.output,
    )
