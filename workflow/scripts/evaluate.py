"""Adapter: rule evaluate calls genebatch.evaluation.test_groups.evaluate."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.evaluation.test_groups import evaluate

    evaluate(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.evaluation,
        threads=snakemake.threads,
        outputs=snakemake.output,
    )
