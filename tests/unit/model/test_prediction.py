"""Any table is predicted in pieces and in its order, or there is no file at all."""

import shlex
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.cli import main
from genebatch.dataset.feature_set import Features
from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.prediction import predict_table

CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture
def table(toy_rows, tmp_path):
    """A folder of two shards without labels and weights."""
    folder = tmp_path / "new"
    folder.mkdir()
    rows = toy_rows.drop("splice_type", "sample_weight")
    rows[:500].write_parquet(folder / "part-0.parquet")
    rows[500:].write_parquet(folder / "part-1.parquet")
    return folder


def test_rows_keep_their_order_and_identity(model, table, toy_rows, tmp_path):
    written = predict_table(model, table, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert written == found.height == toy_rows.height
    assert found.select("gene_id", "position").equals(toy_rows.select("gene_id", "position"))
    columns = [f"{kind}_{name}" for kind in ("probability", "std") for name in CLASSES]
    assert found.columns == ["gene_id", "position", "prediction", *columns]


def test_predictions_are_those_of_the_model(model, table, toy_rows, tmp_path):
    predict_table(model, table, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    for prefix, values in (
        ("probability", model.predict_proba(toy_rows)),
        ("std", model.predict_std(toy_rows)),
    ):
        columns = [f"{prefix}_{name}" for name in CLASSES]
        np.testing.assert_array_equal(found.select(columns).to_numpy(), values)
    assert found["prediction"].to_list() == model.predict(toy_rows).tolist()


def test_group_and_position_called_as_predictions_are_give_way_to_them(model, toy_rows, tmp_path):
    named = replace(model, columns=model.columns | {"group": "prediction", "position": "std_donor"})
    rows = toy_rows.rename({"gene_id": "prediction", "position": "std_donor"})
    rows.write_parquet(tmp_path / "rows.parquet")
    predict_table(named, tmp_path / "rows.parquet", tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.columns[:3] == ["row.prediction", "row.std_donor", "prediction"]
    assert found["row.prediction"].equals(rows["prediction"])
    assert found["prediction"].to_list() == model.predict(toy_rows).tolist()


def test_pieces_give_the_file_of_the_whole(model, table, tmp_path, monkeypatch):
    predict_table(model, table, tmp_path / "whole.parquet")
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    predict_table(model, table, tmp_path / "pieces.parquet")
    whole, pieces = (pl.read_parquet(tmp_path / f"{n}.parquet") for n in ("whole", "pieces"))
    assert whole.equals(pieces)
    # Two shards of 500 and 296 rows in pieces of 7.
    assert pq.ParquetFile(tmp_path / "pieces.parquet").num_row_groups == 72 + 43


def test_table_is_never_read_whole(model, table, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_ROWS", 50)
    heights = []
    select = Features.select

    def watched(self, frame):
        heights.append(frame.height)
        return select(self, frame)

    monkeypatch.setattr(Features, "select", watched)
    predict_table(model, table, tmp_path / "out.parquet")
    assert max(heights) == 50
    assert sum(heights) == 796


def test_csv_gives_the_predictions_of_parquet(model, table, toy_rows, tmp_path):
    toy_rows.write_csv(tmp_path / "rows.csv")
    predict_table(model, tmp_path / "rows.csv", tmp_path / "csv.parquet")
    predict_table(model, table, tmp_path / "parquet.parquet")
    found = [pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("csv", "parquet")]
    assert found[0].equals(found[1])


def relabelled(rows, groups):
    """The rows with other names of the groups, one for each group."""
    names = dict(zip(rows["gene_id"].unique(maintain_order=True), groups, strict=False))
    return rows.with_columns(gene_id=pl.col("gene_id").replace_strict(names))


@pytest.mark.parametrize(
    "groups",
    [
        [f"{number:03d}" for number in range(24)],
        [f"{number}e5" for number in range(24)],
        [f"{10**22 + number}" for number in range(24)],
        [f"{number}" for number in range(24)],
        ["NA", "nan", "TRUE", *(f"g{number}" for number in range(21))],
    ],
    ids=["zeros", "powers", "digits", "numbers", "words"],
)
def test_groups_of_csv_are_text_where_training_had_text(model, toy_rows, tmp_path, groups):
    rows = relabelled(toy_rows, groups)
    rows.write_csv(tmp_path / "new.csv")
    assert model.facts["identity_kinds"] == {"group": "text", "position": "integer"}
    predict_table(model, tmp_path / "new.csv", tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found["gene_id"].to_list() == rows["gene_id"].to_list()
    assert found["position"].equals(toy_rows["position"])


@pytest.mark.parametrize(("first", "kind"), [(0, pl.Int64), ("007", pl.String)])
def test_groups_of_csv_are_whole_numbers_where_training_had_them(
    model, toy_rows, tmp_path, first, kind
):
    others = range(1, 24) if kind == pl.Int64 else map(str, range(1, 24))
    rows = relabelled(toy_rows, [first, *others])
    rows.write_csv(tmp_path / "new.csv")
    trained = replace(model, facts=model.facts | {"identity_kinds": {"group": "integer"}})
    predict_table(trained, tmp_path / "new.csv", tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")["gene_id"]
    assert found.dtype == kind
    assert found.to_list() == rows["gene_id"].to_list()


def test_groups_that_are_numbers_in_one_shard_and_text_in_another_are_text(
    model, table, toy_rows, tmp_path
):
    first = table / "part-0.parquet"
    numbers = pl.read_parquet(first).with_columns(gene_id=pl.lit(7))
    numbers.write_parquet(first)
    predict_table(model, table, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")["gene_id"].to_list()
    assert found == ["7"] * 500 + toy_rows["gene_id"][500:].to_list()


@pytest.mark.parametrize("word", ["NA", "nan", "NaN", "NULL", "None", ""])
def test_missing_values_of_csv_are_those_of_parquet(model, toy_rows, tmp_path, word):
    rows = toy_rows.with_columns(
        pl.when(pl.int_range(pl.len()) % 7 > 0).then(name).alias(name)
        for name in ("signal_donor", "2mer_AA")
    )
    rows.write_csv(tmp_path / "new.csv", null_value=word)
    rows.write_parquet(tmp_path / "new.parquet")
    for ending in ("csv", "parquet"):
        predict_table(model, tmp_path / f"new.{ending}", tmp_path / f"{ending}.parquet")
    found = [pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("csv", "parquet")]
    assert found[0].equals(found[1])


def test_a_wrong_value_names_the_table_and_the_column(model, table, toy_rows, tmp_path):
    text = toy_rows.with_columns(noise_a=pl.lit("low"))
    text.write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match=r"new\.csv, row 1 .* column 'noise_a' holds 'low'"):
        predict_table(model, tmp_path / "new.csv", tmp_path / "out.parquet")
    text.write_parquet(tmp_path / "new.parquet")
    with pytest.raises(InputError, match=r"new\.parquet: column 'noise_a' holds String, such as"):
        predict_table(model, tmp_path / "new.parquet", tmp_path / "out.parquet")


def test_a_repeated_column_of_parquet_is_named(model, toy_rows, tmp_path):
    given = toy_rows.to_arrow()
    pq.write_table(given.append_column("noise_a", given["noise_a"]), tmp_path / "new.parquet")
    with pytest.raises(InputError, match=r"new\.parquet has several columns 'noise_a'; rename all"):
        predict_table(model, tmp_path / "new.parquet", tmp_path / "out.parquet")


OUTPUTS = {
    "itself": ("new/part-0.parquet", "new/part-0.parquet"),
    "in other words": ("new/part-0.parquet", "new/../new/./part-0.parquet"),
    "through a link": ("link.parquet", "new/part-0.parquet"),
    "to a link": ("new/part-0.parquet", "link.parquet"),
    "a hard link": ("new/part-0.parquet", "hard.parquet"),
    "a file of the folder": ("new", "new/part-1.parquet"),
    "a new file of the folder": ("new", "new/sub/out.parquet"),
    "through a link to the folder": ("folder", "new/out.parquet"),
    "a file of the glob": ("new/*.parquet", "new/part-1.parquet"),
    "a new file of the glob": ("new/*.parquet", "new/out.parquet"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_that_is_an_input_is_refused(model, table, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.parquet").symlink_to(table / "part-0.parquet")
    (tmp_path / "hard.parquet").hardlink_to(table / "part-0.parquet")
    (tmp_path / "folder").symlink_to(table)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    given, out = OUTPUTS[case]
    with pytest.raises(InputError, match=r"give the predictions another name|another folder"):
        predict_table(model, given, out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_table_without_identity_columns_is_predicted_too(model, table, toy_rows, tmp_path):
    toy_rows.drop("gene_id", "position").write_parquet(tmp_path / "bare.parquet")
    predict_table(model, tmp_path / "bare.parquet", tmp_path / "out.parquet")
    predict_table(model, table, tmp_path / "full.parquet")
    full = pl.read_parquet(tmp_path / "full.parquet").drop("gene_id", "position")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(full)


def test_file_says_which_model_made_it(model, table, tmp_path):
    predict_table(model, table, tmp_path / "out.parquet")
    origin = pq.read_schema(tmp_path / "out.parquet").metadata
    assert origin[b"genebatch.members"] == b"b000,b001"
    assert origin[b"genebatch.missing_batches"] == b""
    assert origin[b"genebatch.data_digest"] == model.facts["data_digest"].encode()


def no_file(folder):
    """Whether neither the output nor a temporary of it is there."""
    return [path.name for path in folder.iterdir() if path.is_file()] == []


def test_missing_feature_leaves_no_file(model, toy_rows, tmp_path):
    (tmp_path / "in").mkdir()
    toy_rows.drop("2mer_AA").write_parquet(tmp_path / "in" / "rows.parquet")
    with pytest.raises(InputError, match="'2mer_AA'"):
        predict_table(model, tmp_path / "in", tmp_path / "out.parquet")
    assert no_file(tmp_path)


def test_shard_that_fails_half_way_leaves_no_file(model, table, tmp_path):
    second = table / "part-1.parquet"
    pl.read_parquet(second).drop("noise_a").write_parquet(second)
    with pytest.raises(InputError, match=r"part-1\.parquet: .*'noise_a'"):
        predict_table(model, table, tmp_path / "out.parquet")
    assert no_file(tmp_path)


def test_truncated_shard_leaves_no_file(model, table, tmp_path):
    second = table / "part-1.parquet"
    second.write_bytes(second.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"part-1\.parquet is not a readable Parquet"):
        predict_table(model, table, tmp_path / "out.parquet")
    assert no_file(tmp_path)


def test_score_that_is_no_probability_leaves_no_file(model, table, tmp_path):
    second = table / "part-1.parquet"
    pl.read_parquet(second).with_columns(donor_score=pl.lit(1.5)).write_parquet(second)
    with pytest.raises(InputError, match=r"donor_score.*\[0, 1\]"):
        predict_table(model, table, tmp_path / "out.parquet")
    assert no_file(tmp_path)


def test_failure_keeps_the_earlier_output(model, table, tmp_path):
    predict_table(model, table, tmp_path / "out.parquet")
    before = (tmp_path / "out.parquet").read_bytes()
    (table / "part-1.parquet").write_bytes(b"junk")
    with pytest.raises(InputError):
        predict_table(model, table, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.parquet"]
    assert (tmp_path / "out.parquet").read_bytes() == before


def test_table_without_rows_is_an_error(model, toy_rows, tmp_path):
    (tmp_path / "in").mkdir()
    toy_rows.clear().write_parquet(tmp_path / "in" / "rows.parquet")
    with pytest.raises(InputError, match="has no rows"):
        predict_table(model, tmp_path / "in", tmp_path / "out.parquet")
    assert no_file(tmp_path)


def test_table_that_is_not_there_is_named(model, tmp_path):
    with pytest.raises(InputError, match="absent"):
        predict_table(model, tmp_path / "absent", tmp_path / "out.parquet")


@pytest.mark.parametrize(("name", "separator"), [("out.csv", ","), ("out.tsv", "\t")])
def test_predictions_as_text_are_those_of_parquet(
    model, table, tmp_path, name, separator, monkeypatch
):
    monkeypatch.setattr(tables, "BATCH_ROWS", 300)
    predict_table(model, table, tmp_path / "out.parquet")
    written = predict_table(model, table, tmp_path / name)
    found = pl.read_csv(tmp_path / name, separator=separator, schema_overrides={"gene_id": str})
    assert found.height == written
    assert found.equals(pl.read_parquet(tmp_path / "out.parquet"))


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.parquet.gz"])
def test_output_of_another_kind_is_refused(model, table, tmp_path, name):
    with pytest.raises(InputError, match=r"should end in \.parquet, \.csv or \.tsv"):
        predict_table(model, table, tmp_path / name)
    assert no_file(tmp_path)


@pytest.mark.parametrize("folder", [False, True])
def test_swapped_arguments_are_told(toy, tmp_path, capsys, folder):
    table, model = tmp_path / "table.parquet", toy.folder / "model.gbm"
    pl.DataFrame({"a": [1.0]}).write_parquet(table)
    if folder:
        model, table = tmp_path / "my results", tmp_path
        (model / "model").mkdir(parents=True)
        shutil.copy(toy.folder / "model.gbm", model / "model")
    assert main(["predict", str(table), str(model), "-o", str(tmp_path / "out.parquet")]) == 1
    said = capsys.readouterr().err
    assert "the model comes first" in said
    command = shlex.join([str(model), str(table), "-o", str(tmp_path / "out.parquet")])
    assert f"genebatch predict {command}" in said
