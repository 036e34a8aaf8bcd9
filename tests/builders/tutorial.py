"""Follows a page of the documentation: runs its commands, and compares what they print."""

import contextlib
import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from genebatch.cli import main

BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = set("|&;<>$`\\")  # what a shell reads as something else than a word


class Step(NamedTuple):
    """A block of commands, and the lines that the page shows as their output."""

    language: str
    code: str
    shown: list[str]


def steps(page: Path) -> list[Step]:
    """Every block of commands of a page, in order; a block of text is the output of the last."""
    found: list[Step] = []
    for language, content in BLOCK.findall(page.read_text()):
        if language == "text":
            found[-1].shown.extend(content.splitlines())
        else:
            found.append(Step(language, content, []))
    return found


def written(page: Path, name: str) -> str:
    """The file that a page writes by `cat > NAME <<'END'`."""
    (text,) = re.findall(rf"^cat > {name} <<'END'\n(.*?)^END$", page.read_text(), re.M | re.S)
    return text


def follow(
    page: Path, folder: Path, programs: Path, run: Callable[[list[str]], str] | None = None
) -> str:
    """Do what a page says in a folder, and compare what is printed with what the page shows.

    Gives everything that was printed.

    Parameters
    ----------
    programs
        The folder `bin` of the environment that the page is followed in.
    run
        Given the arguments of each `genebatch run`, gives what that prints. Other commands of
        genebatch then run in this process, which saves their imports. Without it every block is
        pasted into a shell.
    """
    everything = []
    for step in steps(page):
        if run is not None and step.code.startswith("genebatch "):
            commands = [shlex.split(line)[1:] for line in step.code.splitlines()]
            printed = "".join(run(c) if c[0] == "run" else here(c, folder) for c in commands)
        else:
            printed = in_a_process(step, folder, programs)
        line = first_missing(step.shown, printed)
        assert line is None, f"{page.name} shows\n{line}\nbut this was printed:\n{printed}"
        everything.append(printed)
    return "".join(everything)


def in_a_process(step: Step, folder: Path, programs: Path) -> str:
    """Run a block as a user would who pastes it into a shell, or into Python."""
    python = [str(programs / "python"), "-c"]
    shells = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": python}
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    given = {name: value for name, value in os.environ.items() if name not in hidden}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*shells[step.language], step.code],
        cwd=folder,
        env=given | {"PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{step.code}\n{done.stdout}"
    return done.stdout


def here(command: list[str], folder: Path) -> str:
    """Run a command of genebatch in this process."""
    assert not SHELL & set("".join(command)), f"{command} needs a shell; give it a block of its own"
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        assert main(command) == 0, command
    return printed.getvalue()


def first_missing(shown: list[str], printed: str) -> str | None:
    """The first line of a page that was not printed, in the order of the page.

    `…` stands for any part of a line, and alone for any lines.
    """
    lines = iter(printed.splitlines())
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
        if line.strip() != "…" and not any(pattern.fullmatch(each.rstrip()) for each in lines):
            return line
    return None
