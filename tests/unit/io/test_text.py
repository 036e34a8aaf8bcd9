import gzip
import re

import pytest

from genebatch.io import text as text_blocks
from genebatch.io.files import InputError
from genebatch.io.text import line_blocks, read_columns, whole_text


@pytest.fixture
def file(tmp_path):
    def write(content, name="file.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def lines_of(path):
    blocks = list(line_blocks(path, "a poem", "poem.path"))
    numbers = [block.first + i for block in blocks for i in range(block.lines.len())]
    return numbers, [line for block in blocks for line in block.lines]


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("block", [1, 3, 1000])
def test_lines_and_their_numbers_do_not_depend_on_the_blocks(file, monkeypatch, block, ending):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", block)
    assert lines_of(file("one\n\nthree" + ending)) == ([1, 2, 3], ["one", "", "three"])


def test_gzip_byte_order_mark_and_windows_ends_are_taken_off(file):
    path = file(gzip.compress("\ufeffone\r\ntwo\r\n".encode()))
    assert lines_of(path) == ([1, 2], ["one", "two"])


def test_a_text_is_read_as_a_whole(file):
    assert whole_text(file(gzip.compress(b"a\r\n\nb")), "a list", "key") == "a\n\nb\n"


def test_several_gzip_members_are_one_text(file):
    path = file(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert lines_of(path) == ([1, 2], ["one", "two"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; wanted a poem; set poem.path"),
        (b"\xef\xbb\xbf", "is empty; wanted a poem; set poem.path"),
        (b"PAR1....", "is a Parquet file; wanted a poem, plain or gzip; set poem.path"),
        (gzip.compress(b"BAM\x01....", mtime=0), "is a BAM file; wanted a poem"),
        (b"PK\x03\x04....", "is a zip archive"),
        (b"a\0b", "is a binary file"),
        (b"one\ntwo\nth\xe9\n", "line 3: not UTF-8 text; convert the file"),
        (gzip.compress(b"line\n" * 9999, mtime=0)[:-20], "is truncated or damaged"),
        (gzip.compress(b"line\n" * 9999, mtime=0)[:40] + b"damage" * 9, "is truncated or damaged"),
    ],
)
def test_what_is_no_text_is_named(file, content, message):
    path = file(content)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}.*{message}"):
        lines_of(path)


def test_a_missing_file_names_the_key(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist; wanted a poem; set poem\.path"):
        lines_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a folder; wanted a poem"):
        lines_of(tmp_path)


def columns_of(path):
    return [row for t in read_columns(path, ("b", "a"), "a table", "k") for row in t.iter_rows()]


@pytest.mark.parametrize(
    "content", ["a\tc\tb\n1\t2\t3\n\n4\t5\t6\n", '"a","c","b"\n1,2,"3"\n\n4,5,6']
)
@pytest.mark.parametrize("block", [1, 1000])
def test_columns_are_found_by_name_and_keep_their_line_numbers(file, monkeypatch, content, block):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", block)
    assert columns_of(file(content)) == [(2, "3", "1"), (4, "6", "4")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a\tc\n1\t2\n",
            "line 1: the column 'b' is missing .columns: a, c.; wanted a table; set k",
        ),
        ("a;b\n1;2\n", "line 1: the column 'b' is missing .columns: a;b."),
        ("a\tb\n1\t2\n1\t2\t3\n", "line 3: 3 columns, wanted 2 as in the first line"),
        ("a\tb\n1 2\n", "line 2: 1 columns, wanted 2"),
    ],
)
def test_wrong_columns_are_named_with_their_line(file, content, message):
    with pytest.raises(InputError, match=message):
        columns_of(file(content))
