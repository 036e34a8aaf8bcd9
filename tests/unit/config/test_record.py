"""What results were made from, and whether it is the data set of a run."""

import os

import pytest

from genebatch.config.record import Record, Source, free_name, made_from
from genebatch.io.files import InputError

TABLE = {"dataset.path": Source("../data/a.csv", ["1"])}
GENOME = {
    "sequence.fasta": Source("../genome.fa", ["2"]),
    "sequence.genes": Source("../genes.gtf", ["3"]),
}


@pytest.fixture
def record(tmp_path):
    def of(data) -> Record:
        kept = Record(tmp_path / "results/config.json")
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
    assert Record(tmp_path / "config.json").other_data(TABLE) is None


def test_one_run_at_a_time_has_the_folder(tmp_path):
    first, second = (Record(tmp_path / "results/config.json") for _ in range(2))
    first.hold()
    with pytest.raises(InputError, match=r"another run writes into .*results; wait for its end"):
        second.hold()
    Record(tmp_path / "other/config.json").hold()
    os.close(first._held)  # as its process ends
    second.hold()


def test_a_name_that_is_taken_gets_the_next_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_name("my_results") == "my_results"
    for name in ("my_results", "my_results_2"):
        (tmp_path / name).mkdir()
    assert free_name("my_results") == "my_results_3"
