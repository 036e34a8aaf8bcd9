"""Finds the files of the workflow: beside the package in a checkout, else inside of it."""

import os
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def home() -> Path:
    """The folder that holds `workflow` and `profiles`."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "workflow" / "Snakefile").is_file() else PACKAGE


def program() -> str:
    """The command `genebatch`, as it can be pasted in this folder."""
    if shutil.which("genebatch"):
        return "genebatch"
    return os.path.relpath(Path(sys.executable).with_name("genebatch"))


def in_this_folder() -> bool:
    """Whether the shell that started this process is in the folder of the run.

    Snakemake goes there (`--directory`), and a variable still has the folder of the shell.
    """
    return os.path.realpath(os.environ.get("PWD", "/")) == os.path.realpath(os.curdir)


def snakefile() -> Path:
    """The workflow."""
    return home() / "workflow" / "Snakefile"


def schema() -> Path:
    """The JSON schema of the configuration."""
    return home() / "workflow" / "schemas" / "config.schema.yaml"


def profile() -> Path:
    """The flags with which Snakemake runs the workflow on one machine."""
    return home() / "profiles" / "default"
