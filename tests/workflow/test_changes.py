"""What changes after a finished run: the next run gives what a fresh one gives, or refuses."""

import os
import shlex
import shutil
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import read_json
from genebatch.jobs.run import TOLD
from tests.builders import THOROUGH
from tests.workflow.running import Run, jobs
from tests.workflow.test_failures import PLANTED

pytestmark = pytest.mark.workflow

PREDICTIONS = ("results/predictions/new.parquet", "results/evaluation/predictions.parquet")
BATCHES = {"b000", "b001", "b002"}
SCREEN = "results/features/features.json"
OF_SCREEN = (SCREEN, "results/features/screen.tsv", "results/usage/screen_features/all.json")
TEST_GROUPS = "results/dataset/test_groups.tsv"
TESTED_ANEW = Counter([("choose_test_groups", None), ("screen_features", None)])
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
    assert "input files have other names or another content" in run.fails()


def settings_of(run: Run) -> list[dict]:
    return [entry["settings"] for entry in read_json(run.folder / "results/config.json")]


def test_results_that_were_put_back_are_not_taken_for_those_of_the_config(empty_run):
    run = empty_run
    run.ok(SCREEN)
    shutil.copytree(run.folder / "results", run.folder / "copy", copy_function=shutil.copy2)
    set_key(run, "test.fraction", 0.5)
    assert jobs(run.ok(SCREEN)) == TESTED_ANEW
    shutil.rmtree(run.folder / "results")
    shutil.move(run.folder / "copy", run.folder / "results")
    for target in (SCREEN, TEST_GROUPS):
        assert "test.fraction: 0.2, now 0.5. Set the config back, give" in run.fails(target)
    # Nothing else was put there, so the rest stays.
    set_key(run, "test.fraction", 0.2)
    assert jobs(run.ok(SCREEN)) == TESTED_ANEW
    assert not run.planned(SCREEN)
    assert [each["test.fraction"] for each in settings_of(run)] == [0.2]
    set_key(run, "test.fraction", 0.5)
    assert run.planned(TEST_GROUPS) == Counter([("choose_test_groups", None)])


def test_results_that_a_run_of_another_folder_replaced_are_noticed(empty_run, tmp_path):
    here, shared = empty_run, str(tmp_path / "shared")
    target = f"{shared}/dataset/test_groups.tsv"
    here.configure(here.config | {"results": shared})
    elsewhere = Run.copied(here.folder, tmp_path / "elsewhere")
    here.ok(target)
    assert not elsewhere.planned(target)  # it would make the same
    set_key(elsewhere, "test.fraction", 0.5)
    assert "test.fraction: 0.2, now 0.5" in elsewhere.fails(target)
    elsewhere.ok(target, "--forceall")
    before = Path(target).read_bytes()
    assert "test.fraction: 0.5, now 0.2" in here.fails(target)
    assert Path(target).read_bytes() == before
    here.ok(target, "--forceall")
    assert "test.fraction: 0.2, now 0.5" in elsewhere.fails(target)


@pytest.mark.parametrize("key", ["test.fraction", "dataset.infinite"])
def test_changed_config_without_the_record_of_snakemake_is_refused_before_the_plan(empty_run, key):
    empty_run.ok(TEST_GROUPS)
    shutil.rmtree(empty_run.folder / ".snakemake")
    assert not empty_run.planned(TEST_GROUPS)
    set_key(empty_run, key, {"test.fraction": 0.5, "dataset.infinite": "missing"}[key])
    for arguments in ((), ("--dry-run",), (TEST_GROUPS,), ("results/dataset/profile.json",)):
        output = empty_run.fails(*arguments)
        assert f"{key}: " in output
        assert not jobs(output)


