"""Reads tables of text: values separated by commas, tabs or semicolons, plain or gzip."""

import csv
import logging
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from genebatch.io.columns import check_needed
from genebatch.io.files import InputError, first_names
from genebatch.io.text import line_blocks, open_bytes, read_bytes

ENDINGS = (".csv", ".tsv", ".txt", ".tab")
SEPARATORS = {",": "a comma", "\t": "a tab", ";": "a semicolon"}
WANTED = "a table with a line of names and a line for each row"
KEY = "predict.tables, or the table given"
# Of text, decoded at once; 400 rows of 1,167 columns. Arrow reads 32 blocks ahead.
BLOCK_BYTES = 4 << 20
VALUE_BYTES = 32  # of text, on average, that a block has room for in a row
# How R, pandas, numpy, SQL and Python write a missing number, in any case.
MISSING = ("", "na", "nan", "null", "none")
# Each value of a row that is read behind the last one: an open quote would hold it.
END = "\x1a"
REMEDY = "remove the quote, or put the whole value in quotes and write those inside of it twice"
TRUTH = {"true": 1.0, "false": 0.0}
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
# A whole number that no other text stands for: not 001, 1e5 or more digits than 64 bits hold.
WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
# Types of whole numbers with their least and largest value, the smallest first.
WHOLE_KINDS = (
    (pl.UInt8(), 0, 2**8 - 1),
    (pl.UInt16(), 0, 2**16 - 1),
    (pl.Int32(), -(2**31), 2**31 - 1),
    (pl.Int64(), -(2**53), 2**53),  # what a float64 holds exactly
)

log = logging.getLogger(__name__)


def named_as_text(name: str) -> bool:
    """Tell whether a file name is that of a table of text."""
    return name.lower().removesuffix(".gz").endswith(ENDINGS)


def is_text(path: str | Path) -> bool:
    """Tell whether a file is named as a table of text; a Parquet file is one under any name."""
    if not named_as_text(str(path)):
        return False
    if not Path(path).is_file():
        return True
    with open(path, "rb") as stream:
        return stream.read(4) != b"PAR1"


def text_columns(path: str | Path) -> list[str]:
    """Names of the columns of a table of text."""
    return _head(path)[1]


def text_frames(
    path: str | Path, columns: Sequence[str], kinds: Mapping[str, pl.DataType]
) -> Iterator[pl.DataFrame]:
    """Stream columns of a table of text: numbers as float64, identity columns as `text_kinds` says.

    Holds 32 blocks of `BLOCK_BYTES`, and the numbers of one.

    Parameters
    ----------
    path
        Values are separated by what separates most names in the first line. A value may be quoted,
        and hold separators and line ends then. How many hold line ends is logged.
    columns
        Columns that must be there. Empty, NA, NaN, NULL and None are missing.
    kinds
        Those of `columns` that are no numbers to compute with, and their types.

    Raises
    ------
    InputError
        If the file is broken, a column is missing or repeated, a value is no number, or a quote is
        not closed. The message names the row, the column and the value.
    """
    separator, names = _head(path)
    check_needed(columns, names, str(path))
    first, broken = 1, Counter[str]()
    for texts in _texts(path, separator, names, columns, broken):
        yield pl.DataFrame(
            {
                name: _identity(_column(texts, name), kinds[name])
                if name in kinds
                else _numbers(_column(texts, name), path, first)
                for name in columns
            }
        )
        first += texts.num_rows
    if broken:
        shown = first_names(f"{name!r} {count:,}" for name, count in broken.items())
        log.info("%s: %s values hold line ends: %s", path, f"{broken.total():,}", shown)


def _head(path: str | Path) -> tuple[str, list[str]]:
    """The separator, and the names in the first line."""
    line = next(line_blocks(path, WANTED, KEY)).lines[0].partition("\r")[0]
    parsed, fact = {}, None
    for mark in SEPARATORS:
        try:
            parsed[mark] = next(csv.reader([line, END], delimiter=mark))
        except csv.Error as error:  # a name of more than 131,072 characters
            fact = error
    if not parsed:
        raise InputError(
            f"{path}: the first line holds no names of columns ({fact}); wanted {WANTED}; set {KEY}"
        ) from fact
    separator = max(parsed, key=lambda mark: len(parsed[mark]))
    names = parsed[separator] or [""]
    if names[-1].endswith(END):
        raise InputError(
            f"{path}: the first line opens a quote ({names[-1].removesuffix(END)[:40]!r}) and does "
            f"not close it; a name of a column holds no line end: {REMEDY}"
        )
    return separator, names


