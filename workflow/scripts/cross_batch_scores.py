"""Rule cross_batch_scores."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.ensemble import cross_batch_scores

    call_step(cross_batch_scores, snakemake)