def test_run_with_forceall_that_ends_early_is_finished_without_it(empty_run):
    """It repeats nothing, and keeps nothing that is old."""
    run = empty_run
    run.ok(SCREEN)
    before = (run.folder / SCREEN).read_bytes()
    shutil.rmtree(run.folder / ".snakemake")
    set_key(run, "test.fraction", 0.5)
    run.ok(TEST_GROUPS, "--forceall")
    assert (run.folder / SCREEN).read_bytes() == before  # nothing is gone before it is replaced
    for name in OF_SCREEN:  # as batches look, whose row files count no time
        os.utime(run.folder / name)
    set_key(run, "screen.max_auc", 0.6)  # as somebody who mends the cause
    assert run.planned(SCREEN) == Counter([("screen_features", None)])
    assert jobs(run.ok(SCREEN)) == Counter([("screen_features", None)])
    assert not run.planned(SCREEN)
    set_key(run, "test.fraction", 0.4)
    assert run.planned(SCREEN) == TESTED_ANEW


def test_a_killed_job_and_a_changed_config_are_no_lost_record(empty_run):
    """A job of several files may be killed behind the first of them."""
    run = empty_run
    run.ok(SCREEN)
    kept = run.folder / ".snakemake"
    for path in OF_SCREEN:
        name = urlsafe_b64encode(path.encode()).decode()
        (kept / "metadata" / name).unlink()
        (kept / "incomplete" / name).write_text('{"external_jobid": null}')
    (run.folder / "results/features/screen.tsv").unlink()
    set_key(run, "screen.max_auc", 0.6)
    assert jobs(run.ok(SCREEN)) == Counter([("screen_features", None)])


def test_moved_results_of_a_table_of_text_are_known_again(empty_run):
    run = empty_run
    table = pl.concat(map(pl.read_parquet, shards(run)))
    table.write_csv(run.folder / "table.csv")
    run.configure(run.config | {"dataset": run.config["dataset"] | {"path": "table.csv"}})
    run.ok(TEST_GROUPS)
    for changes in ({"results": "moved"}, {"results": "moved/on"}):
        before = run.folder / run.config.get("results", "results")
        run.configure(run.config | changes)
        shutil.rmtree(run.folder / ".snakemake")
        shutil.copytree(before, run.folder / changes["results"], copy_function=shutil.copy2)
        assert not run.planned(f"{changes['results']}/dataset/test_groups.tsv")


def test_printed_commands_do_what_the_message_says(empty_run):
    run = empty_run
    told = {TOLD: "genebatch run --cores 2 -- --until choose_test_groups"}
    run.ok("--until", "choose_test_groups")

    def last_command(output: str) -> list[str]:
        lines = [line.strip() for line in output.splitlines()]
        return shlex.split([line for line in lines if line.startswith("genebatch run")][-1])[1:]

    shutil.rmtree(run.folder / ".snakemake")
    set_key(run, "test.fraction", 0.5)
    command = last_command(run.fails("--until", "choose_test_groups", env=told))
    assert "--forceall" in command
    run.genebatch_run(command)
    assert [each["test.fraction"] for each in settings_of(run)] == [0.2, 0.5]

    set_key(run, "test.fraction", 0.4)
    (run.folder / ".snakemake/locks").mkdir(exist_ok=True)
    (run.folder / ".snakemake/locks/0.output.lock").write_text(f"{TEST_GROUPS}\n")
    command = last_command(
        run.fails("--until", "choose_test_groups", "--logger", "genebatch", env=told)
    )
    assert "--unlock" in command
    assert "Unlocked" in run.genebatch_run(command)

    planted = told | PLANTED | {"PLANTED_FAILURE": "results/logs/choose_test_groups.log"}
    planted[TOLD] += " --forceall"
    output = run.fails("--until", "choose_test_groups", "--forceall", env=planted)
    command = last_command(output)
    assert command == ["run", "--cores", "2", "--", "--until", "choose_test_groups"]
    assert "100 %  test groups" in run.genebatch_run(command)
    assert not run.planned(TEST_GROUPS)


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
    output = run.fails()
    assert "learner.n_estimators: 40, now 41" in output
    assert "Give this run a folder of its own" in output  # there is no config to go back to


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
