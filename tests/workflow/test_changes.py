"""What changes after a finished run: the next run gives what a fresh one gives, or refuses."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import read_json
from tests.builders import THOROUGH
from tests.workflow.running import Run, jobs

pytestmark = pytest.mark.workflow

PREDICTIONS = ("results/predictions/new.parquet", "results/evaluation/predictions.parquet")
BATCHES = {"b000", "b001", "b002"}
TRAINING = {"cross_validate_batch", "train_batch"}
DATA = {"analyze_dataset", "screen_features", "plan_batches"}


def shards(run: Run) -> list[Path]:
    return sorted((run.folder / "data/example").glob("*.parquet"))


def rewritten(run: Run, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the first shard, and leave it its time."""
    path = shards(run)[0]
    times = path.stat()
    change(pl.read_parquet(path)).write_parquet(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def first_site(frame: pl.DataFrame, column: str, value: object) -> pl.DataFrame:
    """The frame with another value in the row of the first donor."""
    row = frame["splice_type"].to_list().index("donor")
    values = frame[column].to_list()
    values[row] = value
    return frame.with_columns(pl.Series(column, values, dtype=frame[column].dtype))


def label(run):
    rewritten(run, lambda frame: first_site(frame, "splice_type", "acceptor"))


def weight(run):
    rewritten(run, lambda frame: frame.with_columns(pl.col("sample_weight") * 2))


def score(run):
    rewritten(run, lambda frame: first_site(frame, "donor_score", 0.123))


def feature(run):
    rewritten(run, lambda frame: first_site(frame, "gc_content", 0.99))


def order(run):
    """The rows of each gene from back to front."""
    for path in shards(run):
        frame = pl.read_parquet(path)
        gene = pl.col("gene_id")
        frame = frame.with_row_index("n").sort(gene.rle_id(), -pl.col("n").cast(pl.Int64))
        frame.drop("n").write_parquet(path)


def name(run):
    for path in shards(run):
        path.rename(path.with_name(f"renamed-{path.name}"))


def split(run):
    frame = pl.concat(map(pl.read_parquet, shards(run)))
    for path in shards(run):
        path.unlink()
    for number, rows in enumerate(frame.iter_slices(500)):
        rows.write_parquet(run.folder / f"data/example/other-{number}.parquet")


def added(run):
    path = shards(run)[-1]
    frame = pl.read_parquet(path)
    some = frame.filter(pl.col("gene_id").is_in(frame["gene_id"].unique().sort()[:2].implode()))
    some = some.with_columns(pl.col("gene_id") + "_copy", pl.col("gc_content") * 0.9)
    some.write_parquet(path.with_name("part-999.parquet"))


def removed(run):
    shards(run)[-1].unlink()


def replaced(run):
    """A shard of another simulation takes the place of one, with its time."""
    rng = np.random.default_rng(5)

    def changed(frame: pl.DataFrame) -> pl.DataFrame:
        values = rng.random(frame.height)
        return frame.with_columns(pl.Series("gc_content", values, dtype=frame["gc_content"].dtype))

    rewritten(run, changed)


# Whether each change of data trains every batch again, some of them, or none.
CHANGES = {
    label: "some",
    weight: "some",
    score: "some",
    feature: "some",
    order: "all",
    name: "none",
    split: "none",
    added: "some",
    removed: "some",
    replaced: "some",
}
KEYS = {
    "dataset.exclude": ["5mer_*", "gc_content"],
    "dataset.scores": None,
    "dataset.weight": None,
    "test.seed": 7,
    "screen.max_auc": 0.6,
    "batching.max_groups": 20,
    "batching.seed": 5,
    "batching.overlap": 0.2,
    "cv.n_splits": 4,
    "cv.stop_fraction": 0.3,
    "learner.n_estimators": 41,
    "learner.params": {"gamma": 0.1},
    "learner.use_weights": False,
    "calibration.method": "isotonic",
    "ensemble.combiner": "weighted",
    "ensemble.score_rows": 1_000,
}


def set_key(run: Run, key: str, value: object) -> None:
    section, key = key.split(".")
    config = run.config
    config.setdefault(section, {})[key] = value
    if key == "max_groups":
        del config[section]["max_genes"]
    if key == "scores":
        config["ensemble"]["combiner"] = "mean"
        config["learner"]["start_from"] = "zero"
    run.configure(config)


def assert_as_fresh(run: Run, folder: Path) -> set[tuple[str, str | None]]:
    """Run again and from nothing; the predictions are the same bytes. Gives what ran again."""
    fresh = Run(folder)
    folder.mkdir()
    shutil.copytree(run.folder / "data", folder / "data")
    fresh.configure(run.config)
    fresh.ok(*PREDICTIONS)
    ran = set(jobs(run.ok(*PREDICTIONS)))
    for path in PREDICTIONS:
        assert (run.folder / path).read_bytes() == (folder / path).read_bytes(), path
    assert not run.planned(*PREDICTIONS)
    return ran


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_data_is_analysed_again(run, change):
    change(run)
    assert {rule for rule, _ in run.planned()} >= DATA


@pytest.mark.parametrize(
    "change",
    CHANGES if THOROUGH else [label, split, added],
    ids=lambda change: change.__name__,
)
def test_rerun_after_changed_data_is_a_fresh_run(run, change, tmp_path):
    change(run)
    ran = assert_as_fresh(run, tmp_path / "fresh")
    assert {rule for rule, _ in ran} >= DATA
    trained = {batch for rule, batch in ran if rule in TRAINING}
    fits = {"all": trained == BATCHES, "some": bool(trained), "none": not trained}
    assert fits[CHANGES[change]], trained


@pytest.mark.parametrize("key", KEYS if THOROUGH else ["dataset.exclude"])
def test_rerun_after_a_changed_key_is_a_fresh_run(run, key, tmp_path):
    set_key(run, key, KEYS[key])
    assert assert_as_fresh(run, tmp_path / "fresh")


def test_reversed_rows_and_a_changed_key_are_not_mixed(run, tmp_path):
    """Scores of one order of the rows never meet rows of the other."""
    order(run)
    set_key(run, "learner.n_estimators", 41)
    assert_as_fresh(run, tmp_path / "fresh")


def test_lost_record_of_snakemake_changes_nothing_while_the_config_stays(run):
    shutil.rmtree(run.folder / ".snakemake")
    assert not run.planned()


def test_changed_config_without_the_record_of_snakemake_is_refused_and_the_remedies_work(run):
    before = run.config
    shutil.rmtree(run.folder / ".snakemake")
    (run.folder / "results/batches/b001/uncalibrated.gbm").unlink()
    set_key(run, "learner.n_estimators", 41)
    for _ in range(2):
        output = run.fails()
        assert "learner.n_estimators: 40, now 41" in output
        assert "--forceall" in output
    run.configure(before)
    assert jobs(run.ok("results/batches/b001/uncalibrated.gbm"))["train_batch", "b001"] == 1
    set_key(run, "learner.n_estimators", 41)
    shutil.rmtree(run.folder / ".snakemake")
    run.ok("--forceall")
    assert len(read_json(run.folder / "results/config.json")) == 1
    assert not run.planned()


def test_changed_data_without_the_record_of_snakemake_is_refused(run):
    shutil.rmtree(run.folder / ".snakemake")
    label(run)
    assert "the content of the input files is another" in run.fails()


def test_results_of_another_data_set_are_refused_before_any_job_and_the_remedies_work(run):
    other = run.folder / "data/other"
    shutil.move(run.folder / "data/example", other)
    run.configure(run.config | {"dataset": run.config["dataset"] | {"path": "data/other"}})
    # The same data in another place: no batch is trained again.
    assert TRAINING.isdisjoint(rule for rule, _ in run.planned())
    for path in other.glob("*.parquet"):
        pl.read_parquet(path).with_columns(pl.col("gc_content") * 2).write_parquet(path)
    told = (
        "belong to another data set: dataset.path data/example. Give this run a folder of its own"
    )
    for arguments in ((), ("--dry-run",), ("--forceall",), ("results/dataset/profile.json",)):
        output = run.fails(*arguments)
        assert f"{told} (results: results_2), or remove results. No job has been started" in output
        assert not jobs(output)
    before = run.config
    run.configure(before | {"results": "results_2"})
    everything = run.planned()
    assert {rule for rule, _ in everything} >= DATA
    run.configure(before)
    shutil.rmtree(run.folder / "results")
    assert run.planned() == everything


def test_run_that_ends_early_leaves_both_settings_on_record(run):
    set_key(run, "learner.n_estimators", 41)
    run.ok("results/batches/b001/model.gbm")
    assert len(read_json(run.folder / "results/config.json")) == 2
    shutil.rmtree(run.folder / ".snakemake")
    assert "learner.n_estimators: 40, now 41" in run.fails()


def test_batches_of_different_settings_are_not_put_together(run):
    """Whatever Snakemake is told to pass over."""
    set_key(run, "learner.n_estimators", 41)
    run.ok("results/batches/b001/model.gbm")
    set_key(run, "learner.n_estimators", 40)
    target = "results/ensemble/cross_batch.parquet"
    (run.folder / target).unlink()
    output = run.fails(target, "--rerun-triggers", "mtime")
    assert "the models of batches b001 were trained by other settings" in output
    shutil.rmtree(run.folder / "results/batches/b001")  # as the message says
    run.ok(target, "--rerun-triggers", "mtime")
