"""Row files are the one door of the data: what happens if one is lost, touched or damaged."""

import os
from collections import Counter

import pytest

from genebatch.io.files import read_json, write_json
from tests.workflow.running import jobs

pytestmark = pytest.mark.workflow

BATCHES = ("b000", "b001", "b002")


def delete(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def replace(path):
    path.write_bytes(path.with_name("b000.arrow").read_bytes())


@pytest.mark.parametrize(
    ("name", "damage"), [("b001", delete), ("b001", cut), ("b001", replace), ("test", cut)]
)
def test_lost_row_file_is_made_again_by_the_plan_and_trains_nothing(run, name, damage):
    folder = run.folder / "results/rows"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    damage(folder / f"{name}.arrow")
    output = run.ok()
    assert f"1 files in results/rows are missing, damaged or of another version ({name}." in output
    # The report prints the time and memory of every job.
    assert jobs(output) == Counter([("plan_batches", None), ("write_report", None)])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    rewritten = {p.name for p in folder.iterdir() if p.stat().st_mtime_ns != times[p.name]}
    assert rewritten == {f"{name}.arrow"}
    assert run.planned() == Counter()


def test_lost_row_file_and_a_changed_key_repeat_what_the_key_changes(run):
    """The plan that runs first hides no changed key from the batches."""
    (run.folder / "results/rows/b001.arrow").unlink()
    config = run.config
    config["learner"]["learning_rate"] = 0.07
    run.configure(config)
    done = jobs(run.ok("results/ensemble/cross_batch.parquet"))
    trained = {batch for rule, batch in done if rule == "train_batch"}
    assert trained == set(BATCHES)


def test_plan_that_lacks_what_a_rule_needs_is_made_again_and_trains_nothing(run):
    """So a folder of an earlier version, which did not know the rule, is finished."""
    path = run.folder / "results/batches/memory.json"
    planned = read_json(path)
    del planned["neighbours"]
    write_json(path, planned)
    assert not {rule for rule, batch in run.planned() if batch}
    assert run.planned()["plan_batches", None] == 1


def test_touched_row_files_run_nothing(run):
    for path in (run.folder / "results/rows").iterdir():
        os.utime(path)
    assert run.planned() == Counter()


def test_nothing_behind_the_plan_needs_profile_features_or_shards(run):
    """Batches and everything after them are made again from row files alone."""
    targets = [f"results/batches/{batch}/out_of_fold.parquet" for batch in BATCHES]
    targets += ["results/ensemble/cross_batch.parquet", "results/evaluation/comparison.tsv"]
    for target in targets:
        (run.folder / target).unlink()
    for name in ("dataset/profile.json", "features/features.json"):
        path = run.folder / "results" / name
        before = path.stat()
        path.write_text("{}\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for shard in (run.folder / "data/example").glob("*.parquet"):
        shard.chmod(0)
        shard.unlink()
        shard.write_bytes(b"")
    done = jobs(run.ok(*targets, "--rerun-triggers", "mtime"))
    assert {"cross_validate_batch", "cross_batch_scores", "evaluate"} <= {rule for rule, _ in done}
    assert not {"analyze_dataset", "screen_features", "plan_batches"} & {rule for rule, _ in done}
