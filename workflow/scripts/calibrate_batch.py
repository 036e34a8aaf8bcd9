"""Adapter: rule calibrate_batch calls genebatch.training.recipe.calibrate_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.recipe import calibrate_batch

    calibrate_batch(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.calibration,
        snakemake.params.use_weights,
        outputs=snakemake.output,
    )
