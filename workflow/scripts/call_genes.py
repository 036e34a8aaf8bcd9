"""Adapter: rule call_genes calls genebatch.calls.calling.call."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from pathlib import Path

    from genebatch.calls.calling import call, read_ids
    from genebatch.features.gene_rows import genes_of_groups

    listed, test_groups = snakemake.input.get("wanted"), snakemake.input.get("test_groups")
    wanted = read_ids(listed) if listed else None
    if test_groups:
        wanted = genes_of_groups(snakemake.input.table, test_groups)
    call(
        snakemake.input.model,
        snakemake.input.fasta,
        snakemake.input.genes,
        snakemake.params.sequence["scores"],
        Path(snakemake.output.positions).parent,
        wanted=wanted,
        unscored=snakemake.params.sequence["unscored"],
        **snakemake.params.call,
        threads=snakemake.threads,
    )
