"""Per-group tables, and what parts of them hold."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

from genebatch.groups import measures

BATCHING = {"max_genes": 10_000, "max_rows": None, "min_genes": 1, "seed": 7}


def genes_of(counts, names=None):
    """A per-group table from (groups, classes) row counts."""
    counts = np.asarray(counts)
    names = [f"g{number:03d}" for number in range(len(counts))] if names is None else names
    columns = {"group": names, "rows": counts.sum(axis=1)}
    columns |= {f"n_{name}": counts[:, name] for name in range(counts.shape[1])}
    columns["shards"] = np.full(len(counts), 9)
    return pl.DataFrame(columns, schema_overrides={"group": pl.String})


def made_genes(n_groups=200, seed=0):
    """Groups of very unequal size, with a frequent and a rare class."""
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(4, 1, n_groups).astype(int) + 5
    return genes_of(np.column_stack([rows, rng.poisson(3, n_groups), rng.random(n_groups) < 0.2]))


count_tables = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=40
).map(genes_of)


def loads(genes, parts, n_parts):
    """(parts, measures) sums."""
    sizes = measures(genes)
    return np.array([sizes[parts == part].sum(axis=0) for part in range(n_parts)])
