"""Odd tables end in a plan or in an error of ours, never in one of a library."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genebatch.config import schema as config
from genebatch.config.settings import Settings
from genebatch.io.files import InputError
from genebatch.steps.trial_plan import trial_manifest

NAMES = [" ", "a[b]", "a.b", "a", "class", "fold", "label", "group", "position", "row.label"]
NAMES += ["rows", "n", "place", "batch", "n_a", "feature:a", "`x`", "{x}", "x\ny", "é", "$x$"]
NAMES += ["", "*", "^x$", "(start)", "prediction", "__index_level_0__", "Unnamed: 0"]
NUMBERS = [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.null()]
NUMBERS += [pa.decimal128(38, 2), pa.decimal128(12, 0), pa.dictionary(pa.int8(), pa.int64())]
TEXT = [pa.string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.int16()]
OTHERS = [pa.string(), pa.binary(4), pa.date32(), pa.timestamp("ns", "UTC"), pa.duration("s")]
OTHERS += [pa.list_(pa.int8())]


def column(kind: pa.DataType, values: list[int | None]) -> pa.Array:
    """Small whole numbers as a column of any type."""
    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if pa.types.is_list(kind):
        return pa.array([value if value is None else [value] for value in values], kind)
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([value if value is None else b"%04d" % value for value in values], kind)
    if pa.types.is_dictionary(kind):
        return column(kind.value_type, values).dictionary_encode().cast(kind)
    numbers = pa.array(values, pa.int32() if pa.types.is_date32(kind) else pa.int64())
    if pa.types.is_float16(kind):
        return numbers.cast(pa.float32()).cast(kind)
    by_text = pa.types.is_decimal(kind) or kind == pa.string_view()
    return numbers.cast(pa.string()).cast(kind) if by_text else numbers.cast(kind)


@st.composite
def tables(draw) -> tuple[list[pa.Table], dict]:
    """One or two shards of few groups, and a config that may or may not fit them."""
    n_groups, rows = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    size = n_groups * rows
    names = draw(st.lists(st.sampled_from(NAMES), min_size=3, max_size=6, unique=True))
    group, label, *others = names
    values = st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=size, max_size=size)
    kinds = st.sampled_from(NUMBERS * 6 + OTHERS)
    columns = {group: column(draw(st.sampled_from(TEXT)), [n // rows for n in range(size)])}
    columns[label] = pa.array([draw(st.sampled_from("ab")) for _ in range(size)])
    columns |= {name: column(draw(kinds), draw(values)) for name in others}
    table = pa.table(columns)
    cut = draw(st.integers(0, size))
    shards = [table] if draw(st.booleans()) else [table[:cut], table[cut:]]
    some = st.lists(st.sampled_from(others), max_size=1)
    dataset = {"group": group, "label": label, "classes": ["a", "b"], "metadata": draw(some)}
    dataset |= {"exclude": draw(some), "position": draw(st.sampled_from([None, None, *others]))}
    return shards, dataset


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tables())
def test_an_odd_table_is_planned_or_refused(made):
    shards, dataset = made
    with tempfile.TemporaryDirectory() as folder:
        for number, shard in enumerate(shards):
            pq.write_table(shard, Path(folder) / f"{number}.parquet")
        keys = {
            "dataset": dataset | {"path": folder},
            "learner": {"start_from": "none"},
            "batching": {"min_groups": 2, "min_positives": 0},
            "cv": {"n_splits": 2},
        }
        with suppress(InputError):
            assert trial_manifest(Settings.build(config.resolve(keys)), 4000, 1).height
