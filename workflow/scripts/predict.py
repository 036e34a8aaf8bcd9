"""Adapter: rule predict calls genebatch.model.prediction.predict_file."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.model.prediction import predict_file

    predict_file(
        snakemake.input.model,
        snakemake.params.table,
        snakemake.output.predictions,
        threads=snakemake.threads,
    )
