"""Rule predict."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.predict import predict

    call_step(predict, snakemake)
