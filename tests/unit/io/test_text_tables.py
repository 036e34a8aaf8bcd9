"""Tables of text: ids come back as they stand, numbers are numbers, and all else is named."""

import gzip
import logging
import math
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.io import text_tables
from genebatch.io.files import InputError
from genebatch.io.tables import read_table
from genebatch.io.text_tables import is_text, seen_values, text_columns, text_frames, text_kinds


@pytest.fixture
def file(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, columns=("g", "x"), **identity):
    kinds = text_kinds(path, identity or {"g": "text"})
    return pl.concat(text_frames(path, columns, kinds))


@pytest.mark.parametrize(
    ("separator", "name"), [(",", "t.csv"), ("\t", "t.tsv"), (";", "t.csv"), (",", "T.CSV")]
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
def test_separators_ends_of_lines_and_compression_change_nothing(
    file, separator, name, ends, mark, packed
):
    lines = [("z", "g", "x"), ("1", "001", "0.5"), ("2", '"a b"', "2")]
    content = (mark + "".join(separator.join(line) + ends for line in lines)).encode()
    path = file(gzip.compress(content, mtime=0) if packed else content, name + ".gz" * packed)
    assert is_text(path)
    assert text_columns(path) == ["z", "g", "x"]
    assert read(path).to_dict(as_series=False) == {"g": ["001", "a b"], "x": [0.5, 2]}


@pytest.mark.parametrize("name", ["t.csv", "t.TSV", "t.csv.gz", "t.CSV.GZ", "t.txt", "t.tab"])
def test_tables_of_text_are_known_by_their_endings(tmp_path, name):
    assert is_text(tmp_path / name)
    assert not is_text(tmp_path / "t.parquet")


def test_a_parquet_file_is_one_under_any_name(tmp_path):
    pl.DataFrame({"g": [1]}).write_parquet(tmp_path / "t.csv")
    assert not is_text(tmp_path / "t.csv")


MISSING = ["", "NA", "na", "nan", "NaN", "NAN", "-nan", "NULL", "null", "None", " NA ", '"NA"']


@pytest.mark.parametrize("word", MISSING)
@pytest.mark.parametrize("first", [True, False])
def test_the_words_for_a_missing_number_are_missing(file, word, first):
    rows = ["a,1.5", f"b,{word}", "c,"]
    found = read(file("g,x\n" + "\n".join(rows[::-1] if first else rows) + "\n"))
    values = found["x"].fill_nan(None).drop_nulls().to_list()
    assert values == [1.5]


@pytest.mark.parametrize(
    ("word", "value"),
    [("+3", 3), (" 2 ", 2), ("1e3", 1000), ("-.5", -0.5), ("TRUE", 1), ("false", 0), ("7", 7)],
)
def test_what_programs_write_as_a_number_is_one(file, word, value):
    assert read(file(f"g,x\na,{word}\n"))["x"].to_list() == [value]


def test_infinity_is_read_as_such(file):
    assert read(file("g,x\na,inf\nb,-Inf\nc,Infinity\n"))["x"].to_list() == [
        math.inf,
        -math.inf,
        math.inf,
    ]


@pytest.mark.parametrize("word", ["abc", "0x1F", "1_000", "1 000", "1.5.2", "\u0661", "?", "-"])
def test_what_is_no_number_is_named_with_file_row_column_and_value(file, word, monkeypatch):
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 64)
    path = file("g,x\n" + "a,1\n" * 100 + f"b,{word}\n" + f"c,{word}\n")
    wanted = f"{path}, row 101 after the names: column 'x' holds {word!r}; wanted a number, or "
    with pytest.raises(InputError, match=re.escape(wanted + "empty, NA, NaN, NULL or None")):
        read(path)


def test_a_decimal_comma_is_named_as_such(file):
    with pytest.raises(InputError, match=r"column 'x' holds '1,5'; .* decimal point, not a comma"):
        read(file("g;x\na;1,5\n"))


IDS = ["001", "1e5", "12345678901234567890123", "NA", "nan", "TRUE", "-0", "+1", "1.0", "0x1"]


@pytest.mark.parametrize("identifier", IDS)
@pytest.mark.parametrize("kind", ["text", "integer", ""])
def test_ids_that_are_no_plain_whole_numbers_stay_text(file, identifier, kind):
    found = read(file(f"g,x\n7,1\n{identifier},2\n"), g=kind)
    assert found["g"].to_list() == ["7", identifier]


