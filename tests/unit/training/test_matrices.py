"""What training.matrices promises: the rows and features asked for, the same trees on disk."""

import gc
import tempfile
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from scipy.special import logit

from genebatch.dataset import row_file
from genebatch.dataset.row_file import Blocks
from genebatch.dataset.rows import identity_columns
from genebatch.io.files import InputError
from genebatch.model import boosting
from genebatch.training import matrices
from genebatch.training.batch import load_all
from genebatch.training.matrices import (
    ReadOnce,
    held_block,
    predicted,
    stopping_part,
    training_part,
)
from genebatch.training.recipe import train_member

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(autouse=True)
def pages(tmp_path, monkeypatch):
    """Pages of a hundred rows, so that there are several, in a folder that can be looked into."""
    folder = tmp_path / "pages"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(matrices, "PAGE_ROWS", 100)
    monkeypatch.setattr(matrices, "HELD_CELLS", 0)
    monkeypatch.setattr(matrices, "HELD_BYTES", 0)
    monkeypatch.setattr(row_file, "BATCH_ROWS", 60)
    return folder


def loaded(run, **changes):
    return load_all(run.opened(), replace(run.settings.learner, **changes))


def every(data):
    """Masks of all rows and places of all features."""
    return np.ones(len(data.codes), bool), np.arange(len(data.features.names))


def read_table(run, data):
    """The training rows as the input table has them, in the order of the row files."""
    shards = sorted((run.folder / "data").glob("*.parquet"))
    rows = pl.concat(pl.read_parquet(path) for path in shards)
    training = rows.filter(~pl.col("gene_id").is_in(run.test_groups))
    return training[np.argsort(np.argsort(data.places))]


@pytest.mark.parametrize("kind", ["toy", "lent"])
def test_rows_are_all_training_rows_of_the_input_table_each_once(request, kind):
    run = request.getfixturevalue(kind)
    data = loaded(run)
    table = read_table(run, data)
    assert len(set(data.places)) == table.height == data.first.sum()
    rows = identity_columns(table, data.labels)
    assert data.rows.drop("fold").equals(rows)
    assert data.groups == sorted(rows["group"].unique())
    codes = rows["label"].replace_strict(CLASSES, range(3)).to_numpy()
    np.testing.assert_array_equal(data.codes, codes)


def test_rows_are_those_of_the_cross_batch_scores(toy):
    data = loaded(toy)
    held_out = pl.read_parquet(toy.ensemble_files["scores"])
    in_order = data.rows[np.argsort(data.places)]
    assert in_order.equals(held_out.select(data.rows.columns))


