"""What genebatch.simulated_block promises."""

import numpy as np
import polars as pl
import pyarrow as pa

from genebatch.features.positions import position_features
from genebatch.simulation.block import block_table
from genebatch.simulation.columns import SPEC
from genebatch.simulation.gene import draw_gene
from genebatch.simulation.measures import measure
from genebatch.simulation.table import place_genes


def genes(*rows):
    return place_genes(np.array(rows), np.random.default_rng(5), 1, ("chr1",))


def test_rows_of_a_gene_do_not_depend_on_the_genes_beside_it():
    members = genes(8, 120, 30)
    alone = pa.concat_tables([block_table([gene], 1) for gene in members])
    assert block_table(members, 1).equals(alone)


def test_features_are_those_of_the_gene_alone_up_to_its_ends():
    first, second = genes(40, 300)
    rng = np.random.default_rng([1, 3, second.index])
    drawn = draw_gene(second, rng, measure(second, rng).cell_log_odds())
    wanted = position_features(drawn.sequence, *drawn.tracks, drawn.rows.position, SPEC)
    made = pl.from_arrow(block_table([first, second], 1)).select(SPEC.columns).tail(300)
    assert made.equals(wanted)
