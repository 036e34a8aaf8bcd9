"""Tables of groups, and what parts of them hold."""

import numpy as np
import polars as pl
from hypothesis import strategies as st

from genebatch.config.settings import Batching
from genebatch.groups import measures

BATCHING = Batching(
    strategy="balanced",
    similar_by=None,
    max_groups=10_000,
    max_rows=None,
    min_groups=1,
    min_positives=0,
    overlap=0.0,
    keep=None,
    seed=7,
)


def groups_of(counts, names=None):
    """A table of groups from (groups, classes) row counts."""
    counts = np.asarray(counts)
    names = [f"g{number:03d}" for number in range(len(counts))] if names is None else names
    columns = {"group": names, "rows": counts.sum(axis=1)}
    columns |= {f"n_{name}": counts[:, name] for name in range(counts.shape[1])}
    columns["shards"] = np.full(len(counts), 9)
    return pl.DataFrame(columns, schema_overrides={"group": pl.String})


def made_groups(n_groups=200, seed=0):
    """Groups of very unequal size, with a frequent and a rare class."""
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(4, 1, n_groups).astype(int) + 5
    return groups_of(np.column_stack([rows, rng.poisson(3, n_groups), rng.random(n_groups) < 0.2]))


count_tables = st.lists(
    st.tuples(st.integers(1, 1000), st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=40
).map(groups_of)


def loads(groups, parts, n_parts):
    """(parts, measures) sums."""
    sizes = measures(groups)
    return np.array([sizes[parts == part].sum(axis=0) for part in range(n_parts)])
