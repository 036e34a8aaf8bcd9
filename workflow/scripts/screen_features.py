"""Rule screen_features."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import screen_features

    call_step(screen_features, snakemake)
