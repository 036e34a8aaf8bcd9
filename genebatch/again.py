"""Says how a run is started again, in a command that can be pasted."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator

from genebatch.cli import command_parser
from genebatch.jobs.run import TOLD

# Options of Snakemake that repeat what is finished. The last two take rules and files.
FORCING = ("--forceall", "-F", "--force", "-f")
FORCING_SOME = ("--forcerun", "-R")


def again(*further: str) -> str:
    """The command that started this run, for a shell, without what repeats finished jobs.

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
    return shlex.join([word for word in own if word != "--"] + (["--", *added] if added else []))


def _unforced(words: Iterable[str]) -> Iterator[str]:
    """Arguments of Snakemake without those that force jobs."""
    forced = False
    for word in words:
        if word.startswith("-"):
            forced = word in FORCING_SOME
            if not forced and word not in FORCING and not word.startswith("--forcerun="):
                yield word
        elif not forced:
            yield word
