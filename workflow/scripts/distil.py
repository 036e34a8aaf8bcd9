"""Rule distil."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.ensemble import distil

    call_step(distil, snakemake)
