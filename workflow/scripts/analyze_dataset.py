"""Rule analyze_dataset."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import analyze_dataset

    call_step(analyze_dataset, snakemake)
