"""`genebatch init`: what is proposed for a table, and why."""

import tempfile

import numpy as np
import polars as pl
import pytest
import yaml

from genebatch.cli import main
from genebatch.config.schema import resolve
from genebatch.dataset.proposal import MOST_CATEGORIES, propose
from genebatch.io.files import InputError

N = 400


def table(**columns):
    rng = np.random.default_rng(1)
    made = {
        "sample": [f"s{n % 40:02d}" for n in range(N)],
        "kind": ["yes" if n % 4 == 0 else "no" for n in range(N)],
        "a": rng.normal(size=N),
        "count": rng.integers(0, 5, N).astype(np.uint8),
    }
    return pl.DataFrame(made | columns)


def proposed(tmp_path, frame, name="t.parquet"):
    path = tmp_path / name
    if name.endswith("csv"):
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return propose(path, "kind", "sample")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_plain_table_needs_its_four_keys(tmp_path, name):
    found = proposed(tmp_path, table(), name)
    assert found.config == {
        "dataset": {
            "path": str(tmp_path / name),
            "group": "sample",
            "label": "kind",
            "classes": ["no", "yes"],  # the most frequent first
        }
    }
    assert found.notes[0] == "400 rows of 40 groups: no 300, yes 100"
    resolve(yaml.safe_load(found.text()))


def test_a_folder_of_text_is_proposed_as_its_rows_together_are(tmp_path):
    (tmp_path / "in").mkdir()
    table(code=["x"] * 200 + ["1"] * 200)[:200].write_csv(tmp_path / "in" / "1.csv")
    table(code=["x"] * 200 + ["1"] * 200)[200:].write_csv(tmp_path / "in" / "2.csv")
    for path in (tmp_path / "in", tmp_path / "in" / "*.csv"):
        found = propose(path, "kind", "sample")
        assert found.notes[0] == "400 rows of 40 groups: no 300, yes 100"
        assert found.config["dataset"]["path"] == str(path)
        assert found.config["dataset"]["categorical"] == ["code"]


@pytest.mark.parametrize("name", ["in/t.parquet", "in/t.csv"])
def test_files_that_are_left_out_are_noted(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "odd\n.dat").touch()
    proposed(tmp_path, table(), name)
    found = propose(tmp_path / "in", "kind", "sample")
    assert "odd .dat is no data, by the ending of its name" in found.text()
    resolve(yaml.safe_load(found.text()))


@pytest.mark.parametrize("name", ["t[1].parquet", "t[1].csv"])
def test_brackets_in_names_are_no_patterns(tmp_path, name, monkeypatch):
    for folder in ("tmp[1]", "tmp1"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp[1]"))
    proposed(tmp_path, table(other=1.0), name.replace("[1]", "1"))
    found = proposed(tmp_path, table()[:200], name)
    assert found.notes[0] == "200 rows of 40 groups: no 150, yes 50"


def test_text_and_ids_are_no_features(tmp_path):
    extra = {
        "name": [f"n{n}" for n in range(N)],
        "barcode": np.arange(N) * 7 + 10_000,
        "year": np.full(N, 2020),
    }
    found = proposed(tmp_path, table(**extra))
    assert found.config["dataset"]["metadata"] == ["name", "barcode"]
    told = " ".join(found.notes)
    assert "'name' (text of more than 64 values)" in told
    assert "'barcode' (another whole number in every row, so an id)" in told


def test_text_of_few_values_is_a_category_unless_it_tells_the_group(tmp_path):
    extra = {
        "tissue": ["skin", "brain", None, ""] * (N // 4),
        "constant": ["same"] * N,
        "doctor": [f"d{n % 40}" for n in range(N)],  # of one group each
        "kept": [True, False] * (N // 2),
    }
    for name in ("t.parquet", "t.csv"):
        found = proposed(tmp_path, table(**extra), name)
        assert found.config["dataset"]["categorical"] == ["tissue"]
        assert found.config["dataset"]["metadata"] == ["constant", "doctor"]
        told = " ".join(found.notes)
        assert "text of few values is categories: 'tissue' (2 values)" in told
        assert "'constant' (text that is the same in every row)" in told
        assert "'doctor' (text that tells the group)" in told
        resolve(yaml.safe_load(found.text()))


def test_the_most_categories_that_are_proposed_are_those_that_a_run_takes():
    dataset = {"path": "t", "group": "g", "label": "y", "classes": ["no", "yes"]}
    assert resolve({"dataset": dataset})["screen"]["max_categories"] == MOST_CATEGORIES


def test_scores_weights_and_positions_are_known_by_their_names(tmp_path):
    share = np.linspace(0.1, 0.9, N)
    extra = {"yes_score": share, "no_score": 1 - share, "weight": np.ones(N)}
    extra |= {"position": np.arange(N) // 40}
    dataset = proposed(tmp_path, table(**extra)).config["dataset"]
    assert dataset["scores"] == {"no": "no_score", "yes": "yes_score"}
    assert dataset["weight"] == "weight"
    assert dataset["position"] == "position"
    assert "metadata" not in dataset


def test_a_position_that_repeats_in_a_group_is_none(tmp_path):
    dataset = proposed(tmp_path, table(position=np.zeros(N, np.int64))).config["dataset"]
    assert "position" not in dataset


def test_a_small_table_gets_lower_limits(tmp_path):
    few = table().with_columns(sample=pl.Series([f"s{n % 10}" for n in range(N)]))
    few = few.with_columns(kind=pl.Series(["yes" if n % 40 == 0 else "no" for n in range(N)]))
    config = proposed(tmp_path, few).config
    assert config["batching"] == {"min_groups": 8, "min_positives": 4}
    assert config["cv"] == {"n_splits": 4}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": ["no"] * N}, "column 'kind' has 1 different values"),
        ({"kind": [f"k{n}" for n in range(N)]}, "column 'kind' has 400 different values"),
        ({"sample": [None] * 3 + ["s"] * (N - 3)}, "3 rows have no value in column 'sample'"),
        ({"sample": ["s1", "s2"] * (N // 2)}, "the table has 2 groups; wanted at least 5"),
    ],
)
def test_a_table_that_cannot_be_trained_on_is_refused(tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        proposed(tmp_path, table(**columns))


def test_a_missing_column_is_named(tmp_path, capsys):
    table().write_parquet(tmp_path / "t.parquet")
    arguments = ["init", str(tmp_path / "t.parquet"), "--label", "kinds", "--group", "sample"]
    assert main([*arguments, "-o", str(tmp_path / "my.yaml")]) == 1
    assert "kinds" in capsys.readouterr().err
    assert not (tmp_path / "my.yaml").exists()


def test_an_existing_file_is_not_replaced(tmp_path, capsys):
    table().write_parquet(tmp_path / "t.parquet")
    (tmp_path / "my.yaml").write_text("kept")
    arguments = ["init", str(tmp_path / "t.parquet"), "--label", "kind", "--group", "sample"]
    assert main([*arguments, "-o", str(tmp_path / "my.yaml")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "my.yaml").read_text() == "kept"
