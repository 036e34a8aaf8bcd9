"""Says how a run is started again, in a command that can be pasted."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator

from genebatch.cli import command_parser
from genebatch.jobs.run import TOLD

# Options of Snakemake that repeat what is finished, or run nothing. The last two take names.
FORCING = ("--forceall", "-F", "--force", "-f")
DRY = ("--dry-run", "--dryrun", "-n")
FORCING_SOME = ("--forcerun", "-R")


def again(*further: str) -> str:
    """The command of this run, for a shell, without what repeats finished jobs or runs nothing.

    Parameters
    ----------
    further
        Arguments for Snakemake that are added.
    """
    told = shlex.split(os.environ.get(TOLD, ""))
    if not told:
        return shlex.join(["snakemake", *_unforced(sys.argv[1:]), *further])
    given = command_parser().parse_args(told[1:]).snakemake
    own = told[: len(told) - len(given)]
    added = [*_unforced(word for word in given if word != "--"), *further]
    kept = [word for word in own if word not in ("--", *DRY)]
    return shlex.join(kept + (["--", *added] if added else []))


def _unforced(words: Iterable[str]) -> Iterator[str]:
    """Arguments of Snakemake without those that force jobs or run none."""
    forced = False
    for word in words:
        if word.startswith("-"):
            forced = word in FORCING_SOME
            if not forced and word not in (*FORCING, *DRY) and not word.startswith("--forcerun="):
                yield word
        elif not forced:
            yield word
