"""What changes after a finished run: the next run gives what a fresh one gives, or refuses."""

import shutil

import pytest

from tests.workflow.running import jobs

pytestmark = pytest.mark.workflow


def set_key(run, section, key, value):
    config = run.config
    config.setdefault(section, {})[key] = value
    run.configure(config)


def test_lost_record_of_snakemake_changes_nothing_while_the_config_stays(run):
    shutil.rmtree(run.folder / ".snakemake")
    assert not run.planned()


def test_changed_config_without_the_record_of_snakemake_is_refused_and_the_remedies_work(run):
    before = run.config
    shutil.rmtree(run.folder / ".snakemake")
    (run.folder / "results/batches/b001/uncalibrated.gbm").unlink()
    set_key(run, "learner", "n_estimators", 41)
    for _ in range(2):
        output = run.fails()
        assert "learner.n_estimators: 40, now 41" in output
        assert "--forceall" in output
    assert run.planned("--forceall")["analyze_dataset", None] == 1
    run.configure(before)
    assert jobs(run.ok())["train_batch", "b001"] == 1
    assert not run.planned()
