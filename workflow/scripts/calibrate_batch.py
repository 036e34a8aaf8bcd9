"""Adapter: rule calibrate_batch calls genebatch.training.calibrate_batch."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.training import calibrate_batch

    calibrate_batch(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.calibration,
        snakemake.params.use_weights,
        outputs=snakemake.output,
    )
