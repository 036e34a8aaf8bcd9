"""Every column of the input table has one role."""

import pyarrow as pa
import pytest

from genebatch.config.settings import Labels, Table
from genebatch.dataset.columns import assign_roles, match_columns
from genebatch.io.files import InputError

SCHEMA = pa.schema(
    [
        ("gene", pa.string()),
        ("type", pa.string()),
        ("weight", pa.float64()),
        ("position", pa.int64()),
        ("p_yes", pa.float32()),
        ("p_no", pa.float32()),
        ("chrom", pa.string()),
        ("chrom_size", pa.int64()),
        ("signal", pa.float32()),
        ("flag", pa.bool_()),
    ]
)
LABELS = Labels(
    group="gene",
    label="type",
    classes=("no", "yes"),
    null_label=None,
    rest_class=None,
    scores={"yes": "p_yes", "no": "p_no"},
    weight="weight",
    position="position",
)
TABLE = Table("data", LABELS, ("chrom*",), ("flag",), "error", ())


def with_keys(**keys):
    """The section `dataset` with other keys."""
    return Table.build(TABLE.plain() | keys)


def test_every_column_has_one_role():
    roles = assign_roles(SCHEMA, TABLE)
    assert roles.metadata == ["chrom", "chrom_size"]
    assert roles.excluded == ["flag"]
    assert roles.candidates == ["p_yes", "p_no", "signal"]
    named = [roles.group, roles.label, roles.weight, roles.position]
    everything = [*named, *roles.metadata, *roles.excluded, *roles.candidates]
    assert sorted(everything) == sorted(SCHEMA.names)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"group": "gena"}, r"'gena' is missing .*gene.*set dataset\.group"),
        ({"label": "typ"}, r"'typ' is missing .*type.*set dataset\.label"),
        ({"weight": "wieght"}, r"'wieght' is missing .*weight.*set dataset\.weight"),
        ({"position": "pos"}, r"'pos' is missing .*set dataset\.position"),
        ({"scores": {"yes": "p_yess", "no": "p_no"}}, r"p_yess.*set dataset\.scores\.yes"),
        ({"metadata": ["chrm"]}, r"'chrm' is missing .*chrom.*set dataset\.metadata"),
        ({"exclude": ["flg"]}, r"'flg' is missing .*flag.*set dataset\.exclude"),
        ({"metadata": []}, r"'chrom' \(string\) cannot be features.*dataset\.metadata or"),
        ({"weight": "chrom"}, r"'chrom' is string, but dataset\.weight must hold numbers"),
        ({"position": "chrom"}, r"'chrom' is string, but dataset\.position must hold numbers"),
        ({"label": "signal"}, r"'signal' is float, but dataset\.label must hold text or whole"),
        ({"group": "signal"}, r"'signal' is float, but dataset\.group must hold text or whole"),
        ({"exclude": ["p_*"]}, r"'p_yes' is dataset\.scores\.yes and in dataset\.exclude too"),
        ({"metadata": ["p_no", "chrom*"]}, r"'p_no' is dataset\.scores\.no and in dataset\.meta"),
    ],
)
def test_a_wrong_role_names_column_and_key(keys, message):
    with pytest.raises(InputError, match=message):
        assign_roles(SCHEMA, with_keys(**keys))


def test_a_pattern_may_match_nothing_but_a_name_may_not():
    assert match_columns(["z*", "b"], ["a", "b"], "screen.keep") == ["b"]
    with pytest.raises(InputError, match=r"'z' is missing .*screen\.keep"):
        match_columns(["z"], ["a", "b"], "screen.keep")


AWKWARD = ["dist to TSS [bp]", "a*", "what?", "[x]", "[!x]", "a[", "]"]


@pytest.mark.parametrize("name", AWKWARD)
def test_an_exact_name_matches_itself_before_patterns(name):
    columns = ["ab", "a", "x", "what1", "b", "p", *AWKWARD]
    assert match_columns([name], columns, "dataset.exclude") == [name]


def test_a_pattern_that_matches_nothing_is_told(caplog):
    assert match_columns(["dist to [bp]"], ["a", "b"], "dataset.exclude") == []
    assert "'dist to [bp]' of dataset.exclude matches no column" in caplog.text


@pytest.mark.parametrize("name", ["", "*", "^x$", "^.*$", "(start)"])
def test_a_name_that_means_something_else_is_refused_or_excluded(name):
    """Polars takes some names for patterns, also in methods of a column of that name."""
    schema = SCHEMA.append(pa.field(name, pa.float32()))
    with pytest.raises(InputError, match=r"rename it in the table, or list it in dataset\.exclude"):
        assign_roles(schema, TABLE)
    roles = assign_roles(schema, with_keys(exclude=["flag", name]))
    assert name not in roles.candidates


def test_categories_are_candidates_of_any_text_or_whole_number():
    fields = [("c_text", pa.string()), ("c_code", pa.int8()), ("c_flag", pa.bool_())]
    schema = pa.schema([*SCHEMA, *fields])
    roles = assign_roles(schema, with_keys(categorical=["c_*"]))
    assert roles.categorical == ["c_text", "c_code", "c_flag"]
    assert set(roles.categorical) <= set(roles.candidates)
    some = assign_roles(schema, with_keys(categorical=["c_*"], exclude=["flag", "c_code"]))
    assert some.categorical == ["c_text", "c_flag"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chrom", "'chrom' is in dataset.categorical and in dataset.metadata too"),
        (LABELS.label, "is in dataset.categorical and in dataset.label too"),
        ("c_share", r"'c_share' \(float\) cannot be in dataset.categorical; categories are text"),
        ("absent", "column 'absent' is missing .* set dataset.categorical"),
    ],
)
def test_what_cannot_be_a_category_is_refused(name, message):
    schema = pa.schema([*SCHEMA, ("c_share", pa.float32())])
    with pytest.raises(InputError, match=message):
        assign_roles(schema, with_keys(categorical=[name]))
