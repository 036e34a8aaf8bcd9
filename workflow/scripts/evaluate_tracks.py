"""Rule evaluate_tracks."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import evaluate_tracks

    call_step(evaluate_tracks, snakemake)
