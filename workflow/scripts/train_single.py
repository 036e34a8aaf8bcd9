"""Adapter: rule train_single calls genebatch.single.train_single."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.single import train_single

    train_single(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        snakemake.params.calibration,
        outputs=snakemake.output,
    )
