"""Adapter: rule train_single calls genebatch.training.single.train_single."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.single import train_single

    train_single(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.cv,
        snakemake.params.learner | {"threads": snakemake.threads},
        snakemake.params.calibration,
        outputs=snakemake.output,
    )
