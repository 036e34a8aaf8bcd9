"""Rule choose_test_groups."""

from genebatch.jobs.run import declared, job

with job(**declared(snakemake)):
    from genebatch.jobs.step import call_step
    from genebatch.steps.dataset import choose_test_groups

    call_step(choose_test_groups, snakemake)
