"""Adapter: rule evaluate_tracks calls genebatch.calls.evaluation.compare.evaluate_tracks."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.calls.evaluation.compare import evaluate_tracks

    evaluate_tracks(
        snakemake.input,
        snakemake.params.transcripts,
        snakemake.params.evaluation,
        outputs=snakemake.output,
    )
