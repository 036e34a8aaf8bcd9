"""Rule table_of_text."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import table_of_text

    call_step(table_of_text, snakemake)
