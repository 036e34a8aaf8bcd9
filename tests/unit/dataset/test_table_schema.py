"""Columns are read by what they mean, and the shard at fault is named."""

import datetime
import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genebatch.dataset.feature_set import Features
from genebatch.dataset.profile import analyze
from genebatch.dataset.row_file import Blocks, RowFile
from genebatch.dataset.row_pass import Part, write_row_files
from genebatch.dataset.shards import described
from genebatch.dataset.table_schema import index_columns, read_schema
from genebatch.io.files import InputError, read_json, write_json
from tests.builders.small_table import make_table, resolved

TEXT = [pa.string(), pa.large_string(), pa.string_view()]
TEXT += [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())]
WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()]
WHOLE += [
    pa.uint64(),
    pa.decimal128(12, 0),
    pa.decimal256(18, 0),
    pa.dictionary(pa.int8(), pa.int16()),
]
BROKEN = [
    pa.float64(),
    pa.decimal128(12, 3),
    pa.decimal256(40, 3),
    pa.dictionary(pa.int8(), pa.float64()),
]


def write(folder, **shards: dict[str, pa.Array]):
    paths = []
    for name, columns in shards.items():
        paths.append(folder / f"{name}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    return paths


def schema_of(paths):
    return read_schema(paths, [{}] * len(paths))


def test_differing_shards_are_told_by_column_and_type(tmp_path):
    numbers, text = pa.array([1]), pa.array(["1"])
    paths = write(
        tmp_path,
        a={"x": text, "y": numbers, "z": numbers},
        b={"x": numbers, "y": numbers, "w": numbers},
    )
    with pytest.raises(InputError) as caught:
        schema_of(paths)
    message = str(caught.value)
    assert "b.parquet differs from" in message
    assert "lacks column 'z'" in message
    assert "has the further column 'w'" in message
    assert "has column 'x' as int64, not text" in message
    assert "dataset.path" in message


@pytest.mark.parametrize("odd", ["a", "b", "c"])
@pytest.mark.parametrize(
    "columns",
    [
        {"x": pa.array(["1"])},
        {"x": pa.array([True])},
        {"x": pa.array([1]), "y": pa.array([1])},
        {"x": pa.array([datetime.date(2020, 1, 3)])},
        {},
    ],
)
def test_the_shard_that_differs_from_most_is_named(tmp_path, odd, columns):
    usual = {"x": pa.array([1]), "same": pa.array([1])}
    shards = {"a": usual, "b": usual, "c": usual}
    paths = write(tmp_path, **shards | {odd: columns | {"same": pa.array([1])}})
    with pytest.raises(InputError, match=rf"/{odd}\.parquet differs from"):
        schema_of(paths)


def test_a_column_that_comes_twice_is_named_in_every_shard(tmp_path):
    twice = pa.Table.from_arrays([pa.array([1])] * 3, names=["x", "y", "x"])
    paths = write(tmp_path, a={"x": pa.array([1]), "y": pa.array([1])})
    pq.write_table(twice, tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet has several columns 'x'"):
        schema_of([*paths, tmp_path / "b.parquet"])


def test_shards_may_order_their_columns_differently(tmp_path):
    paths = write(
        tmp_path,
        a={"x": pa.array([1]), "y": pa.array([2])},
        b={"y": pa.array([1]), "x": pa.array([2])},
    )
    assert schema_of(paths).schema.names == ["x", "y"]


@pytest.mark.parametrize(
    ("one", "other", "meant"),
    [
        *((kind, pa.string(), pa.string()) for kind in TEXT),
        (pa.null(), pa.float64(), pa.float64()),
        (pa.null(), pa.string(), pa.string()),
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int8(), pa.int64()),
        (pa.uint8(), pa.uint64(), pa.uint64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.float16(), pa.float32(), pa.float32()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.decimal128(10, 2), pa.float64(), pa.float64()),
        (pa.decimal128(10, 0), pa.int32(), pa.int64()),
    ],
)
def test_types_that_mean_the_same_are_one(tmp_path, one, other, meant):
    for number, kinds in enumerate([(one, other), (other, one)]):
        (tmp_path / str(number)).mkdir()
        first, second = (pa.nulls(2, kind) for kind in kinds)
        paths = write(tmp_path / str(number), a={"x": first}, b={"x": second})
        assert schema_of(paths).schema.field("x").type == meant


def stored(folder, table: pa.Table, settings, name: str = "table"):
    """Profile, groups and row file of a table."""
    (folder / name).mkdir()
    half = table.num_rows // 2
    pq.write_table(table[:half], folder / name / "a.parquet")
    pq.write_table(table[half:], folder / name / "b.parquet")
    return analysed(folder, settings, name)


def analysed(folder, settings, name: str = "table"):
    analysis = analyze(
        settings.table.build(settings.table.plain() | {"path": str(folder / name)}), None
    )
    write_json(folder / f"{name}.json", analysis.profile)
    roles, shards = described(read_json(folder / f"{name}.json"))
    kinds = {column: analysis.profile["columns"][column]["kind"] for column in roles.candidates}
    groups = analysis.groups.with_columns(pl.lit(0, pl.Int32).alias("fold"))
    part = Part("b000", "key", groups)
    labels = settings.table.labels
    write_row_files(shards, [part], Features.order(kinds), labels, folder / f"{name}.rows")
    return analysis, RowFile.open(folder / f"{name}.rows" / "b000.arrow")


def told(analysis):
    """The profile without what names files and types."""
    facts = {
        key: value for key, value in analysis.profile.items() if key not in ("shards", "columns")
    }
    facts["columns"] = {
        name: {key: value for key, value in column.items() if key != "type"}
        for name, column in analysis.profile["columns"].items()
    }
    return facts


def with_types(table: pa.Table, **kinds: pa.DataType) -> pa.Table:
    for name, kind in kinds.items():
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type).dictionary_encode().cast(kind)
        else:
            small = pa.types.is_decimal(kind) and pa.types.is_integer(column.type)
            column = (column.cast(pa.int16()) if small else column).cast(kind)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


