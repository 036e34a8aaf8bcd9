"""Adapter: rule evaluate calls genebatch.evaluation.evaluate."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
    usage=snakemake.output.usage,
):
    from genebatch.evaluation import evaluate

    evaluate(
        snakemake.input,
        snakemake.params.dataset,
        snakemake.params.evaluation,
        threads=snakemake.threads,
        outputs=snakemake.output,
    )
