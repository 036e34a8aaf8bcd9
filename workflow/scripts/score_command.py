"""Rule score_genes, after a program of the user's."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.sequence import score_genes_command

    call_step(score_genes_command, snakemake)
