"""Plans of small tables of groups."""

import numpy as np
import polars as pl

from genebatch.dataset.feature_set import Features
from genebatch.plan.kept_plan import read_plan
from genebatch.plan.planning import Data, Limits, make_plan
from tests.builders.small_table import resolved

PLENTY = 100_000  # MB
FEATURES = Features(tuple(f"f{number}" for number in range(20)), 15)
FEATURE_SET = FEATURES.to_json() | {"digest": FEATURES.digest, "counts_per_row": 2.0}
FEATURE_SET |= {"n_wide": 2, "n_frequent": 1}


def config(**sections):
    """Settings for batches of at most ten groups."""
    batching = {"max_groups": 10, "min_groups": 3, "min_positives": 1}
    batching |= sections.pop("batching", {})
    return resolved(batching=batching, cv={"n_splits": 3} | sections.pop("cv", {}), **sections)


def planned(groups, test, settings, budget_mb=PLENTY, described=None, features=FEATURE_SET):
    """The plan of some groups, `test` among them."""
    data = Data(groups, list(test), features, described, read_plan(settings.batching.keep))
    limits = Limits(budget_mb, settings.learner.threads)
    return make_plan(data, settings.batching, settings.planning, limits)


def make_groups(n_groups=40, rows=100):
    """Groups of one size and class shares, digests that follow the name, four to a row group."""
    numbers = range(n_groups)
    names = [f"g{number:02d}" for number in numbers]
    return pl.DataFrame(
        {
            "group": names,
            "rows": np.full(n_groups, rows),
            "n_neither": np.full(n_groups, rows - 6),
            "n_donor": np.full(n_groups, 3),
            "n_acceptor": np.full(n_groups, 3),
            "weight_neither": np.full(n_groups, 5.0 * (rows - 6)),
            "weight_donor": np.full(n_groups, 3.0),
            "weight_acceptor": np.full(n_groups, 3.0),
            "base_log_loss": np.full(n_groups, 2.0),
            "digest": [f"digest of {name}" for name in names],
            "chunks": pl.Series([[number // 4] for number in numbers], dtype=pl.List(pl.UInt32)),
            "first": np.array([number % 4 * rows for number in numbers], np.uint32),
            "shards": np.ones(n_groups, np.uint32),
            "fact.chrom": [f"chr{number % 4}" for number in numbers],
        }
    )


def uneven_groups(n_groups=40):
    """Groups of unequal size and difficulty."""
    rng = np.random.default_rng(3)
    rows = rng.integers(50, 150, n_groups)
    return make_groups(n_groups).with_columns(
        rows=rows, n_neither=rows - 6, base_log_loss=rng.gamma(1, 1, n_groups)
    )


def described(groups):
    """One feature of groups, in which every fourth group is alike."""
    kind = [float(int(name[1:]) % 4) for name in groups["group"]]
    return pl.DataFrame({"group": groups["group"], "kind": pl.Series(kind, dtype=pl.Float32)})


def with_cell(groups, group, **cells):
    chosen = pl.col("group") == group
    return groups.with_columns(
        pl.when(chosen)
        .then(pl.lit(value))
        .otherwise(pl.col(name))
        .cast(groups[name].dtype)
        .alias(name)
        for name, value in cells.items()
    )


def keys(plan):
    return dict(plan.manifest.select("batch", "key").iter_rows())


def members(plan):
    trained = plan.groups.filter(~pl.col("test"))
    return {name[0]: set(part["group"]) for name, part in trained.group_by("batch")}


def changed(before, after):
    """Batches of either plan whose keys differ."""
    return {
        batch
        for batch in keys(before) | keys(after)
        if keys(before).get(batch) != keys(after).get(batch)
    }