def text_kinds(path: str | Path, identity: Mapping[str, str]) -> dict[str, pl.DataType]:
    """Choose the types of identity columns: a number only if every value comes back from it.

    Reads those columns, unless all of them are text.

    Parameters
    ----------
    path
        The file; columns that it lacks are left out.
    identity
        Identity columns, and what they were in training: "text", "integer", "number", or "" where
        that is not known. Text stays text. Other columns are text too if a value is such as 001,
        1e5 or longer than 18 digits.
    """
    separator, names = _head(path)
    present = [name for name in identity if names.count(name) == 1]
    kinds: dict[str, pl.DataType] = {name: pl.String() for name in present}
    open_ends = [name for name in present if identity[name] != "text"]
    if not open_ends:
        return kinds
    whole, number = dict.fromkeys(open_ends, True), dict.fromkeys(open_ends, True)
    for texts in _texts(path, separator, names, open_ends, Counter()):
        for name in open_ends:
            values = _column(texts, name)
            values = values.filter(values != "")
            whole[name] &= values.str.contains(WHOLE).all()
            number[name] &= values.str.contains(NUMBER).all()
    for name in open_ends:
        if whole[name]:
            kinds[name] = pl.Int64()
        elif number[name] and identity[name] == "number":
            kinds[name] = pl.Float64()
    return kinds


class Values(NamedTuple):
    """What was seen of the values of a column in some files.

    Attributes
    ----------
    whole
        Whether all are whole numbers and none is missing.
    low, high
        The smallest and the largest number, and 0.
    number_in
        The first file with a number, or None.
    text_in
        The first file with a value that is no number, and that value, or None.
    """

    whole: bool = True
    low: float = 0.0
    high: float = 0.0
    number_in: Path | None = None
    text_in: tuple[Path, str] | None = None

    @property
    def kind(self) -> pl.DataType:
        """The smallest type of whole numbers that fits, float64 for other numbers, or text."""
        if self.text_in is not None:
            return pl.String()
        for kind, low, high in WHOLE_KINDS:
            if self.whole and low <= self.low and self.high <= high:
                return kind
        return pl.Float64()

    def with_values(self, values: pl.Series, path: Path) -> Self:
        """Take in values of the column in a file."""
        if self.text_in is not None and self.number_in is not None:
            return self
        numbers = values.cast(pl.Float64, strict=False).fill_nan(None)
        lacking = numbers.null_count() > 0
        others = values.filter(numbers.is_null()).unique().to_list() if lacking else []
        given = {text: _number(text.strip().lower()) for text in others if not _is_missing(text)}
        words = [text for text, number in given.items() if number is None]
        low, high = numbers.min(), numbers.max()
        any_number = low is not None or len(words) < len(given)
        return type(self)(
            self.whole and not others and bool(((numbers % 1) == 0).all()),
            min(self.low, 0.0 if low is None else low),
            max(self.high, 0.0 if high is None else high),
            self.number_in or (path if any_number else None),
            self.text_in or ((path, min(words)) if words else None),
        )


def seen_values(paths: Iterable[str | Path], columns: Sequence[str]) -> dict[str, Values]:
    """Look at every value of some columns in several tables of text.

    Reads each file once. Holds 32 blocks of `BLOCK_BYTES`, and the numbers of one.

    Raises
    ------
    InputError
        If a file is broken or a name is missing or repeated.
    """
    seen = dict.fromkeys(columns, Values())
    for path in map(Path, paths):
        separator, names = _head(path)
        check_needed(columns, names, str(path))
        for texts in _texts(path, separator, names, columns, Counter()):
            for name in columns:
                seen[name] = seen[name].with_values(_column(texts, name), path)
    return seen


def _is_missing(text: str) -> bool:
    return text.strip().lower() in MISSING


