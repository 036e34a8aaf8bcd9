"""Adapter: rule distil calls genebatch.ensemble.distillation.distil."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.ensemble.distillation import distil

    distil(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        snakemake.params.calibration,
        snakemake.params.ensemble,
        outputs=snakemake.output,
    )
