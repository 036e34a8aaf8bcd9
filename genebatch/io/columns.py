"""Checks that the columns that are needed are in a table, each of them once, and are numbers."""

import difflib
from collections import Counter
from collections.abc import Sequence

import polars as pl

from genebatch.io.files import InputError


def check_lacking(wanted: Sequence[str], columns: Sequence[str]) -> None:
    """Raise unless all `wanted` are among `columns`; the message names those that are not."""
    present = set(columns)
    lacking = [name for name in wanted if name not in present]
    if not lacking:
        return
    shown = ", ".join(f"'{name}'" for name in lacking[:8]) + (" ..." if len(lacking) > 8 else "")
    near = difflib.get_close_matches(lacking[0], columns, n=1)
    hint = f"; nearest to '{lacking[0]}' is '{near[0]}'" if near else ""
    raise InputError(f"the table lacks {len(lacking)} of the columns needed: {shown}{hint}")


def check_needed(wanted: Sequence[str], columns: Sequence[str], source: str = "") -> None:
    """Raise unless each of `wanted` is among `columns`, and once; others may repeat.

    Parameters
    ----------
    wanted, columns
        Names that are needed, and names that are there.
    source
        The file, for the message.
    """
    try:
        check_lacking(wanted, columns)
    except InputError as error:
        raise InputError(f"{source}: {error}" if source else str(error)) from error
    times = Counter(columns)
    repeated = [name for name in wanted if times[name] > 1]
    if repeated:
        raise InputError(
            f"{source or 'the table'} has several columns '{repeated[0]}'; rename all but one"
        )


def is_number(kind: pl.DataType) -> bool:
    """Tell whether a column of this type can be computed with; one of nulls can."""
    return kind.is_numeric() or kind in (pl.Boolean, pl.Null)


def no_number(values: pl.Series) -> str:
    """Say what a column holds in place of numbers, with the first value that is none."""
    wrong = values.drop_nulls()
    if wrong.dtype == pl.String:
        wrong = wrong.filter(wrong.cast(pl.Float64, strict=False).is_null())
    first = f", such as {wrong[0]!r}" if wrong.len() else ""
    return (
        f"column '{values.name}' holds {values.dtype}{first}, but it must be a number; convert the "
        "column to numbers, with null or NaN where they are missing"
    )
