"""Rows of several simulated genes as one table, of the columns of a full-size data set.

Columns: `METADATA`, then 1,167 features: those of `sequence`, the measures, the planted problems.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from genebatch.features.positions import SPAN, position_features
from genebatch.simulation.columns import METADATA, PLANTED, SPEC, arrow, metadata, planted
from genebatch.simulation.gene import WINDOW, Drawn, Gene, draw_gene
from genebatch.simulation.measures import COLUMNS as MEASURES
from genebatch.simulation.measures import Measures, measure

FEATURES = (*SPEC.columns, *MEASURES, *PLANTED)
# The span is that of one gene. Everything else looks no farther than a flank, so genes can be laid
# end to end with their flanks on.
ALONE = replace(SPEC, families=("span",))
ACROSS = replace(SPEC, families=tuple(name for name in SPEC.families if name != "span"))


class Member(NamedTuple):
    """A gene of a block, drawn; `rng` goes on where the drawing ended."""

    gene: Gene
    drawn: Drawn
    measures: Measures
    rng: np.random.Generator


def block_table(genes: Sequence[Gene], seed: int) -> pa.Table:
    """Simulate the rows of some genes, in their order; no row depends on the other genes.

    Holds 70 bytes per nt of the genes and 5 kB per row.
    """
    members = [_member(gene, seed) for gene in genes]
    features = _features(members)
    rows = np.array([gene.rows for gene in genes])
    copied = np.split(features["gc_content"].to_numpy(), np.cumsum(rows)[:-1])
    parts = [_of_gene(*item) for item in zip(members, copied, strict=True)]
    columns = {name: arrow(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    columns |= dict(zip(features.column_names, features.columns, strict=True))
    return pa.table({name: columns[name] for name in (*METADATA, *FEATURES)})


def _member(gene: Gene, seed: int) -> Member:
    rng = np.random.default_rng([seed, 3, gene.index])
    measures = measure(gene, rng)
    return Member(gene, draw_gene(gene, rng, measures.cell_log_odds()), measures, rng)


def _features(members: Sequence[Member]) -> pa.Table:
    """Features across genes laid end to end: a call per gene would take most of the time."""
    sequence = np.concatenate([member.drawn.sequence for member in members])
    lengths = [len(member.drawn.sequence) for member in members]
    starts = np.cumsum([0, *lengths[:-1]])
    tracks = np.zeros((2, len(sequence) - 2 * WINDOW), dtype=np.float32)
    for start, member in zip(starts, members, strict=True):
        tracks[:, start : start + member.gene.length] = member.drawn.tracks
    positions = [
        start + member.drawn.rows.position for start, member in zip(starts, members, strict=True)
    ]
    return position_features(sequence, *tracks, np.concatenate(positions), ACROSS).to_arrow()


def _of_gene(member: Member, gc_content: np.ndarray) -> dict[str, np.ndarray]:
    """Columns that are made gene by gene."""
    gene, (sequence, tracks, rows, label), measures, rng = member
    label = label[rows.position]
    span = position_features(sequence, *tracks, rows.position, ALONE)
    columns = metadata(gene, rows, label)
    columns |= {name: span[name].to_numpy() for name in SPAN}
    columns |= measures.at(rows.position)
    return columns | planted(gene, label, gc_content, rng)
