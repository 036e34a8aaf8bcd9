"""Rule add_single."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.ensemble import add_single

    call_step(add_single, snakemake)