@pytest.mark.parametrize("kind", ["toy", "lent"])
@pytest.mark.parametrize("held", [True, False])
def test_matrix_is_that_of_the_input_table(request, kind, held, monkeypatch):
    run = request.getfixturevalue(kind)
    data, learner = loaded(run), run.settings.learner
    rng = np.random.default_rng(0)
    kept = rng.random(len(data.codes)) < 0.6
    columns = np.sort(rng.choice(len(data.features.names), 5, replace=False))
    if held:
        monkeypatch.setattr(matrices, "HELD_CELLS", 2**20)
    part = training_part(data, 1, kept, columns, learner)
    rows = read_table(run, data).filter(kept)
    block = data.features.select(rows)[:, columns]
    whole = boosting.build_matrix([block], 5, learner.max_bin, 1)
    for one, other in zip(part.matrix.get_quantile_cut(), whole.get_quantile_cut(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert part.matrix.num_row() == np.count_nonzero(kept)
    np.testing.assert_array_equal(part.y, (rows["splice_type"] == "donor").fill_null(False))
    np.testing.assert_array_equal(part.weight, data.weight[kept])
    np.testing.assert_array_equal(part.margin, data.starts["donor"][kept])


@pytest.mark.parametrize("kind", ["toy", "lent"])
def test_blocks_are_the_wanted_cells_of_the_input_table(request, kind):
    run = request.getfixturevalue(kind)
    data = loaded(run)
    whole = as_dense(data.features.select(read_table(run, data)))
    kept = np.arange(len(whole)) % 7 > 3
    columns = np.array([1, 3, len(data.features.names) - 1])
    blocks = Blocks(data.files, columns, data.stored(kept), 50)
    for _ in range(2):  # they can be read again
        found = [as_dense(block) for block in blocks]
        assert min(len(block) for block in found[:-1]) >= 50
        np.testing.assert_array_equal(np.concatenate(found), whole[kept][:, columns])
    np.testing.assert_array_equal(as_dense(held_block(data, *every(data))), whole)


def as_dense(block):
    """The numbers of a block; absent cells are zeros."""
    return block.toarray() if sparse.issparse(block) else block


def test_no_row_is_no_block(toy):
    data = loaded(toy)
    with pytest.raises(ValueError, match="no row of"):
        held_block(data, np.zeros(len(data.codes), bool), None)


def test_trees_on_disk_are_those_of_a_matrix_in_memory(toy, monkeypatch):
    data, learner = loaded(toy), toy.settings.learner
    trees = dict.fromkeys(CLASSES, 25)
    on_disk = train_member(data, "all", trees, learner)
    monkeypatch.setattr(matrices, "HELD_CELLS", 2**25)
    in_memory = train_member(data, "all", trees, learner)
    for column, name in enumerate(CLASSES):
        disk, memory = (member.boosters[column] for member in (on_disk, in_memory))
        one, other = (booster.trees_to_dataframe() for booster in (disk, memory))
        assert len(one) > 25
        for key in ("Tree", "Node", "Feature", "Yes", "No", "Missing"):
            assert one[key].equals(other[key]), key
        np.testing.assert_array_equal(one["Split"], other["Split"])
        part = stopping_part(data, column, *every(data), learner)
        margins = [
            boosting.predict_margin(booster, part.matrix, part.margin) for booster in (disk, memory)
        ]
        np.testing.assert_allclose(*margins, rtol=1e-4, atol=1e-5)
        assert np.ptp(margins[0] - data.starts[name]) > 0.5  # the trees say something


@pytest.mark.parametrize("start_from", ["scores", "none"])
def test_predictions_of_some_rows_are_those_of_each_booster(toy, start_from):
    data = loaded(toy, start_from=start_from)
    member = train_member(data, "all", dict.fromkeys(CLASSES, 3), toy.settings.learner)
    kept = np.arange(len(data.codes)) % 3 == 0
    found = predicted(data, list(member.boosters), kept, 1)
    for column in range(3):
        part = stopping_part(data, column, kept, every(data)[1], toy.settings.learner)
        expected = boosting.predict_margin(member.boosters[column], part.matrix, part.margin)
        np.testing.assert_array_equal(found[:, column], expected)


def test_boosters_without_trees_predict_where_they_start(toy):
    data = loaded(toy)
    member = train_member(data, "all", dict.fromkeys(CLASSES, 0), toy.settings.learner)
    kept = np.arange(len(data.codes)) < 70
    found = predicted(data, list(member.boosters), kept, 1)
    scores = data.rows[:70].select(f"score_{name}" for name in CLASSES).to_numpy()
    np.testing.assert_allclose(found, logit(np.clip(scores, 1e-9, 1 - 1e-6)), rtol=1e-4)


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
    part = training_part(data, 0, *every(data), toy.settings.learner)
    written = [path for path in pages.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in written) > 0
    boosting.fit_trees(part.matrix, part.y, part.weight, part.margin, 2, toy.settings.learner)
    del part
    gc.collect()
    assert list(pages.iterdir()) == []


@pytest.mark.parametrize("zeros", [True, False])
def test_row_files_are_read_once_for_all_passes(toy, zeros, monkeypatch):
    data = loaded(toy)
    blocks = Blocks(data.files, every(data)[1], None, 100, zeros=zeros)
    read, passes = Blocks._frames, []
    monkeypatch.setattr(Blocks, "_frames", lambda blocks: passes.append(1) or read(blocks))
    wanted = [as_dense(block) for block in blocks]
    passes.clear()
    with ReadOnce(blocks) as once:
        next(iter(once))  # a pass that does not come to its end
        for _ in range(3):
            found = list(once)
            assert [sparse.issparse(block) for block in found] == [not zeros] * len(wanted)
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(as_dense(one), other)
    assert len(passes) == 2


def test_few_rows_write_no_pages(toy, pages, monkeypatch):
    monkeypatch.setattr(matrices, "HELD_CELLS", 2**25)
    data = loaded(toy)
    training_part(data, 0, *every(data), toy.settings.learner)
    assert list(pages.iterdir()) == []


def test_pages_go_where_reading_fails(toy, pages, monkeypatch):
    data = loaded(toy)
    read = Blocks._frames

    def failing(blocks):
        yield next(read(blocks))
        raise InputError("damaged row file")

    monkeypatch.setattr(Blocks, "_frames", failing)
    with pytest.raises(InputError, match="damaged row file"):
        training_part(data, 0, *every(data), toy.settings.learner)
    gc.collect()
    assert list(pages.iterdir()) == []


def test_other_number_of_rows_than_planned_is_refused(toy):
    first, *others = toy.opened()
    longer = replace(first, n_rows=first.n_rows + 1)
    planned = f"{first.n_rows:,} rows but {first.n_rows + 1:,} were planned"
    with pytest.raises(InputError, match=planned):
        load_all([longer, *others], toy.settings.learner)
