"""Adapter: rule evaluate calls genebatch.evaluation.evaluate."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.evaluation import evaluate

    evaluate(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.evaluation,
        threads=snakemake.threads,
        outputs=snakemake.output,
    )