@pytest.mark.parametrize("kind", ["integer", ""])
def test_whole_numbers_are_whole_numbers_where_training_had_them(file, kind):
    path = file("g,x\n7,1\n-3,2\n,3\n123456789012345678,4\n")
    assert read(path, g=kind)["g"].to_list() == [7, -3, None, 123456789012345678]
    assert read(path, g="text")["g"].to_list() == ["7", "-3", None, "123456789012345678"]


def test_numbers_are_numbers_where_training_had_them(file):
    path = file("g,x\n7,1\n-3.25,2\n")
    assert read(path, g="number")["g"].to_list() == [7, -3.25]
    assert read(path, g="integer")["g"].to_list() == ["7", "-3.25"]


def test_one_late_id_decides_for_the_whole_column(file, monkeypatch):
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 64)
    path = file("g,x\n" + "7,1\n" * 200 + "g7,1\n")
    assert read(path, g="integer")["g"].dtype == pl.String


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("g,x,x\na,1,2\n", "has several columns 'x'; rename all but one"),
        ("g,y\na,1\n", "the table lacks 1 of the columns needed: 'x'"),
        ("g,x\na\n", "separated by a comma: CSV parse error: Row #2: Expected 2 columns, got 1"),
        ("g,x\na,1,2\n", "Expected 2 columns, got 3"),
        ('g,x\n"a,1\nb,2\n', "Expected 2 columns, got 1: .* A quote may not be closed: remove"),
        ('g,"x\na,1\n', "the first line opens a quote .'x'. and does not close it"),
        ("", "is empty; wanted a table with a line of names"),
        ("\ufeff", "is empty; wanted a table with a line of names"),
        ("g" * 200_000, "the first line holds no names of columns .field larger than field limit"),
        (b"g,x\n\xe9,1\n", "line 2: not UTF-8 text; convert the file"),
        (b"PK\x03\x04", "is a zip archive; wanted a table"),
        (gzip.compress(b"g,x\n" + b"a,1\n" * 9999, mtime=0)[:-9], "is truncated or damaged"),
        ("g,x\na,1\n".encode("utf-16"), "is UTF-16 text"),
    ],
)
def test_broken_tables_are_named(file, content, message):
    path = file(content)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        read(path)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_the_line_of_names_may_be_of_any_length(file, separator):
    names = [f"gene_{number:06d}" for number in range(20_000)]
    path = file(f"{separator.join(names)}\n")
    assert path.stat().st_size > 200_000
    assert text_columns(path) == names


def test_a_row_may_be_longer_than_a_block(file, monkeypatch):
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 64)
    names = ["g", *(f"x{number}" for number in range(20))]
    row = ",".join(["a", *["0.12345678901234"] * 20])
    assert len(row) > 300
    path = file(f"{','.join(names)}\n{row}\n{row}\n")
    assert read(path, names).row(1) == ("a", *[0.12345678901234] * 20)


def test_repeated_columns_that_are_not_needed_do_not_matter(file):
    assert read(file("g,x,y,y\na,1,2,3\n"))["x"].to_list() == [1]


def test_quoted_values_may_hold_separators_quotes_and_lines(file):
    found = read(file('g,x\n"a,b",1\n"c""d",2\n"two\nlines",3\n\n'))
    assert found["g"].to_list() == ["a,b", 'c"d', "two\nlines"]


ROWS = [["g", "x", "note"], ["a", "1", "p"], ["b", "2", "q"], ["c", "3", "r"], ["d", "4", "s"]]


def with_quotes(file, order, before, last="\n", separator="\t"):
    """A table whose column `note` has a quote before the values of some rows."""
    lines = []
    for row in ROWS:
        cells = dict(zip(ROWS[0], row, strict=True))
        cells["note"] = '"' * (cells["g"] in before) + cells["note"]
        lines.append(separator.join(cells[name] for name in order))
    return file("\n".join(lines) + last)


