"""Adapter: rule evaluate_tracks calls genebatch.track_evaluation.evaluate_tracks."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.track_evaluation import evaluate_tracks

    evaluate_tracks(
        snakemake.input,
        snakemake.params.transcripts,
        snakemake.params.evaluation,
        outputs=snakemake.output,
    )
