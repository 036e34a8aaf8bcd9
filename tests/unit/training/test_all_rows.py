"""What genebatch.out_of_core promises: the trees of a matrix in memory, and no files left."""

import gc
import tempfile

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.feature_set import Features
from genebatch.io import tables
from genebatch.io.files import InputError, read_json
from genebatch.model.boosting import build_matrix
from genebatch.training import all_rows as out_of_core
from genebatch.training.batch import as_batch
from genebatch.training.recipe import median_trees, train_member

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(autouse=True)
def pages(tmp_path, monkeypatch):
    """Pages of a hundred rows, so that there are several, in a folder that can be looked into."""
    folder = tmp_path / "pages"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(out_of_core, "PAGE_ROWS", 100)
    monkeypatch.setattr(tables, "BATCH_ROWS", 60)
    return folder


def loaded(run, **changes):
    inputs = run.paths() | changes
    return out_of_core.load_all(inputs, run.config["dataset"], run.config["learner"])


def in_memory(run, data):
    """The same rows as one matrix in memory."""
    features = Features.from_json(read_json(run.paths()["features"]))
    shards = sorted((run.folder / "data").glob("*.parquet"))
    rows = pl.concat(pl.read_parquet(path) for path in shards)
    rows = rows.filter(pl.col("gene_id").is_in(data.groups))
    learner = run.config["learner"]
    matrix = build_matrix([features.select(rows)], len(features.names), learner["max_bin"], 1)
    plan = pl.read_parquet(run.paths()["plan"]).filter(~pl.col("test")).unique("group")
    parts = (features, run.config["dataset"], learner)
    return as_batch("all rows", matrix, data.rows, plan, *parts)


def test_rows_are_all_training_rows_in_the_order_of_the_shards(toy):
    data = loaded(toy)
    honest = pl.read_parquet(toy.ensemble_files["scores"])
    known = ["group", "label", "position", "weight", "fold"]
    assert data.rows.select(known).equals(honest.select(known))
    assert data.matrix.num_row() == honest.height
    assert data.groups == sorted(honest["group"].unique())
    codes = honest["label"].replace_strict(CLASSES, range(3)).to_numpy()
    np.testing.assert_array_equal(data.codes, codes)


def test_trees_are_those_of_a_matrix_in_memory(toy):
    data = loaded(toy)
    whole = in_memory(toy, data)
    trees = dict.fromkeys(CLASSES, 25)
    members = [
        train_member(rows, "all", CLASSES, trees, toy.config["learner"]) for rows in (data, whole)
    ]
    for disk, memory in zip(members[0].boosters, members[1].boosters, strict=True):
        disk, memory = (booster.trees_to_dataframe() for booster in (disk, memory))
        assert len(disk) > 25
        for column in ("Tree", "Node", "Feature", "Yes", "No", "Missing"):
            assert disk[column].equals(memory[column]), column
        np.testing.assert_array_equal(disk["Split"], memory["Split"])
        np.testing.assert_allclose(disk["Gain"], memory["Gain"], rtol=1e-3, atol=1e-3)


def test_margins_are_those_of_a_matrix_in_memory(toy):
    data = loaded(toy)
    whole = in_memory(toy, data)
    trees = dict.fromkeys(CLASSES, 25)
    disk, memory = (
        train_member(rows, "all", CLASSES, trees, toy.config["learner"]) for rows in (data, whole)
    )
    for column, name in enumerate(CLASSES):
        found = []
        for member in (disk, memory):
            whole.matrix.set_base_margin(data.starts[name])
            found.append(member.boosters[column].predict(whole.matrix, output_margin=True))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)
        assert np.ptp(found[0] - data.starts[name]) > 0.5  # the trees say something


def test_group_of_two_batches_stands_once_in_the_first_ones_fold(lent):
    data = loaded(lent)
    plan = pl.read_parquet(lent.paths()["plan"]).filter(~pl.col("test"))
    assert data.rows.height == plan.unique("group")["rows"].sum() < plan["rows"].sum()
    assert data.rows.select("group", "position").is_unique().all()
    first = plan.sort("batch").unique("group", keep="first").select("group", first="fold")
    joined = data.rows.join(first, on="group")
    assert (joined["fold"] == joined["first"]).all()


def test_pages_lie_on_disk_and_go_with_the_matrix(toy, pages):
    data = loaded(toy)
    held = [path for path in pages.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in held) > 0
    train_member(data, "all", CLASSES, dict.fromkeys(CLASSES, 2), toy.config["learner"])
    del data
    gc.collect()
    assert list(pages.iterdir()) == []


def test_pages_go_where_reading_fails(toy, pages, monkeypatch):
    read = out_of_core.read_groups

    def failing(*arguments):
        for number, frame in enumerate(read(*arguments)):
            if number == 2:
                raise InputError("damaged shard")
            yield frame

    monkeypatch.setattr(out_of_core, "read_groups", failing)
    with pytest.raises(InputError, match="damaged shard"):
        loaded(toy)
    gc.collect()
    assert list(pages.iterdir()) == []


def test_other_number_of_rows_than_planned_is_refused(toy, tmp_path):
    plan = pl.read_parquet(toy.paths()["plan"])
    plan.with_columns(pl.col("rows") + 1).write_parquet(tmp_path / "plan.parquet")
    with pytest.raises(InputError, match=r"the training data has [\d,]+ rows but [\d,]+ were"):
        loaded(toy, plan=tmp_path / "plan.parquet")


def test_numbers_of_trees_are_medians():
    folds = pl.DataFrame({"class": ["a"] * 3 + ["b"] * 3, "n_trees": [1, 5, 9, 4, 4, 0]})
    assert median_trees(folds) == {"a": 5, "b": 4}
