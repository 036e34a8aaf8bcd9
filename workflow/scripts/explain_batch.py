"""Adapter: rule explain_batch calls genebatch.training.explain.explain_batch."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.training.explain import explain_batch

    explain_batch(
        {**snakemake.input, "rows": snakemake.params.rows},
        snakemake.wildcards.batch,
        snakemake.params.dataset,
        snakemake.params.explain,
        snakemake.params.use_weights,
        threads=snakemake.threads,
        outputs=snakemake.output,
    )
