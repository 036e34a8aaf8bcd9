"""Adapter: rule predict calls genebatch.inference.predict_file."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.inference import predict_file

    predict_file(
        snakemake.input.model,
        snakemake.params.table,
        snakemake.output.predictions,
        threads=snakemake.threads,
    )
