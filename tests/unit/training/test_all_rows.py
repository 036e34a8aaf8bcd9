"""What training.all_rows promises: the trees of a matrix in memory, and no files left."""

import gc
import tempfile
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.dataset import row_file
from genebatch.dataset.rows import identity_columns
from genebatch.io.files import InputError
from genebatch.model.boosting import build_matrix
from genebatch.training import all_rows
from genebatch.training.batch import as_batch
from genebatch.training.recipe import train_member

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(autouse=True)
def pages(tmp_path, monkeypatch):
    """Pages of a hundred rows, so that there are several, in a folder that can be looked into."""
    folder = tmp_path / "pages"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(all_rows, "PAGE_ROWS", 100)
    monkeypatch.setattr(row_file, "BATCH_ROWS", 60)
    return folder


def loaded(run):
    return all_rows.load_all(run.opened(), run.settings.learner)


def read_table(run):
    """The training rows as the input table has them, in the order of its shards."""
    shards = sorted((run.folder / "data").glob("*.parquet"))
    rows = pl.concat(pl.read_parquet(path) for path in shards)
    return rows.filter(~pl.col("gene_id").is_in(run.test_groups))


def in_memory(run, data):
    """The rows of the input table as one matrix in memory."""
    rows, learner = read_table(run), run.settings.learner
    matrix = build_matrix(
        [data.features.select(rows)], len(data.features.names), learner.max_bin, 1
    )
    fold = run.plan_lines.sort("batch").unique("group", keep="first").select("group", "fold")
    identity = identity_columns(rows, data.labels).join(fold, on="group", maintain_order="left")
    return as_batch("all rows", matrix, identity, run.opened()[0], data.key, data.facts, learner)


@pytest.mark.parametrize("kind", ["toy", "lent"])
def test_rows_are_all_training_rows_in_the_order_of_the_input_table(request, kind):
    run = request.getfixturevalue(kind)
    data = loaded(run)
    rows = identity_columns(read_table(run), data.labels)
    assert data.rows.drop("fold").equals(rows)
    assert data.matrix.num_row() == rows.height
    assert data.groups == sorted(rows["group"].unique())
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    np.testing.assert_array_equal(data.codes, codes)


def test_rows_are_those_of_the_cross_batch_scores(toy):
    data = loaded(toy)
    held_out = pl.read_parquet(toy.ensemble_files["scores"])
    assert data.rows.equals(held_out.select(data.rows.columns))


@pytest.mark.parametrize("kind", ["toy", "lent"])
def test_matrix_is_that_of_the_input_table(request, kind):
    run = request.getfixturevalue(kind)
    data = loaded(run)
    whole = in_memory(run, data)
    assert data.rows.equals(whole.rows)
    for disk, memory in zip(
        data.matrix.get_quantile_cut(), whole.matrix.get_quantile_cut(), strict=True
    ):
        np.testing.assert_array_equal(disk, memory)


def test_trees_are_those_of_a_matrix_in_memory(toy):
    data = loaded(toy)
    whole = in_memory(toy, data)
    trees = dict.fromkeys(CLASSES, 25)
    members = [train_member(rows, "all", trees, toy.settings.learner) for rows in (data, whole)]
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
        train_member(rows, "all", trees, toy.settings.learner) for rows in (data, whole)
    )
    for column, name in enumerate(CLASSES):
        margins = []
        for member in (disk, memory):
            whole.matrix.set_base_margin(data.starts[name])
            margins.append(member.boosters[column].predict(whole.matrix, output_margin=True))
        np.testing.assert_allclose(margins[0], margins[1], rtol=1e-4, atol=1e-5)
        assert np.ptp(margins[0] - data.starts[name]) > 0.5  # the trees say something


def test_group_of_two_batches_stands_once_in_the_first_ones_fold(lent):
    data = loaded(lent)
    plan = lent.plan_lines
    assert data.rows.height == plan.unique("group")["rows"].sum() < plan["rows"].sum()
    assert data.rows.select("group", "position").is_unique().all()
    first = plan.sort("batch").unique("group", keep="first").select("group", first="fold")
    joined = data.rows.join(first, on="group")
    assert (joined["fold"] == joined["first"]).all()


def test_pages_lie_on_disk_and_go_with_the_matrix(toy, pages):
    data = loaded(toy)
    written = [path for path in pages.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in written) > 0
    train_member(data, "all", dict.fromkeys(CLASSES, 2), toy.settings.learner)
    del data
    gc.collect()
    assert list(pages.iterdir()) == []


def test_pages_go_where_reading_fails(toy, pages, monkeypatch):
    read = all_rows.merged

    def failing(files):
        for number, part in enumerate(read(files)):
            if number == 2:
                raise InputError("damaged row file")
            yield part

    monkeypatch.setattr(all_rows, "merged", failing)
    with pytest.raises(InputError, match="damaged row file"):
        loaded(toy)
    gc.collect()
    assert list(pages.iterdir()) == []


def test_other_number_of_rows_than_planned_is_refused(toy):
    first, *others = toy.opened()
    longer = replace(first, n_rows=first.n_rows + 1)
    planned = f"{first.n_rows:,} rows but {first.n_rows + 1:,} were planned"
    with pytest.raises(InputError, match=planned):
        all_rows.load_all([longer, *others], toy.settings.learner)
