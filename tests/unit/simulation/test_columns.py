"""The label changes the planted columns and nothing else."""

import polars as pl

from genebatch.simulation.columns import gene_table
from genebatch.simulation.table import plan_genes


def test_label_changes_the_planted_columns_only():
    gene = plan_genes(5, 500, 1, 1, ("chr1",))[-1]
    known, unknown = (pl.from_arrow(gene_table(gene, 1, labelled)) for labelled in (True, False))
    differing = {name for name in unknown.columns if not known[name].equals(unknown[name])}
    assert differing == {"tx_length_filled", "site_probe", "tx_start"}
