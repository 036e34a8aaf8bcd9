"""Adapter: rule explain_batch calls genebatch.explain.explain_batch."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.explain import explain_batch

    explain_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.explain,
        snakemake.params.use_weights,
        threads=snakemake.threads,
        outputs=snakemake.output,
    )
