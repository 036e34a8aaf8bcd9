"""The analysis checks the data set against the input contract."""

import hashlib
import json
import re
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genebatch.dataset import profile as analysis
from genebatch.dataset.profile import analyze
from genebatch.io.digests import state
from genebatch.io.files import InputError
from tests.builders.tables_and_figures import set_cells


def notes(analysed):
    assert all(problem["level"] == "note" for problem in analysed.profile["problems"])
    return "\n".join(problem["message"] for problem in analysed.profile["problems"])


@pytest.fixture
def refused(analyse):
    """Whether the analysis refuses a table with a message."""

    def check(frame, message, **keys):
        with pytest.raises(InputError, match=message):
            analyse(frame, **keys)

    return check


# ---- the profile


def test_the_profile_counts_what_is_there(table, analyse, tmp_path):
    profile = analyse(table(), shards=3).profile
    assert profile["rows"] == 120
    assert profile["groups"] == 12
    assert profile["classes"] == {"neither": 96, "donor": 12, "acceptor": 12}
    assert profile["roles"]["candidates"] == ["noise", "ties", "kmer"]
    assert [shard["rows"] for shard in profile["shards"]] == [40, 40, 40]
    path = tmp_path / "data" / "part-0.parquet"
    assert profile["shards"][0]["state"] == [*state(path)]
    assert profile["shards"][0]["content"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_empty_labels_are_the_null_class(table, analyse):
    frame = table().with_columns(
        pl.when(pl.col("splice_type") != "neither").then(pl.col("splice_type"))
    )
    analysed = analyse(frame, null_label="neither")
    assert analysed.profile["classes"] == {"neither": 96, "donor": 12, "acceptor": 12}


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt8, pl.Categorical])
def test_labels_need_not_be_text(table, analyse, kind):
    number = pl.col("splice_type").replace_strict(["neither", "donor", "acceptor"], ["0", "1", "2"])
    frame = table().with_columns(number.cast(kind).alias("splice_type"))
    profile = analyse(frame, classes=["0", "1", "2"]).profile
    assert profile["classes"] == {"0": 96, "1": 12, "2": 12}


def test_a_shard_without_rows_changes_nothing(table, analyse, tmp_path):
    whole = analyse(table())
    empty = tmp_path / "more" / "part-1.parquet"
    empty.parent.mkdir()
    table().clear().write_parquet(empty)
    table().write_parquet(empty.with_name("part-0.parquet"))
    groups = analyze(replace(whole.table, path=str(empty.parent)), None).groups
    assert groups.equals(whole.groups)


# ---- what is refused


def test_missing_and_empty_folders_are_named(resolved, tmp_path):
    for path, fact in [("absent", "does not exist"), (".", r"holds no table \(\*\.parquet")]:
        missing = resolved(dataset={"path": str(tmp_path / path)}).table
        with pytest.raises(InputError, match=rf"{fact}.*set dataset\.path"):
            analyze(missing, None)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_shard_is_named(table, write, tmp_path, kept):
    dataset = write(table(), shards=2)
    path = tmp_path / "data" / "part-1.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match=r"part-1\.parquet is not a readable Parquet file"):
        analyze(dataset, None)


def test_a_shard_with_damaged_pages_is_named(table, write, tmp_path):
    dataset = write(table(n_groups=60, rows=20))
    path = tmp_path / "data" / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"part-0\.parquet"):
        analyze(dataset, None)


def test_shards_with_other_columns_are_named(table, write, tmp_path):
    dataset = write(table(), shards=2)
    path = tmp_path / "data" / "part-1.parquet"
    pl.read_parquet(path).drop("noise").write_parquet(path)
    with pytest.raises(InputError, match=r"part-1\.parquet differs .*lacks column 'noise'"):
        analyze(dataset, None)


