"""Adapter: rule distil calls genebatch.distillation.distil."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.distillation import distil

    distil(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        snakemake.params.calibration,
        snakemake.params.ensemble,
        outputs=snakemake.output,
    )
