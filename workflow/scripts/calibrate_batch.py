"""Adapter: rule calibrate_batch calls genebatch.training.calibrate_batch."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.training import calibrate_batch

    calibrate_batch(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.calibration,
        snakemake.params.use_weights,
        outputs=snakemake.output,
    )
