"""Starts Snakemake on the workflow with the flags that a run needs, and says how to start again."""

import argparse
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from genebatch.config.places import profile, program, snakefile
from genebatch.config.schema import read_file
from genebatch.io.files import InputError
from genebatch.jobs.run import TOLD

# Options of Snakemake that repeat what is finished, or run nothing. The last two take names.
FORCING = ("--forceall", "-F", "--force", "-f")
DRY = ("--dry-run", "--dryrun", "-n")
FORCING_SOME = ("--forcerun", "-R")
UNITS = {"": 1.0, "m": 1.0, "g": 1000.0, "t": 1e6}  # MB, as Snakemake and SLURM count them
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([mgt]?)i?b?\s*", re.IGNORECASE)


def memory_mb(text: str) -> int:
    """Megabytes of a size such as `32G`, `8GB`, `500M` or `16000`.

    Raises
    ------
    InputError
        If it is no size.
    """
    found = SIZE.fullmatch(text)
    size = float(found[1]) * UNITS[found[2].lower()] if found else 0.0
    if size < 1:
        raise InputError(f"--memory {text}: wanted a size such as 32G, 500M, or 16000 (in MB)")
    return int(size)


def usable_cores() -> int:
    """Cores that this process may use. macOS gives every process all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def command_line(options: argparse.Namespace) -> list[str]:
    """Give the command that starts Snakemake; see `genebatch run --help`.

    Raises
    ------
    InputError
        If a configuration file is missing, or the memory is no size.
    """
    files = [Path(file) for file in options.configfile or ()]
    for file in files:
        if not file.is_file():
            raise InputError(f"--configfile {file}: there is no such file")
    default = Path(options.directory or ".") / "config" / "config.yaml"
    if not files and not default.is_file():
        raise InputError(
            f"name a configuration (--configfile), or write one as {default}: "
            "`genebatch config > my.yaml` has every key with its meaning"
        )
    for file in files or [default]:
        read_file(file)  # Snakemake does not say in which line a fault is
    cores = usable_cores() if options.cores is None else options.cores
    command = ["snakemake", "--snakefile", str(snakefile())]
    # None of these is the last option: it would take the targets that follow for its own.
    if files:
        command += ["--configfile", *(str(file.resolve()) for file in files)]
    if options.memory is not None:
        command += ["--resources", f"mem_mb={memory_mb(options.memory)}"]
    command += ["--logger", "genebatch"]
    command += ["--workflow-profile", str(profile()), "--cores", str(cores)]
    if options.verbose:
        command.append("--logger-genebatch-chatter")
    if options.directory is not None:
        command += ["--directory", options.directory]
    if options.dry_run:
        command.append("--dry-run")
    return [*command, *_of_snakemake(options)]


def _of_snakemake(options: argparse.Namespace) -> list[str]:
    """The arguments behind those of `genebatch run`, with dashes in front of them or not."""
    further = options.snakemake
    return further[1:] if further[:1] == ["--"] else further


def start(options: argparse.Namespace) -> None:
    """Print the Snakemake command of a run as it can be pasted, and become it.

    Raises
    ------
    InputError
        If Snakemake is not installed, and as `command_line`.
    """
    command = command_line(options)
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("snakemake is not installed in this environment: pip install genebatch")
    print(shlex.join(command), flush=True)
    own = sys.argv[1 : len(sys.argv) - len(options.snakemake)]
    os.environ[TOLD] = shlex.join([program(), *own, "--", *_of_snakemake(options)])
    # -P: else modules of the user's folder come first, for example their own random.py.
    os.execv(sys.executable, [sys.executable, "-P", "-m", *command])


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
    dashes = told.index("--")
    added = [*_unforced(told[dashes + 1 :]), *further]
    own = [word for word in told[:dashes] if word not in DRY]
    return shlex.join(own + (["--", *added] if added else []))


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
