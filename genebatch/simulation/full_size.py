"""Simulates a full-size data set to try memory and time on: the document's, on batches of genes.

It has the numbers of genes, rows and features of that data set, and its skew of gene sizes. The
content of the rows is drawn as in the small example. Measured features come on top; their effects
differ between genes. A measure is a track of one value per `CELL` nt, like that of a conservation
or an accessibility assay. It is drawn before the sites, and the sites depend on it; it never looks
at a label.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import ndtr, ndtri

from genebatch.features.positions import SPAN, position_features
from genebatch.io.files import InputError
from genebatch.simulation.columns import METADATA, PLANTED, SPEC, arrow, metadata, planted
from genebatch.simulation.gene import (
    CELL,
    GENE_GC_SPREAD,
    MEAN_GC,
    WINDOW,
    Drawn,
    GenePlan,
    draw_gene,
)
from genebatch.simulation.table import fit_total, place_genes, write_parts

GENES, ROWS = 9_280, 3_729_279
SIZES = (8, 17_629)  # rows of the smallest gene and of the largest one
# Spread of the logarithm of the sizes. The document's batches of the smallest 1,200 genes, of the
# next 1,200 and of the largest five hold 11,763, 25,424 and 63,741 rows.
SPREAD = 1.75
LARGEST_SHARE = 4  # a gene has no more than a quarter of the rows: that caps a share below 0.019
FEWEST_GENES = 8  # with fewer, sizes cannot be skewed
SHARD = 130_000  # rows
ROW_GROUP = 8_192  # rows, at most
CHROMS = tuple(f"chr{number}" for number in range(1, 23))
EFFECT = 0.8  # log-odds of a site per standard deviation of a track that acts
# Each track that acts, with what decides on the sign of its effect in a gene.
ACTING = {
    "conservation": "nothing: more makes a site likelier in every gene",
    "accessibility": "gene_gc_content: positive in GC-rich genes, negative in AT-rich ones",
    "methylation": "gene_type: positive in protein-coding genes, negative in the others",
    "occupancy": "a hidden trait of the gene, which trait_marker tells with noise",
}
NOISE = tuple(f"noise_{number}" for number in range(5))  # tracks that no site depends on
TRACKS = (*ACTING, *NOISE)
MARKER = "trait_marker"
MEASURES = (*TRACKS, MARKER)
FEATURES = (*SPEC.columns, *MEASURES, *PLANTED)
# The span looks at one whole gene. All other features look no farther than a flank, so genes can be
# laid end to end with their flanks.
ALONE = replace(SPEC, families=("span",))
ACROSS = replace(SPEC, families=tuple(name for name in SPEC.families if name != "span"))


class Measures(NamedTuple):
    """The measures of one gene."""

    cells: np.ndarray  # (cells, tracks) float32
    signs: np.ndarray  # effect of each of `ACTING`, -1 to 1
    marker: float

    def cell_log_odds(self) -> np.ndarray:
        """Give what each cell adds to the log-odds of a site in it."""
        return EFFECT * (self.cells[:, : len(ACTING)] @ self.signs)

    def at(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Give the columns `MEASURES` of positions of the gene."""
        values = self.cells[positions // CELL].T
        return dict(zip(TRACKS, values, strict=True)) | {
            MARKER: np.full(len(positions), self.marker)
        }


class BlockGene(NamedTuple):
    """A drawn gene of a block; `rng` goes on where the drawing ended."""

    gene: GenePlan
    drawn: Drawn
    measures: Measures
    rng: np.random.Generator


def simulate_document(
    out: str | Path,
    *,
    share: float = 1.0,
    seed: int = 7,
    shard_rows: int = SHARD,
    block_rows: int = ROW_GROUP,
) -> Path:
    """Write `out/example/part-*.parquet`, the data set or a share of its genes.

    Genes come in the order of their names; a gene is in one shard. Parts of an earlier call are
    replaced only after all new ones are complete. Holds a row group or a gene, whichever is larger;
    the process that wrote the full data set peaked at 485 MB.

    Parameters
    ----------
    out
        The folder to write into.
    share
        Of the genes and rows of the full data set.
    seed
        Of the random numbers.
    shard_rows, block_rows
        Rows of a shard, about; and of a row group, at most.

    Raises
    ------
    InputError
        If the share is not above 0 and at most 1 or leaves too few genes, or if the folder holds
        other Parquet files.
    """
    if not FEWEST_GENES / GENES <= share <= 1:
        raise InputError(
            f"--share {share:g} of {GENES:,} genes cannot be simulated; "
            f"set it from {ceil(1e5 * FEWEST_GENES / GENES) / 1e5} to 1"
        )
    n_rows = round(share * ROWS)
    rng = np.random.default_rng([seed, 4])
    sizes = rng.permutation(gene_sizes(round(share * GENES), n_rows))
    genes = place_genes(sizes, rng, 1, CHROMS)
    n_shards = max(1, round(n_rows / shard_rows))
    # A gene goes where its middle row falls.
    shard = ((np.cumsum(sizes) - sizes / 2) * n_shards / n_rows).astype(int)
    folder = Path(out) / "example"
    shards = {
        folder / f"part-{i:03d}.parquet": [genes[k] for k in np.flatnonzero(shard == i)]
        for i in range(n_shards)
    }
    write_parts(shards, lambda path, members: _write_shard(path, members, seed, block_rows))
    return Path(out)


def gene_sizes(n: int, n_rows: int) -> np.ndarray:
    """Give ascending sizes of `n` genes that sum to `n_rows` and reach both ends of `SIZES`.

    They are the quantiles of a lognormal law, cut off at the upper end and clipped at the lower
    one. A gene has at most a quarter of the rows, so with few rows the upper end is lower.
    """
    low, high = SIZES[0], min(SIZES[1], n_rows // LARGEST_SHARE)
    ranks = (np.arange(n) + 0.5) / n

    def sizes(centre: float) -> np.ndarray:
        below = ndtr((np.log(high) - centre) / SPREAD)
        drawn = np.exp(centre + SPREAD * ndtri(ranks * below))
        return np.clip(np.rint(drawn), low, high).astype(int)

    lower, upper = np.log(low) - 5 * SPREAD, np.log(high) + 5 * SPREAD
    for _ in range(50):
        centre = (lower + upper) / 2
        lower, upper = (centre, upper) if sizes(centre).sum() < n_rows else (lower, centre)
    inner = fit_total(sizes(upper)[1:-1], n_rows - low - high, low, high)
    return np.array([low, *np.sort(inner), high])


def measure(gene: GenePlan, rng: np.random.Generator) -> Measures:
    """Draw the measures of a gene, standard normal in every cell."""
    cells = rng.standard_normal((gene.length // CELL + 1, len(TRACKS)), dtype=np.float32)
    trait = rng.choice([-1.0, 1.0])
    gc_rich = np.tanh((gene.gc - MEAN_GC) / (GENE_GC_SPREAD / 2))
    coding = 1.0 if gene.kind == "protein_coding" else -1.0
    marker = float(rng.normal(trait, 1.0))
    return Measures(cells, np.array([1.0, gc_rich, coding, trait]), marker)


def block_table(genes: Sequence[GenePlan], seed: int) -> pa.Table:
    """Simulate the rows of some genes, in their order. No row depends on the other genes.

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


def _write_shard(path: Path, genes: Sequence[GenePlan], seed: int, block_rows: int) -> None:
    """Write the genes block by block."""
    tables = (block_table(block, seed) for block in _blocks(genes, block_rows))
    first = next(tables)
    # A dictionary of floats that hardly repeat costs time and no byte less.
    repeating = [field.name for field in first.schema if not pa.types.is_floating(field.type)]
    with pq.ParquetWriter(
        path, first.schema, compression="zstd", use_dictionary=repeating
    ) as writer:
        for table in chain([first], tables):
            groups = ceil(table.num_rows / block_rows)
            writer.write_table(table, row_group_size=ceil(table.num_rows / groups))


def _blocks(genes: Sequence[GenePlan], block_rows: int) -> Iterator[list[GenePlan]]:
    """Successive genes of at most `block_rows` rows together, or one larger gene."""
    block: list[GenePlan] = []
    rows = 0
    for gene in genes:
        if block and rows + gene.rows > block_rows:
            yield block
            block, rows = [], 0
        block.append(gene)
        rows += gene.rows
    yield block


def _member(gene: GenePlan, seed: int) -> BlockGene:
    rng = np.random.default_rng([seed, 3, gene.index])
    measures = measure(gene, rng)
    return BlockGene(gene, draw_gene(gene, rng, measures.cell_log_odds()), measures, rng)


def _features(members: Sequence[BlockGene]) -> pa.Table:
    """Features across genes laid end to end; one call per gene would take most of the time."""
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


def _of_gene(member: BlockGene, gc_content: np.ndarray) -> dict[str, np.ndarray]:
    """Columns that are made gene by gene."""
    gene, (sequence, tracks, rows, label), measures, rng = member
    label = label[rows.position]
    span = position_features(sequence, *tracks, rows.position, ALONE)
    columns = metadata(gene, rows, label)
    columns |= {name: span[name].to_numpy() for name in SPAN}
    columns |= measures.at(rows.position)
    return columns | planted(gene, label, gc_content, rng)