@pytest.fixture(scope="module")
def plain():
    table = make_table(n_groups=4).with_columns(pl.col("noise").cast(pl.Float64).round(2))
    return table.with_columns(pl.col("kmer", "position").cast(pl.Int64)).to_arrow()


CHANGES = [
    *(
        {"splice_type": kind, "gene_id": other}
        for kind, other in zip(TEXT, TEXT[1:] + TEXT[:1], strict=True)
    ),
    *({"chrom": kind} for kind in TEXT),
    *(
        {"kmer": kind, "position": other}
        for kind, other in zip(WHOLE, WHOLE[1:] + WHOLE[:1], strict=True)
    ),
    *({"noise": kind, "sample_weight": kind} for kind in BROKEN),
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_the_same_values_in_another_type_are_the_same_data_set(tmp_path, plain, change):
    """In every shard, and in one shard only: same profile, groups, identity and matrix."""
    settings = resolved()
    expected, rows = stored(tmp_path, plain, settings)
    changed = with_types(plain, **change)
    half = plain.num_rows // 2
    (tmp_path / "mixed").mkdir()
    pq.write_table(plain[:half], tmp_path / "mixed" / "a.parquet")
    pq.write_table(changed[half:], tmp_path / "mixed" / "b.parquet")
    for analysis, found in (
        stored(tmp_path, changed, settings, "changed"),
        analysed(tmp_path, settings, "mixed"),
    ):
        assert told(analysis) == told(expected)
        assert analysis.groups.equals(expected.groups)
        assert found.identity.equals(rows.identity)
        for one, other in zip(Blocks([found]), Blocks([rows]), strict=True):
            assert np.array_equal(one.toarray(), other.toarray(), equal_nan=True)


def test_a_shard_without_values_of_a_column_has_them_missing(tmp_path, plain):
    table = plain.append_column("opt", pa.array([None] * 20 + [1.5, 2.5] * 10, pa.float64()))
    expected, _ = stored(tmp_path, table, resolved())
    (tmp_path / "null").mkdir()
    empty = table[:20].drop_columns("opt").append_column("opt", pa.nulls(20))
    pq.write_table(empty, tmp_path / "null" / "a.parquet")
    pq.write_table(table[20:], tmp_path / "null" / "b.parquet")
    analysis, _ = analysed(tmp_path, resolved(), "null")
    assert told(analysis) == told(expected)


def test_a_feature_without_any_value_is_told(tmp_path, plain):
    analysis, _ = stored(tmp_path, plain.append_column("opt", pa.nulls(plain.num_rows)), resolved())
    notes = [problem["message"] for problem in analysis.profile["problems"]]
    assert "column 'opt' is empty in every row" in notes


def test_a_group_of_floats_names_the_shard(tmp_path, plain):
    numbers = plain["gene_id"].combine_chunks().dictionary_encode().indices
    table = plain.drop_columns("gene_id").append_column("gene_id", numbers)
    (tmp_path / "table").mkdir()
    for name, kind in (("a", pa.int64()), ("b", pa.float64()), ("c", pa.int64())):
        pq.write_table(with_types(table, gene_id=kind), tmp_path / "table" / f"{name}.parquet")
    with pytest.raises(
        InputError, match=r"'gene_id' is double in .*/b\.parquet, but dataset\.group"
    ):
        analysed(tmp_path, resolved())


DASK = "__null_dask_index__"
NO_TEXT = [
    pa.array([uuid.UUID(int=1).bytes], pa.binary(16)),
    pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=1).bytes], pa.binary(16))),
    pa.array([b"x"], pa.binary()),
    pa.array([b"x"], pa.large_binary()),
    pa.array([b"x"], pa.binary_view()),
    pa.array([b"x"]).dictionary_encode(),
    pa.array([[1]]),
    pa.array([{"a": 1}]),
    pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
]
TEXT_FORM = [
    pa.array([datetime.date(2020, 1, 3)]),
    pa.array([datetime.datetime(2020, 1, 3)], pa.timestamp("us", "UTC")),
    pa.array([datetime.time(1, 2)]),
    pa.array([datetime.timedelta(1)]),
    pa.array([decimal.Decimal("1.50")]),
    pa.array([True]),
    pa.array([1.5], pa.float16()),
    pa.array([None], pa.null()),
    pa.array([7]).dictionary_encode(),
]