@pytest.mark.parametrize("word", ["NA", "nan", "NULL", "None", "N/A", "#N/A", "<NA>", " na "])
def test_groups_called_like_a_missing_value_are_counted_and_warned_of(
    table, analyse, word, caplog, monkeypatch
):
    monkeypatch.setattr(analysis, "STRETCH_ROWS", 10)
    group = pl.when(pl.col("gene_id").is_in(["g01", "g07"])).then(pl.lit(word))
    group = group.when(pl.col("gene_id") == "g02").then(pl.lit("none")).otherwise("gene_id")
    frame = table().with_columns(group.alias("gene_id"), position=pl.int_range(pl.len()))
    analysed = analyse(frame, row_group_size=10)
    (warning,) = [p for p in analysed.profile["problems"] if p["level"] == "warning"]
    assert warning["message"].startswith("column 'gene_id' has 30 rows of groups that are called ")
    assert f"is written (20 in {word!r}, 10 in 'none'). All rows of such" in warning["message"]
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [warning["message"]]
    assert analysed.groups.filter(group=word)["rows"].to_list() == [20]


def test_a_copy_of_a_shard_is_named(table, write, tmp_path):
    dataset = write(table(), shards=2, position=None, exclude=["position"])
    for name in ("0 (1)", "2"):
        copy = (tmp_path / "data" / "part-0.parquet").read_bytes()
        (tmp_path / "data" / f"part-{name}.parquet").write_bytes(copy)
    with pytest.raises(InputError, match="rows would count twice; move one of") as fault:
        analyze(dataset, None)
    for name in ("part-0.parquet", "part-2.parquet"):
        said = f"data/{name} has the content of {tmp_path}/data/part-0 (1).parquet"
        assert said in str(fault.value)


def test_a_shard_may_stand_in_several_folders_that_tell_its_rows_apart(table, resolved, tmp_path):
    for name in ("1", "2"):
        (tmp_path / f"in/group={name}").mkdir(parents=True)
        table().drop("gene_id").write_parquet(tmp_path / f"in/group={name}/a.parquet")
        table().clear().drop("gene_id").write_parquet(tmp_path / f"in/group={name}/b.parquet")
        table().clear().drop("gene_id").write_parquet(tmp_path / f"in/group={name}/c.parquet")
    keys = {"path": f"{tmp_path}/in", "position": None, "exclude": ["position"]}
    analysed = analyze(resolved(dataset=keys | {"group": "group"}).table, None)
    assert analysed.groups["rows"].to_list() == [120, 120]
    with pytest.raises(InputError, match=r"group=2/a.parquet has the content of .*group=1/a.parq"):
        analyze(resolved(dataset=keys | {"group": "chrom", "metadata": []}).table, None)


def test_faults_of_several_row_groups_are_counted_by_file(table, refused, monkeypatch):
    monkeypatch.setattr(analysis, "STRETCH_ROWS", 10)
    keys = {"shards": 2, "row_group_size": 10, "threads": 2}
    frame = set_cells(table(), "splice_type", [5, 15], "branch")
    frame = set_cells(set_cells(frame, "splice_type", [25], "snrp"), "splice_type", [35, 36], None)
    refused(frame, r"part-0.* has 3 rows with unknown labels \('branch', 'snrp'\)", **keys)


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [
        ("splice_type", None, "empty"),
        ("gene_id", None, "null"),
        ("noise", float("inf"), "infinite"),
        ("sample_weight", float("nan"), "null or NaN"),
    ],
)
def test_rows_of_every_row_group_are_counted(table, refused, monkeypatch, column, value, fact):
    monkeypatch.setattr(analysis, "STRETCH_ROWS", 10)
    frame = set_cells(table(), column, [65, 75, 76], value)
    keys = {"shards": 2, "row_group_size": 10, "threads": 2}
    refused(frame, rf"part-1\.parquet: column '{column}' is {fact} in 3 rows", **keys)


def test_unknown_labels_are_counted_and_shown(table, refused):
    frame = set_cells(table(), "splice_type", [5, 6, 7], "branch")
    refused(
        frame,
        r"part-0\.parquet: column 'splice_type' has 3 rows with unknown labels \('branch'\); "
        r"dataset\.classes knows neither, donor, acceptor",
    )


def test_empty_labels_need_a_class(table, refused):
    frame = set_cells(table(), "splice_type", [5, 6], None)
    refused(
        frame,
        r"part-0\.parquet: column 'splice_type' is empty in 2 rows; set dataset\.null_label",
    )


def test_a_class_without_rows_is_named(table, refused):
    frame = table().with_columns(pl.col("splice_type").replace("donor", "neither"))
    refused(frame, r"no row of class 'donor' in the whole data set.*dataset\.classes")


