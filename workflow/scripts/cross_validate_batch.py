"""Adapter: rule cross_validate_batch calls genebatch.training.cross_validate_batch."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.training import cross_validate_batch

    cross_validate_batch(
        snakemake.input,
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        outputs=snakemake.output,
    )
