"""Adapter: rule choose_test_groups calls genebatch.plan.planning.choose_test_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.plan.planning import choose_test_groups

    choose_test_groups(
        snakemake.input.genes,
        snakemake.params.test,
        snakemake.params.keep,
        out=snakemake.output.groups,
    )
