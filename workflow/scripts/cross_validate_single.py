"""Rule cross_validate_single."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.ensemble import cross_validate_single

    call_step(cross_validate_single, snakemake)
