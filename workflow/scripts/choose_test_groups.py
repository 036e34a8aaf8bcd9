"""Adapter: rule choose_test_groups calls genebatch.planning.choose_test_groups."""

from genebatch.resources import declared, job

with job(**declared(snakemake)):
    from genebatch.planning import choose_test_groups

    choose_test_groups(
        snakemake.input.genes,
        snakemake.params.test,
        snakemake.params.keep,
        out=snakemake.output.groups,
    )
