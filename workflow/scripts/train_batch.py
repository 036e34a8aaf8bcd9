"""Adapter: rule train_batch calls genebatch.training.train_batch."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.training import train_batch

    train_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.learner | {"threads": snakemake.threads},
        output=snakemake.output.model,
    )
