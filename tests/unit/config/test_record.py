"""What results were made from, and whether it is the data set of a run."""

import os
import shutil

import pytest

from genebatch.config.record import Record, Source, free_name, made_from
from genebatch.io.files import InputError, read_json, write_json

TABLE = {"dataset.path": Source("../data/a.csv", ["1"])}
GENOME = {
    "sequence.fasta": Source("../genome.fa", ["2"]),
    "sequence.genes": Source("../genes.gtf", ["3"]),
}


def record_of(place, run: str) -> Record:
    """The record of the one results folder in a place, as a run in a folder there sees it."""
    return Record(place / "results/config.json", place / run / "kept.json")


def settings(**learner) -> dict:
    return made_from({"learner": {"seed": 1} | learner}, "files", "1", TABLE)


@pytest.fixture
def record(tmp_path):
    def of(data) -> Record:
        kept = record_of(tmp_path, "run")
        kept.begin(made_from({"learner": {"seed": 1}}, "files", "1", data))
        return kept

    return of


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (TABLE, {"dataset.path": Source("../data/a.csv", ["other"])}),
        (TABLE, {"dataset.path": Source("../moved.csv", ["1"])}),
        (
            {"dataset.path": Source("../v1", ["1", "2"])},
            {"dataset.path": Source("../v2", ["1", "2", "3"])},
        ),
        (GENOME, GENOME | {"sequence.genes": Source("../genes.gtf", ["edited"])}),
    ],
    ids=["edited", "moved", "grown under another name", "edited genes"],
)
def test_a_data_set_stays_itself_if_it_is_changed_or_moved(record, before, now):
    assert record(before).other_data(now) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (TABLE, {"dataset.path": Source("../data/b.csv", ["2"])}),
        (GENOME, GENOME | {"sequence.genes": Source("../other.gtf", ["4"])}),
        (GENOME, GENOME | {"sequence.fasta": Source("../other.fa", ["4"])}),
        (TABLE, GENOME),
        (GENOME, TABLE),
    ],
    ids=["table", "genes", "genome", "genome after table", "table after genome"],
)
def test_another_data_set_is_told_by_what_the_results_belong_to(record, before, now, tmp_path):
    other = record(before).other_data(now)
    for key, source in before.items():
        assert f"{key} {tmp_path}/{source.path.removeprefix('../')}" in other


def test_results_without_a_record_belong_to_nobody(tmp_path):
    assert record_of(tmp_path, "run").other_data(TABLE) is None


def test_one_run_at_a_time_has_the_folder(tmp_path):
    first, second = (record_of(tmp_path, "run") for _ in range(2))
    first.hold()
    with pytest.raises(InputError, match=r"another run writes into .*results; wait for its end"):
        second.hold()
    record_of(tmp_path / "other", "run").hold()
    os.close(first._held)  # as its process ends
    second.hold()


def test_a_name_that_is_taken_gets_the_next_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_name("my_results") == "my_results"
    for name in ("my_results", "my_results_2"):
        (tmp_path / name).mkdir()
    assert free_name("my_results") == "my_results_3"


def test_results_of_a_run_elsewhere_are_foreign_until_this_folder_runs_again(tmp_path):
    here, elsewhere = record_of(tmp_path, "a"), record_of(tmp_path, "b")
    here.begin(settings())
    assert not here.foreign
    elsewhere.begin(settings(seed=2))
    elsewhere.finish(settings(seed=2))
    assert here.foreign
    assert not elsewhere.foreign
    here.begin(settings())
    here.finish(settings())
    assert not here.foreign
    assert elsewhere.foreign


def test_a_copy_that_is_put_back_is_foreign(tmp_path):
    record = record_of(tmp_path, "run")
    record.begin(settings())
    shutil.copytree(tmp_path / "results", tmp_path / "copy")
    assert not record.foreign
    record.begin(settings())
    shutil.rmtree(tmp_path / "results")
    shutil.move(tmp_path / "copy", tmp_path / "results")
    assert record.foreign


def test_results_whose_run_folder_lost_its_records_are_foreign(tmp_path, record):
    kept = record(TABLE)
    shutil.rmtree(tmp_path / "run")
    assert kept.foreign
    kept.begin(settings())
    (tmp_path / "run/kept.json").write_text("{")  # a disk was full
    assert kept.foreign


def test_results_that_nobody_numbered_are_not_foreign(tmp_path):
    """Those of an earlier version are where they were; a removed folder has none."""
    record = record_of(tmp_path, "run")
    assert not record.foreign
    write_json(record.path, [settings()])
    assert not record.foreign
    record.begin(settings())
    shutil.rmtree(tmp_path / "results")
    assert not record.foreign


def test_a_run_that_replaces_results_is_noted_beside_the_number(tmp_path):
    here, elsewhere = record_of(tmp_path, "a"), record_of(tmp_path, "b")
    assert not here.replaces
    here.begin(settings(), replace=True)
    here.finish(settings())
    assert here.replaces
    elsewhere.begin(settings())
    assert not here.replaces  # the results are others now
    here.begin(settings())
    assert not here.replaces


def test_settings_are_on_record_once_the_last_run_behind_the_others(tmp_path):
    record = record_of(tmp_path, "run")
    for seed in (1, 2, 1):
        record.begin(settings(seed=seed))
    assert [entry["settings"]["learner.seed"] for entry in record.entries] == [2, 1]
    record.finish(settings(seed=1))
    assert [entry["settings"] for entry in record.entries] == [{"learner.seed": 1}]


def test_what_changes_no_result_is_no_difference(tmp_path):
    def entry(results: str, memory: int) -> dict:
        scorer = {"command": "score", "mem_mb": memory, "threads": memory}
        config = {"results": results, "resources": {"memory_mb": memory}}
        # The table that is made of a genome or of text lies in the results.
        config |= {"dataset": {"path": f"{results}/table/part-*.parquet", "group": "gene"}}
        return made_from(config | {"sequence": {"scorer": scorer}}, "files", "1", GENOME)

    record = record_of(tmp_path, "run")
    record.begin(entry("results", 1))
    assert record.differences(entry("moved", 2)) == []
    # Earlier versions wrote these keys down.
    (known,) = read_json(record.path)
    known["settings"] |= {"dataset.path": "results/table/part-*.parquet"}
    known["settings"] |= {"sequence.scorer.mem_mb": 1, "sequence.scorer.threads": 1}
    write_json(record.path, [known])
    assert record.differences(entry("moved", 2)) == []
    record.begin(entry("moved", 2))
    assert len(record.entries) == 1


def test_another_setting_version_or_file_is_a_difference(record):
    other = made_from({"learner": {"seed": 2}}, "other files", "2", TABLE)
    assert record(TABLE).differences(other) == [
        "version: 1, now 2",
        "input files have other names or another content",
        "learner.seed: 1, now 2",
    ]
