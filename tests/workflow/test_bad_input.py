"""Wrong data through the whole workflow: one clear message, status 1, nothing half-written."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.workflow.running import SMALL, Run

pytestmark = pytest.mark.workflow


def first_shard(folder: Path) -> Path:
    return folder / "data/example/part-000.parquet"


def rewrite(folder: Path, *columns: pl.Expr, drop: str | None = None) -> None:
    table = pl.read_parquet(first_shard(folder)).with_columns(*columns)
    (table.drop(drop) if drop else table).write_parquet(first_shard(folder))


def in_first_row(column: str, value: object) -> pl.Expr:
    first = pl.int_range(pl.len()) == 0
    return pl.when(first).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


def empty_folder(folder):
    shutil.rmtree(folder / "data/example")
    (folder / "data/example").mkdir()


def truncated(folder):
    content = first_shard(folder).read_bytes()
    first_shard(folder).write_bytes(content[: len(content) // 2])


def other_columns(folder):
    rewrite(folder, drop="gc_content")


def unknown_label(folder):
    rewrite(folder, in_first_row("splice_type", "branchpoint"))


def absent_class(folder):
    for shard in (folder / "data/example").glob("*.parquet"):
        table = pl.read_parquet(shard)
        label = pl.col("splice_type").replace({"acceptor": "donor"})
        table.with_columns(label).write_parquet(shard)


def null_group(folder):
    rewrite(folder, in_first_row("gene_id", None))


def infinite(folder):
    rewrite(folder, in_first_row("gc_content", float("inf")))


def two_groups(folder):
    for shard in (folder / "data/example").glob("*.parquet"):
        table = pl.read_parquet(shard)
        name = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("A")).otherwise(pl.lit("B"))
        position = pl.int_range(pl.len()) + int(shard.stem[-3:]) * 100_000
        gene = table.with_columns(name.alias("gene_id"), position.alias("position"))
        gene.write_parquet(shard)


def bad_score(folder):
    rewrite(folder, in_first_row("donor_score", 1.5))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_folder, "data/example holds no table (*.parquet, "),
        (truncated, "part-000.parquet is not a readable Parquet file"),
        (other_columns, "part-000.parquet differs from data/example/part-001.parquet: lacks"),
        (unknown_label, "'branchpoint'"),
        (absent_class, "no row of class 'acceptor'"),
        (null_group, "column 'gene_id' is null in 1 rows"),
        (infinite, "column 'gc_content' is infinite in 1 rows; set dataset.infinite"),
        (two_groups, "set aside 0 of 2 groups; both test and training groups are needed"),
        (bad_score, "dataset.scores.donor must lie in [0, 1]"),
    ],
)
def test_wrong_data_is_said_and_nothing_is_half_written(empty_run, spoil, message):
    spoil(empty_run.folder)
    output = empty_run.fails()
    assert message in output
    assert "Traceback (most recent call last)" not in output
    results = empty_run.folder / "results"
    assert not (results / "model").exists() or not any((results / "model").iterdir())
    assert {path.name for path in results.rglob(".*")} <= {".lock"}


def test_nan_is_a_missing_value_and_said(empty_run):
    rewrite(empty_run.folder, in_first_row("gc_content", float("nan")))
    output = empty_run.ok("results/dataset/profile.json")
    assert "'gc_content': 1 NaN are missing values" in output


def test_a_named_column_that_is_missing_names_its_key(empty_run):
    dataset = {**SMALL["dataset"], "weight": "sample_wieght"}
    empty_run.configure({**SMALL, "dataset": dataset})
    output = empty_run.fails()
    assert "'sample_wieght' is missing" in output
    assert "sample_weight" in output
    assert "set dataset.weight" in output


def test_params_of_xgboost_are_checked_before_any_job(empty_run):
    learner = {**SMALL["learner"], "params": {"gama": 1}}
    empty_run.configure({**SMALL, "learner": learner})
    assert "learner.params: XGBoost does not use 'gama'" in empty_run.fails("--dry-run")


def test_a_shard_that_changed_after_the_plan_is_analysed_again_or_not_seen_at_all(run: Run):
    """Nothing behind the plan opens a shard, so rows of before and after cannot be mixed."""
    target = "results/ensemble/cross_batch.parquet"
    before = pl.read_parquet(run.folder / target)
    (run.folder / target).unlink()
    shard = first_shard(run.folder)
    table = pl.read_parquet(shard)
    table.head(table.height - 1).write_parquet(shard)
    assert run.planned(target)["analyze_dataset", None] == 1
    run.ok(target, "--rerun-triggers", "mtime")
    assert pl.read_parquet(run.folder / target).equals(before)