def with_column(plain, array):
    table = plain.append_column("extra", pa.nulls(plain.num_rows))
    repeated = pa.chunked_array([array] * plain.num_rows)
    return table.set_column(table.num_columns - 1, "extra", repeated)


@pytest.mark.parametrize("array", NO_TEXT, ids=lambda array: str(array.type))
def test_what_has_no_text_form_is_refused_by_name_or_excluded(tmp_path, plain, array):
    table = with_column(plain, array)
    with pytest.raises(InputError, match=r"column 'extra' \(.*no text form; .*dataset\.exclude"):
        stored(tmp_path, table, resolved(dataset={"metadata": ["chrom", "extra"]}), "refused")
    with pytest.raises(InputError, match=r"'extra' \(.*cannot be features"):
        stored(tmp_path, table, resolved(), "feature")
    for key in ("group", "label"):
        with pytest.raises(InputError, match=rf"'extra' is .*dataset\.{key} must hold"):
            stored(tmp_path, table, resolved(dataset={key: "extra"}), key)
    stored(tmp_path, table, resolved(dataset={"exclude": ["extra"]}), "excluded")


@pytest.mark.parametrize("array", TEXT_FORM, ids=lambda array: str(array.type))
def test_what_has_a_text_form_may_be_metadata(tmp_path, plain, array):
    settings = resolved(dataset={"metadata": ["chrom", "extra"]})
    analysis, _ = stored(tmp_path, with_column(plain, array), settings)
    facts = analysis.groups["fact.extra"]
    assert facts.n_unique() == 1


def indexed(frame: pd.DataFrame, folder, **options):
    folder.mkdir()
    frame.to_parquet(folder / "a.parquet", **options)
    return folder / "a.parquet"


