"""A full-size data set to try memory and time on: that of the document on batches of genes.

Of it are the numbers of genes, rows and features, and the skew of the gene sizes. What is in the
rows is drawn as in the small example, with measured features whose effects differ between genes.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import ndtr, ndtri

from genebatch.io.files import InputError
from genebatch.simulation.block import block_table
from genebatch.simulation.gene import Gene
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


def simulate_document(out: str | Path, *, share: float = 1.0, seed: int = 7) -> Path:
    """Write `out/example/part-*.parquet`, the data set or a share of its genes.

    Genes come in the order of their names; a gene is in one shard. Parts from an earlier call are
    replaced only after all new ones are complete. Holds a row group or a gene, whichever is larger;
    the process that wrote the full data set peaked at 485 MB.

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
    n_shards = max(1, round(n_rows / SHARD))
    # A gene goes where its middle row falls.
    shard = ((np.cumsum(sizes) - sizes / 2) * n_shards / n_rows).astype(int)
    folder = Path(out) / "example"
    shards = {
        folder / f"part-{i:03d}.parquet": [genes[k] for k in np.flatnonzero(shard == i)]
        for i in range(n_shards)
    }
    write_parts(shards, lambda path, members: _write_shard(path, members, seed))
    return Path(out)


def gene_sizes(n: int, n_rows: int) -> np.ndarray:
    """Ascending sizes of `n` genes that sum to `n_rows`, with both ends of `SIZES` reached.

    They are the quantiles of a lognormal law, cut off above and held below. A gene has at most a
    quarter of the rows, so with few rows the upper end is lower.
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


def _write_shard(path: Path, genes: Sequence[Gene], seed: int) -> None:
    """Write the genes block by block."""
    tables = (block_table(block, seed) for block in _blocks(genes))
    first = next(tables)
    # A dictionary of floats that hardly repeat costs time and no byte less.
    repeating = [field.name for field in first.schema if not pa.types.is_floating(field.type)]
    with pq.ParquetWriter(
        path, first.schema, compression="zstd", use_dictionary=repeating
    ) as writer:
        for table in chain([first], tables):
            groups = ceil(table.num_rows / ROW_GROUP)
            writer.write_table(table, row_group_size=ceil(table.num_rows / groups))


def _blocks(genes: Sequence[Gene]) -> Iterator[list[Gene]]:
    """Successive genes of at most `ROW_GROUP` rows together, or one larger gene."""
    block: list[Gene] = []
    rows = 0
    for gene in genes:
        if block and rows + gene.rows > ROW_GROUP:
            yield block
            block, rows = [], 0
        block.append(gene)
        rows += gene.rows
    yield block
