"""The rows of every batch in a file of its own."""

import polars as pl
import pyarrow.parquet as pq
import pytest
from genebatch.training.split import batch_rows

from genebatch.config.settings import Learner
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.training import split
from genebatch.training.batch import load_batch


@pytest.fixture
def planned(new_run, tmp_path, toy_rows):
    """A run that is planned and split, to be changed."""
    run = new_run(tmp_path / "run")
    run.write(toy_rows)
    run.analyze()
    run.plan()
    return run


def stored(run, batch):
    found = batch_rows(run.paths(batch), batch)
    return pl.concat(found.frames(split.row_columns(found.features, found.roles)))


def in_shard_order(run):
    shards = sorted((run.folder / "data").glob("*.parquet"))
    return pl.concat(pl.read_parquet(path) for path in shards)


def stamps(run):
    return {batch: run.paths(batch)["rows"].stat().st_mtime_ns for batch in run.batches}


def test_file_of_a_batch_holds_its_rows_in_the_order_of_the_shards(toy):
    plan = pl.read_parquet(toy.paths()["plan"])
    for batch in toy.batches:
        groups = plan.filter(batch=batch)["group"]
        wanted = in_shard_order(toy).filter(pl.col("gene_id").is_in(groups.implode()))
        found = stored(toy, batch)
        assert found.equals(wanted.select(found.columns))


def test_no_row_of_a_test_group_is_in_a_file(toy):
    tested = set(pl.read_csv(toy.paths()["test_groups"], separator="\t")["group"])
    held = {group for batch in toy.batches for group in stored(toy, batch)["gene_id"]}
    assert tested
    assert not tested & held


def test_row_of_a_lent_group_is_in_the_file_of_every_batch_that_holds_it(lent):
    plan = pl.read_parquet(lent.paths()["plan"]).filter(pl.col("batch").is_not_null())
    shared = plan.filter(pl.col("group").is_duplicated())["group"].unique()
    assert len(shared)
    for batch in lent.batches:
        own = plan.filter(batch=batch)
        found = stored(lent, batch).group_by("gene_id").len()
        assert dict(found.iter_rows()) == dict(own.select("group", "rows").iter_rows())


def test_small_chunks_make_the_same_rows(planned, monkeypatch):
    before = {batch: stored(planned, batch) for batch in planned.batches}
    planned.paths("b000")["rows"].unlink()
    monkeypatch.setattr(split, "SPLIT_BYTES", 1)
    planned.split()
    assert all(stored(planned, batch).equals(rows) for batch, rows in before.items())


def test_types_of_the_data_set_are_kept_and_text_is_plain(new_run, tmp_path, toy_rows):
    run = new_run(tmp_path)
    run.write(toy_rows.with_columns(pl.col("splice_type").cast(pl.Categorical)))
    run.analyze()
    run.plan()
    found = stored(run, "b000")
    assert found["splice_type"].dtype == pl.String
    assert found["2mer_AA"].dtype == pl.UInt8
    assert found["signal_donor"].dtype == pl.Float64


def test_whole_files_are_not_written_again(planned):
    before = stamps(planned)
    planned.split()
    assert stamps(planned) == before


def test_files_of_no_planned_batch_are_removed(planned):
    folder = planned.folder / "rows"
    others = [folder / name for name in ("b777.arrow", ".a1b2.part.arrow")]
    for path in others:
        path.write_text("")
    planned.split()
    assert {path.stem for path in folder.glob("*.arrow")} == set(planned.batches)
    assert not any(path.exists() for path in others)


def test_only_the_file_of_a_changed_batch_is_written_again(planned):
    before = stamps(planned)
    path = planned.paths()["plan"]
    fold = pl.when(batch="b001").then(2 - pl.col("fold")).otherwise("fold")
    pl.read_parquet(path).with_columns(fold.cast(pl.Int32).alias("fold")).write_parquet(path)
    with pytest.raises(InputError, match=r"b001.* another plan.* plan_batches"):
        batch_rows(planned.paths("b001"), "b001")
    planned.split()
    after = stamps(planned)
    assert {batch for batch in before if before[batch] != after[batch]} == {"b001"}


def test_row_groups_that_only_whole_files_need_are_not_read(planned, monkeypatch):
    planned.paths("b001")["rows"].unlink()
    plan = pl.read_parquet(planned.paths()["plan"])
    wanted = set(plan.filter(batch="b001")["chunks"].explode())
    read = []
    batches = pq.ParquetFile.iter_batches

    def recorded(self, *arguments, row_groups, **options):
        read.extend(row_groups)
        return batches(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", recorded)
    planned.split()
    assert len(read) == len(wanted)


@pytest.mark.parametrize("left", [0, 1000])
def test_broken_file_is_named_with_the_remedy(planned, left):
    path = planned.paths("b000")["rows"]
    with path.open("r+b") as file:
        file.truncate(left)
    with pytest.raises(InputError, match=r"b000\.arrow is missing or no whole.*plan_batches"):
        batch_rows(planned.paths("b000"), "b000")


def test_data_set_that_changed_since_the_analysis_is_refused(planned, toy_rows):
    planned.paths("b000")["rows"].unlink()
    planned.write(toy_rows.filter(pl.col("position") > 0))
    with pytest.raises(InputError, match="analyze_dataset"):
        planned.split()
    assert not planned.paths("b000")["rows"].exists()


def test_matrix_of_small_record_batches_is_that_of_all_rows_at_once(planned, monkeypatch):
    monkeypatch.setattr(split, "BATCH_ROWS", 17)
    planned.paths("b000")["rows"].unlink()
    planned.split()
    learner = planned.config["learner"]
    data = load_batch(planned.paths("b000"), "b000", planned.config["dataset"], learner)
    block = data.features.select(stored(planned, "b000"))
    whole = boosting.build_matrix([block], block.shape[1], learner["max_bin"], 1)
    boosters = [
        boosting.fit_trees(matrix, data.codes == 1, data.weight, None, 5, Learner.build(learner))
        for matrix in (data.matrix, whole)
    ]
    assert boosting.to_bytes(boosters[0]) == boosting.to_bytes(boosters[1])