def test_a_data_set_without_rows_is_refused(table, refused):
    refused(table().clear(), r"no row of class 'donor' in the whole data set")


def test_rows_without_a_group_are_counted(table, refused):
    frame = set_cells(table(), "gene_id", [5, 6, 119], None)
    refused(frame, r"part-0\.parquet: column 'gene_id' is null in 3 rows.*dataset\.group")


@pytest.mark.parametrize("name", ["", "two\tcells", "two\nlines", "nul\0"])
def test_groups_whose_names_no_line_of_a_table_could_hold_are_refused(table, refused, name):
    frame = set_cells(table(), "gene_id", [5, 6], name)
    shown = re.escape(repr(name))
    refused(frame, rf"column 'gene_id' has 1 groups whose names .*\({shown}\).*dataset\.group")


def test_text_that_would_become_a_feature_is_named(table, refused):
    refused(table(), r"'chrom' \([a-z_]+\) cannot be features.*dataset\.metadata", metadata=[])


def test_a_misspelt_metadata_column_is_named(table, refused):
    refused(table(), r"'chrm' is missing .*chrom.*dataset\.metadata", metadata=["chrm"])


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1e39])
def test_infinite_values_are_an_error_that_names_the_way_out(table, refused, value):
    frame = set_cells(
        table().with_columns(pl.col("noise").cast(pl.Float64)), "noise", [1, 2], value
    )
    refused(
        frame,
        r"part-0\.parquet: column 'noise' is infinite in 2 rows; set dataset\.infinite: missing",
    )


def test_infinite_values_are_missing_on_request(table, analyse):
    frame = set_cells(table(), "noise", [1, 2], float("inf"))
    analysed = analyse(frame, infinite="missing")
    assert "part-0.parquet: 2 infinite values of 'noise' are missing values" in notes(analysed)
    facts = analysed.profile["columns"]["noise"]
    assert facts["infinite"] == 2
    assert facts["maximum"] < 10


@pytest.mark.parametrize("column", ["sample_weight", "position"])
def test_infinite_weights_and_positions_stay_an_error(table, refused, column):
    frame = table().with_columns(pl.col(column).cast(pl.Float64))
    frame = set_cells(frame, column, [1], float("inf"))
    refused(frame, f"column '{column}' is infinite in 1 rows; dataset.", infinite="missing")


def test_nan_is_a_missing_value_and_noted(table, analyse):
    analysed = analyse(set_cells(table(), "noise", [1, 2], float("nan")))
    assert "part-0.parquet: column 'noise': 2 NaN are missing values" in notes(analysed)
    assert analysed.profile["columns"]["noise"]["nans"] == 2


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_weight_is_an_error(table, refused, value):
    frame = set_cells(table(), "sample_weight", [1, 2], value)
    refused(
        frame,
        r"part-0\.parquet: column 'sample_weight' is null or NaN in 2 rows; dataset\.weight must",
    )


def test_a_missing_position_is_an_error(table, refused):
    frame = set_cells(table(), "position", [1], None)
    refused(
        frame, r"part-0\.parquet: column 'position' is null or NaN in 1 rows; dataset\.position"
    )


def test_a_negative_weight_is_an_error(table, refused):
    frame = set_cells(table(), "sample_weight", [1], -0.5)
    refused(
        frame,
        r"part-0\.parquet: column 'sample_weight' is negative in 1 rows; dataset\.weight must",
    )


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_class_without_weight_is_an_error(table, refused, weight):
    frame = table().with_columns(
        pl.when(splice_type="donor").then(weight).otherwise("sample_weight").alias("sample_weight")
    )
    total = f"{12 * weight:g}"
    refused(frame, rf"\(dataset\.weight\) sums to {total} over the 12 rows of class 'donor'")


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        (1.5, r"outside 0 to 1 \(0\.5 to 1\.5\)"),
        (-0.1, r"outside 0 to 1 \(-0\.1 to 0\.5\)"),
        (1.00001, r"outside 0 to 1 \(0\.5 to 1\.00001\)"),
        (None, "null or NaN"),
        (float("nan"), "null or NaN"),
        (float("inf"), "infinite"),
    ],
)
def test_base_scores_that_are_no_probabilities_are_an_error(table, refused, value, fact):
    names = ("neither", "donor", "acceptor")
    scores = {name: f"{name}_score" for name in names}
    frame = table().with_columns(pl.lit(0.5).alias(column) for column in scores.values())
    frame = set_cells(frame, "donor_score", [1, 2], value)
    message = rf"part-0\.parquet: column 'donor_score' is {fact} in 2 rows; dataset\.scores\.donor "
    refused(frame, message + r"must lie in \[0, 1\]", scores=scores, infinite="missing")


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (pl.lit(7), "integer"),
        (pl.lit("007"), "text"),
        (pl.lit("a", pl.Categorical), "text"),
        (pl.lit(True), "text"),
    ],
)
def test_the_profile_tells_what_names_rows(table, analyse, ids, kind):
    frame = table().with_columns(ids.alias("gene_id"), pl.int_range(pl.len()).alias("position"))
    found = analyse(frame).profile["identity_kinds"]
    assert found == {"group": kind, "position": "integer"}