@pytest.mark.parametrize(
    ("change", "index"),
    [
        (lambda frame: frame[frame["noise"] > -9].sort_values("noise"), ["__index_level_0__"]),
        (lambda frame: pd.concat([frame[5:], frame[:5]]), ["__index_level_0__"]),
        (lambda frame: frame.set_index("ties"), ["ties"]),
        (lambda frame: frame.set_index(["ties", "noise"]), ["noise", "ties"]),
        (lambda frame: frame.set_index("gene_id"), ["gene_id"]),
        (lambda frame: frame.rename_axis("row"), []),
        (lambda frame: frame, []),
        (lambda frame: frame.reset_index(names="Unnamed: 0"), ["Unnamed: 0"]),
        (lambda frame: frame.reset_index(names=""), [""]),
        (lambda frame: frame.reset_index(names="...1"), ["...1"]),
        (
            lambda frame: frame.rename(columns={"noise": DASK}),
            [DASK],
        ),
    ],
)
def test_an_index_is_no_feature(tmp_path, plain, change, index):
    frame = change(plain.to_pandas())
    path = indexed(frame, tmp_path / "table")
    assert index_columns(pq.read_schema(path)) == index
    analysis, _ = analysed(tmp_path, resolved())
    left_out = analysis.profile["roles"]["left_out"]
    assert sorted(left_out) == [name for name in index if name != "gene_id"]
    features = {"noise", "ties", "kmer"} & set(frame.columns) - set(index)
    assert set(analysis.profile["roles"]["candidates"]) == features
    notes = [problem["message"] for problem in analysis.profile["problems"]]
    assert all(any(f"'{name}' is no feature" in note for note in notes) for name in left_out)


def test_a_reset_index_is_a_feature(tmp_path, plain):
    """The remedy of the note."""
    indexed(plain.to_pandas().set_index("ties").reset_index(), tmp_path / "table")
    analysis, _ = analysed(tmp_path, resolved())
    assert "ties" in analysis.profile["roles"]["candidates"]


def test_an_index_may_be_in_some_shards_only(tmp_path, plain):
    frame = plain.to_pandas()
    path = indexed(frame[:20], tmp_path / "table")
    frame[20:].sort_values("noise").to_parquet(path.with_name("b.parquet"))
    analysis, _ = analysed(tmp_path, resolved())
    assert analysis.profile["rows"] == 40
    assert set(analysis.profile["roles"]["candidates"]) == {"noise", "ties", "kmer"}


def partitioned(folder, plain, column="chrom", keep=False):
    for (value,), part in pl.from_arrow(plain).group_by(column):
        (folder / f"{column}={value}").mkdir(parents=True)
        part = part if keep else part.drop(column)
        part.write_parquet(folder / f"{column}={value}" / "0.parquet")


@pytest.mark.parametrize("column", ["chrom", "gene_id", "splice_type"])
@pytest.mark.parametrize("keep", [True, False])
def test_folders_are_columns_that_the_config_names(tmp_path, plain, column, keep):
    settings = resolved(dataset={"position": None, "exclude": ["position"]})
    partitioned(tmp_path / "table", plain, column, keep)
    analysis, rows = analysed(tmp_path, settings)
    (tmp_path / "one").mkdir()
    ordered = pl.from_arrow(plain).sort(column, maintain_order=True)
    ordered.write_parquet(tmp_path / "one" / "a.parquet")
    expected, others = analysed(tmp_path, settings, "one")
    same = ["group", "rows", "n_donor", "fact.chrom"]
    assert analysis.groups.select(same).equals(expected.groups.select(same))
    assert rows.identity.sort(pl.all()).equals(others.identity.sort(pl.all()))


def test_a_folder_that_no_key_names_is_no_feature(tmp_path, plain):
    partitioned(tmp_path / "table", plain.append_column("part", plain["kmer"]), "part")
    analysis, _ = analysed(tmp_path, resolved())
    assert "part" not in analysis.profile["roles"]["candidates"]
    notes = [problem["message"] for problem in analysis.profile["problems"]]
    assert "column 'part' is no feature: it stands in the names of folders only" in notes


def test_a_file_that_contradicts_its_folder_is_refused(tmp_path, plain):
    partitioned(tmp_path / "table", plain, keep=True)
    (tmp_path / "table" / "chrom=chr1").rename(tmp_path / "table" / "chrom=chr9")
    message = (
        r"chrom=chr9/0\.parquet: column 'chrom' holds 'chr1', but its folder is called chrom=chr9"
    )
    with pytest.raises(InputError, match=message):
        analysed(tmp_path, resolved())


def test_a_folder_may_mean_null(tmp_path, plain):
    partitioned(tmp_path / "table", plain)
    folder = tmp_path / "table" / "chrom=chr1"
    folder.rename(folder.with_name("chrom=__HIVE_DEFAULT_PARTITION__"))
    analysis, _ = analysed(tmp_path, resolved())
    assert analysis.groups["fact.chrom"].null_count() == 1