def _texts(
    path: str | Path,
    separator: str,
    names: Sequence[str],
    columns: Sequence[str],
    broken: Counter[str],
) -> Iterator[pa.RecordBatch]:
    """Stream columns as text, exactly as they stand in the file.

    `broken` counts the values of each column of the file that hold line ends. A row that holds
    further rows in such values is refused; if they may be in other columns, behind the last row.
    """
    wanted = [names.index(name) for name in columns]
    some = len(set(wanted)) < len(names)
    with open_bytes(path, WANTED, KEY) as opened:
        stream = _Ended(opened, path, separator, len(names))
        for texts in _checked(stream, names, wanted, Counter() if some else broken):
            yield texts.rename_columns(list(columns))
    if some and stream.rows != stream.line_feeds:  # there are blank lines, or line ends in values
        with open_bytes(path, WANTED, KEY) as opened:
            again = _Ended(opened, path, separator, len(names))
            deque(_checked(again, names, range(len(names)), broken), maxlen=0)


class _Ended:
    """A table of text with a further row behind its last one, each value of which is `END`.

    Attributes
    ----------
    line_feeds
        How many were read, that of the line of names too.
    rows
        How many were read, the further one too: as many, if each line is a row.
    """

    closed = False  # as pyarrow asks

    def __init__(self, stream: BinaryIO, path: str | Path, separator: str, n_columns: int):
        self.path, self.separator, self.n_columns = path, separator, n_columns
        self.line_feeds = self.rows = 0
        self._stream = stream
        self._last = b""
        self._end: bytes | None = None

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        data = b"" if self._end is not None else read_bytes(self._stream, size, self.path)
        if not data:
            data = self._rest()
            data, self._end = data[:size], data[size:]
        self.line_feeds += data.count(b"\n")
        self._last = data[-1:]
        return data

    def _rest(self) -> bytes:
        if self._end is None:
            row = self.separator.join([END] * self.n_columns).encode()
            return row if self._last == b"\n" else b"\n" + row
        return self._end


def _checked(
    stream: _Ended, names: Sequence[str], wanted: Sequence[int], broken: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """Stream columns, called by their numbers, and refuse a row that holds further rows."""
    columns = list(map(str, wanted))
    # Numbers in place of the names, as Arrow refuses a repeated name of a column not wanted.
    reading = arrow_csv.ReadOptions(
        block_size=_block_bytes(len(names)),
        skip_rows=1,
        column_names=list(map(str, range(len(names)))),
        use_threads=False,
    )
    parsing = arrow_csv.ParseOptions(delimiter=stream.separator, newlines_in_values=True)
    converting = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=columns,
        strings_can_be_null=False,
    )
    first = 1
    try:
        with arrow_csv.open_csv(stream, reading, parsing, converting, _pool()) as batches:
            for batch in batches:
                stream.rows += batch.num_rows
                texts = [name for name in columns if _has_line_end(batch.column(name))]
                if texts:
                    frame = pl.from_arrow(batch)
                    ends = frame.select(pl.col(texts).str.count_matches(r"[\r\n]+"))
                    _refuse_rows_inside(frame, ends, names, stream, first)
                    broken.update({names[int(name)]: (ends[name] > 0).sum() for name in texts})
                if batch.num_rows and {values[-1].as_py() for values in batch.columns} == {END}:
                    batch = batch.slice(0, batch.num_rows - 1)
                if batch.num_rows:
                    yield batch
                first += batch.num_rows
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{stream.path} cannot be read as a table separated by {SEPARATORS[stream.separator]}: "
            f"{_fact(error, first, stream.n_columns)}"
        ) from error


def _block_bytes(n_columns: int) -> int:
    """Bytes of text that are decoded at once: a row of so many columns at least."""
    return max(BLOCK_BYTES, VALUE_BYTES * n_columns)


def _pool() -> pa.MemoryPool:
    """Memory for Arrow's text, where what is given back can be taken again.

    Arrow takes a whole block for each column, and gives back what the column does not fill. With
    the system's allocator 3,000 columns held 0.5 GB and reserved 180, with Arrow's own 0.3 and 1.5.
    """
    own = "mimalloc" in pa.supported_memory_backends()
    return pa.mimalloc_memory_pool() if own else pa.default_memory_pool()


