"""Adapter: rule choose_test_groups calls genebatch.planning.choose_test_groups."""

from genebatch.resources import job

with job(
    log_file=snakemake.log[0],
    mem_mb=snakemake.resources.mem_mb,
    needs_mb=snakemake.resources.needs_mb,
    threads=snakemake.threads,
):
    from genebatch.planning import choose_test_groups

    choose_test_groups(
        snakemake.input.genes,
        snakemake.params.test,
        snakemake.params.keep,
        out=snakemake.output.groups,
    )