ORDERS = [("note", "g", "x"), ("g", "note", "x"), ("g", "x", "note"), ("g", "note"), ("note", "g")]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("columns", [("g", "note"), ("note",), ("g",)])
@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_stray_quote_swallows_no_row(file, order, columns, separator):
    path = with_quotes(file, order, before="bd", separator=separator)
    n_separators = 2 * (len(order) - 1)
    said = r"t\.csv, row 2 after the names: column 'note' begins with a quote \('q.*'\), and the "
    said += rf"row holds 2 line ends and {n_separators} separators, .* remove the .* as Parquet"
    for read_all in (
        lambda: list(text_frames(path, columns, dict.fromkeys(columns, pl.String()))),
        lambda: text_kinds(path, dict.fromkeys(columns, "")),
        lambda: seen_values([path], columns),
        lambda: list(read_table(path, columns, dict.fromkeys(columns, "text"))),
    ):
        with pytest.raises(InputError, match=said):
            read_all()


@pytest.mark.parametrize("order", [("g", "x", "note"), ("g", "note")])
@pytest.mark.parametrize("columns", [("g", "note"), ("g",)])
@pytest.mark.parametrize("last", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("before", ["a", "c", "d"])
def test_a_quote_that_is_open_until_the_end_is_named(file, order, columns, last, before):
    path = with_quotes(file, order, before, last)
    row = " abcd".index(before)
    said = f"row {row} after the names: column 'note' begins .* is not closed until the end of"
    with pytest.raises(InputError, match=said):
        read(path, columns, **dict.fromkeys(columns, "text"))


@pytest.mark.parametrize("last", ["", "\n"])
def test_a_quote_of_the_only_column_is_not_left_open(file, last):
    with pytest.raises(InputError, match="row 2 after the names: column 'g' begins with a quote"):
        read(file(f'g\na\n"b\nc{last}'), ["g"])
    assert read(file(f'g\na\n"b\nc"{last}'), ["g"])["g"].to_list() == ["a", "b\nc"]


@pytest.mark.parametrize("columns", [("g", "x"), ("g", "x", "note")])
def test_a_stray_quote_is_found_behind_the_first_piece(file, columns, monkeypatch):
    monkeypatch.setattr(text_tables, "BLOCK_BYTES", 64)
    many, some = "a,1,p\n" * 50, "a,1,p\n" * 3
    path = file("g,x,note\n" + many + 'b,2,"q\n' + some + 'c,3,"r\n' + many)
    with pytest.raises(InputError, match="row 51 after the names: column 'note' begins"):
        read(path, columns, g="text", note="text")
    path = file("g,x,note\n" + many + 'b,2,"q\n' + many)
    with pytest.raises(InputError, match=r"row 51 .* longer than 96 bytes, as if a quote were not"):
        read(path, columns, g="text", note="text")


CELLS = st.text('a"', max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=9), st.booleans())
def test_each_line_is_a_row_or_the_table_is_refused(tmp_path_factory, rows, ended):
    path = tmp_path_factory.mktemp("t") / "t.tsv"
    lines = ["\t".join(row) for row in [("b", "c", "d", "e"), *rows]]
    path.write_text("\n".join(lines) + "\n" * ended)
    try:
        found = pl.concat(text_frames(path, ["c"], {"c": pl.String()}))
    except InputError:
        return
    assert found.height == len(rows)


def test_line_ends_of_values_are_told_once_and_counted_by_column(file, caplog):
    caplog.set_level(logging.INFO)
    content = 'g,x,"y","note"\n"a\nb",1,,"two\nlines, or so"\nc,2,,one\nd,3,,"\n"\n'
    path = file(content)
    assert read(path)["g"].to_list() == ["a\nb", "c", "d"]
    assert caplog.messages == [f"{path}: 3 values hold line ends: 'g' 1, 'note' 2"]
    caplog.clear()
    read(file("g,x\n\na,1\r\n\n"))
    assert not caplog.messages


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False), st.none(), st.integers(-(2**53), 2**53)), min_size=1
    ),
    st.sampled_from(",;\t"),
)
def test_numbers_come_back_to_the_bit(tmp_path_factory, values, separator):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    frame = pl.DataFrame({"g": "a", "x": pl.Series(values, dtype=pl.Float64, strict=False)})
    frame.write_csv(path, separator=separator)
    found = read(path)["x"].to_numpy()
    np.testing.assert_array_equal(found, frame["x"].to_numpy())