def _column(texts: pa.RecordBatch, name: str) -> pl.Series:
    """A column as polars has it, alone: its text takes several times as much as Arrow's."""
    return pl.Series(name, pl.from_arrow(texts[name]))


def _has_line_end(values: pa.Array) -> bool:
    """Tell whether any of the values holds a line end, by all their bytes at once."""
    data = values.buffers()[2]
    text = b"" if data is None else data.to_pybytes()
    return b"\n" in text or b"\r" in text


def _refuse_rows_inside(
    frame: pl.DataFrame, ends: pl.DataFrame, names: Sequence[str], stream: _Ended, first: int
) -> None:
    """Refuse a row whose values hold line ends, and for each as many separators as a row has.

    A quote that is opened by mistake ends at the next quote, in a later row or at the end of the
    file. All that stands between is one value. `ends` has how many line ends the values of some
    columns hold, of which blank lines are none. `first` is the number of the first row.
    """
    held = ends.sum_horizontal()
    texts = frame.filter(held > 0)
    marks = pl.all().str.count_matches(stream.separator, literal=True)
    separators = texts.select(marks).sum_horizontal()
    open_quote = texts.select(pl.any_horizontal(pl.col(ends.columns).str.contains(END))).to_series()
    needed = held.filter(held > 0) * (stream.n_columns - 1)
    wrong = open_quote | ((separators >= needed) & (stream.n_columns > 1))
    if not wrong.any():
        return
    number = int(wrong.arg_max())
    row = int((held > 0).arg_true()[number])
    column = next(name for name in ends.columns if ends[name][row])
    begin = frame[column][row].splitlines()[0][:40]
    where = (
        f"{stream.path}, row {first + row:,} after the names: column '{names[int(column)]}' begins "
        f"with a quote ({begin!r})"
    )
    if open_quote[number]:
        raise InputError(f"{where} that is not closed until the end of the file; {REMEDY}")
    raise InputError(
        f"{where}, and the row holds {held[row]:,} line ends and {separators[number]:,} "
        f"separators, as if further rows were in it; {REMEDY}, or write the table as Parquet"
    )


def _fact(error: Exception, first: int, n_columns: int) -> str:
    """What Arrow says, where the first row is the line of names; `first` is the next row."""
    text = str(error).partition("\n")[0]
    if "UTF8" in text:
        return "it is not UTF-8 text; convert it, for example `iconv -f latin1 -t utf-8`"
    if "straddling" in text:
        return (
            f"row {first:,} after the names, or one of the next, is longer than "
            f"{_block_bytes(n_columns):,} bytes, as if a quote were not closed; {REMEDY}"
        )
    if '"' in text:
        return f"{text}. A quote may not be closed: {REMEDY}"
    return text


def _identity(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """An identity column as its type; empty is missing."""
    return values.set(values == "", None).cast(kind)


def _numbers(values: pl.Series, path: str | Path, first: int) -> pl.Series:
    """Read text as numbers; `first` is the number of its first row, counted from 1."""
    numbers = values.cast(pl.Float64, strict=False)
    if not numbers.null_count():
        return numbers
    others = values.filter(numbers.is_null()).unique()
    known = {text: text.strip().lower() for text in others.to_list()}
    given = {text: _number(word) for text, word in known.items() if word not in MISSING}
    for text, number in given.items():
        if number is None:
            row = first + int((values == text).arg_max())
            raise InputError(
                f"{path}, row {row:,} after the names: column '{values.name}' holds {text!r}; "
                f"wanted a number, or empty, NA, NaN, NULL or None where it is missing"
                f"{_hint(text)}"
            )
    if given:
        read = values.replace_strict(given, default=None, return_dtype=pl.Float64)
        numbers = numbers.fill_null(read)
    return numbers


def _number(word: str) -> float | None:
    """The number that a word in small letters stands for; None if it stands for none."""
    if word in TRUTH:
        return TRUTH[word]
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None


def _hint(text: str) -> str:
    if DECIMAL_COMMA.fullmatch(text.strip()):
        return "; write numbers with a decimal point, not a comma"
    return ""
