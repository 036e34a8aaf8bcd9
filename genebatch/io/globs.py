"""What the path of a table means by its words alone: folders, patterns and hidden names."""

import glob
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

HIDDEN = ("_", ".")
ESCAPED = re.compile(r"\[([*?[])]")  # as `glob.escape` writes a character


def root_of(path: str | Path) -> Path:
    """The folder below which a table lies: itself, that of a file, or what a glob begins with.

    Names that `glob.escape` has escaped are those of folders.
    """
    if Path(path).is_dir():
        return Path(path)
    if Path(path).is_file():
        return Path(path).parent
    parts = Path(path).parts
    magic = (n for n, part in enumerate(parts) if glob.has_magic(ESCAPED.sub("", part)))
    fixed = parts[: next(magic, len(parts))]
    return Path(*(ESCAPED.sub(r"\1", part) for part in fixed))


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is no data."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def may_read(path: str | Path, folder: str | Path, never: Sequence[str]) -> bool:
    """Tell whether a file that comes to be in a folder may be one of a table.

    Parameters
    ----------
    path
        The path of the table: file, folder or glob.
    folder
        A folder whose files are in folders of their own. It need not be there.
    never
        Endings that no file of the folder has.
    """
    if Path(path).is_file():
        return False
    root, folder = root_of(path), Path(folder).resolve()
    if not folder.is_relative_to(root.resolve()):
        return False
    below = folder.relative_to(root.resolve()).parts
    patterns = () if Path(path).is_dir() else Path(path).parts[len(root.parts) :]
    if not any(part.startswith(HIDDEN) for part in patterns) and any(map(is_hidden, below)):
        return False
    return not (patterns and patterns[-1].endswith(tuple(never))) and _may_match(patterns, below)


def _may_match(patterns: Sequence[str], below: Sequence[str]) -> bool:
    """Tell whether patterns may match a folder below the root of a glob, or what is in it."""
    if not patterns or patterns[0] == "**":
        return True  # a folder is read with all that is in it
    if not below:
        # In the folder itself are no tables, but folders.
        return len(patterns) > 1 or not re.fullmatch(r".*\.\w+", patterns[0])
    return fnmatchcase(below[0], patterns[0]) and _may_match(patterns[1:], below[1:])
