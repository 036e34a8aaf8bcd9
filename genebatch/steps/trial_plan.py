"""Plans the batches of a configuration, and keeps no file."""

import tempfile
from pathlib import Path

import polars as pl

from genebatch.config.settings import Settings
from genebatch.dataset.from_text import text_in_parquet
from genebatch.groups import read_groups_list
from genebatch.io.data_files import holds_text
from genebatch.io.files import read_json, read_parquet
from genebatch.plan.kept_plan import read_plan
from genebatch.plan.planning import Data, Limits, make_plan
from genebatch.steps.dataset import (
    analyze_dataset,
    choose_test_groups,
    describe_groups,
    screen_features,
)


def trial_manifest(settings: Settings, budget_mb: int, threads: int) -> pl.DataFrame:
    """Give the manifest that a run would have.

    The steps before the plan write into a temporary folder.

    Parameters
    ----------
    settings
        A whole configuration.
    budget_mb
        What the largest rule of a batch may need, in MB.
    threads
        Threads that read the data set.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = _data(settings, threads, Path(folder))
    limits = Limits(budget_mb, settings.learner.threads)
    return make_plan(data, settings.batching, settings.planning, limits).manifest


def _data(settings: Settings, threads: int, folder: Path) -> Data:
    """What is dealt into batches, by the steps of the workflow."""
    keep, labels, table = settings.batching.keep, settings.table.labels, settings.table
    if holds_text(table.path):
        table = text_in_parquet(table, folder)
    names = ("profile", "groups", "test_groups", "features", "screened")
    profile, groups, test_groups, features, screened = (str(folder / name) for name in names)
    analyze_dataset(
        table=table,
        test_column=settings.test.column,
        profile=profile,
        groups=groups,
        threads=threads,
    )
    choose_test_groups(groups=groups, test=settings.test, keep=keep, test_groups=test_groups)
    analysed = {"profile": profile, "groups": groups, "test_groups": test_groups}
    screening = {"labels": labels, "screening": settings.screen}
    screen_features(**analysed, **screening, features=features, screened=screened)
    described = None
    if settings.batching.strategy == "similarity":
        group_features = str(folder / "group_features")
        describe_groups(
            **analysed,
            features=features,
            similar_by=settings.batching.similar_by,
            group_features=group_features,
            similarity=str(folder / "similarity"),
        )
        described = read_parquet(group_features)
    tables = (read_parquet(groups), read_groups_list(test_groups), read_json(features))
    return Data(*tables, described, read_plan(keep))
