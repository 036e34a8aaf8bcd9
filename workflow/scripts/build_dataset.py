"""Rule build_dataset."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import build_dataset

    call_step(build_dataset, snakemake)
