"""Rule gene_sequences."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import gene_sequences

    call_step(gene_sequences, snakemake)