def test_base_scores_of_0_and_1_are_taken(table, analyse):
    scores = {name: f"{name}_score" for name in ("neither", "donor", "acceptor")}
    ends = pl.col("position") % 2
    frame = table().with_columns(ends.cast(pl.Float32).alias(name) for name in scores.values())
    assert analyse(frame, scores=scores).profile["columns"]["donor_score"]["maximum"] == 1


@pytest.mark.parametrize("value", [1.0000001, -1e-9])
def test_rounding_of_base_scores_beyond_0_and_1_is_taken(table, analyse, value):
    scores = {name: f"{name}_score" for name in ("neither", "donor", "acceptor")}
    frame = table().with_columns(pl.lit(0.5).alias(column) for column in scores.values())
    found = analyse(set_cells(frame, "donor_score", [1], value), scores=scores)
    assert found.groups["base_log_loss"].is_finite().all()


@pytest.mark.parametrize("rows_at_once", [15, 1_000_000])
def test_a_repeated_position_is_an_error(table, refused, monkeypatch, rows_at_once):
    monkeypatch.setattr(analysis, "DUPLICATE_ROWS", rows_at_once)
    frame = set_cells(table(), "position", [44, 45, 119], 3)
    refused(
        frame,
        r"3 rows repeat a \(gene_id, position\) pair, for example \(g04, 3\); .*dataset\.position",
        shards=3,
    )


def test_a_repeated_position_is_found_across_shards(table, refused):
    frame = pl.concat([table(), table()[:1]])
    refused(frame, r"1 rows repeat .* \(g00, 0\)", shards=2)


def test_positions_may_repeat_in_another_group_or_without_the_key(table, analyse):
    frame = set_cells(table(), "position", [44], 3)
    analyse(table(), folder="groups")
    analyse(frame, folder="no key", position=None, exclude=["position"])


def test_every_violation_is_told_at_once(table, analyse):
    frame = set_cells(table(), "splice_type", [5], "branch")
    frame = set_cells(frame, "noise", [5], float("inf"))
    frame = set_cells(frame, "sample_weight", [5], -1.0)
    with pytest.raises(InputError) as caught:
        analyse(frame)
    for fact in ("branch", "'noise' is infinite", "is negative"):
        assert fact in str(caught.value)


def test_the_test_column_must_be_constant_inside_groups(table, refused):
    frame = set_cells(table(), "chrom", [5], "chr9")
    message = r"test\.column 'chrom' has several values inside 1 groups \(for example 'g00'\)"
    refused(frame, message, test_column="chrom")


def test_the_test_column_must_be_metadata(table, refused):
    message = r"test\.column 'noise' is not among the metadata columns"
    refused(table(), message, test_column="noise")


def test_metadata_without_a_text_form_is_named(table, refused):
    frame = table().with_columns(pl.concat_list("position").alias("exons"))
    message = r"'exons' \(.*list.*\) cannot be metadata.*dataset\.exclude"
    refused(frame, message, metadata=["chrom", "exons"])


# ---- what is noted


def test_a_group_may_be_spread_over_shards_and_is_noted(table, analyse):
    analysed = analyse(table(n_groups=3), shards=2)
    assert "1 groups are spread over several shards (allowed)" in notes(analysed)
    assert analysed.groups["rows"].to_list() == [10] * 3


