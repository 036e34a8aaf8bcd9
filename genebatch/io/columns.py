"""Checks that the columns that are needed are in a table, and each of them once."""

import difflib
from collections import Counter
from collections.abc import Sequence

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