def test_empty_and_constant_columns_are_noted(table, analyse):
    frame = table().with_columns(pl.lit(None, pl.Float32).alias("nothing"), pl.lit(4).alias("four"))
    said = notes(analyse(frame))
    assert "column 'nothing' is empty in every row" in said
    assert "column 'four' is constant (4)" in said


def test_a_clean_data_set_has_no_notes(table, analyse):
    assert analyse(table()).profile["problems"] == []


def test_pages_written_by_arrow_with_dictionaries_are_read(table, analyse, resolved, tmp_path):
    plain = analyse(table())
    arrow = (
        table()
        .to_arrow()
        .cast(
            pa.schema(
                [
                    pa.field(name, pa.dictionary(pa.int32(), pa.string()))
                    if name in ("gene_id", "splice_type", "chrom")
                    else table().to_arrow().schema.field(name)
                    for name in table().columns
                ]
            )
        )
    )
    folder = tmp_path / "arrow"
    folder.mkdir()
    pq.write_table(arrow, folder / "part-0.parquet")
    assert analyze(replace(plain.table, path=str(folder)), None).groups.equals(plain.groups)


# ---- tables that were built here


def with_sequence(folder, number, value):
    """Write into a shard's schema metadata how its features were made."""
    path = folder / f"part-{number}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"genebatch.sequence": value}), path)


@pytest.fixture
def built(table, write, tmp_path):
    """Analyse two shards that say something of their making."""

    def run(*values):
        dataset = write(table(), shards=2)
        for number, value in enumerate(values):
            if value is not None:
                with_sequence(tmp_path / "data", number, value)
        return analyze(dataset, None).profile

    return run


def test_profile_says_how_the_features_were_made(built):
    made = {"features": {"window": 60}, "sampling": {"seed": 7}}
    assert built(json.dumps(made), json.dumps(made))["sequence"] == made


def test_any_other_table_says_nothing_of_its_features(built):
    assert built()["sequence"] is None


@pytest.mark.parametrize("second", ['{"a": 2}', None])
def test_shards_that_were_built_differently_are_refused(built, second):
    with pytest.raises(InputError, match=r"part-1\.parquet was not built with the features"):
        built('{"a": 1}', second)


def test_facts_that_are_no_json_are_refused(built):
    with pytest.raises(InputError, match=r"part-0\.parquet.*is no JSON"):
        built("{", "{")


@pytest.mark.parametrize(
    "names", [{"gene_id": "n"}, {"position": "n"}, {"gene_id": "group", "position": "p"}]
)
def test_repeated_positions_are_found_whatever_columns_are_called(table, analyse, names):
    frame = table().with_columns(position=pl.lit(1)).rename(names)
    keys = {"group": names.get("gene_id", "gene_id"), "position": names.get("position", "position")}
    with pytest.raises(InputError, match="rows repeat a "):
        analyse(frame, **keys)


# ---- categories


def test_categories_are_described_by_their_texts(table, analyse):
    frame = table().with_columns(
        c=pl.when(pl.col("position") > 0).then("chrom"), same=pl.lit("x"), code=pl.col("position")
    )
    analysed = analyse(frame, shards=2, categorical=["c", "same", "code"])
    columns = analysed.profile["columns"]
    assert {name: columns[name]["kind"] for name in ("c", "same", "code", "noise")} == {
        **dict.fromkeys(("c", "same", "code"), "category"),
        "noise": "dense",
    }
    assert (columns["c"]["nulls"], columns["c"]["constant"]) == (12, False)
    assert columns["same"]["constant"]
    assert "column 'same' is constant ('x')" in notes(analysed)


@pytest.mark.parametrize("shards", [1, 3])
def test_another_category_gives_its_group_another_digest(table, analyse, shards):
    frame = table().with_columns(c=pl.lit("a"))
    changed = frame.with_columns(
        c=pl.when((pl.col("gene_id") == "g03") & (pl.col("position") == 4))
        .then(pl.lit("b"))
        .otherwise("c")
    )
    before, after = (
        dict(
            analyse(each, shards=shards, folder=name, categorical=["c"])
            .groups.select("group", "digest")
            .iter_rows()
        )
        for name, each in (("before", frame), ("after", changed))
    )
    assert [name for name in before if before[name] != after[name]] == ["g03"]
