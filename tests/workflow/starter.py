"""Starts Snakemake from a process that has imported it once.

    python -m tests.workflow.starter

Each line on standard input is a request: arguments, environment, folder and file for what is
printed. The answer is a line with the exit status. Every run is a process of its own, forked from
one in which nothing has run yet.
"""

import importlib
import json
import os
import signal
import sys

from snakemake import cli

# Snakemake imports these late, or the workflow does; each run would pay for them again.
LATE = "docutils.core jinja2 jsonschema nbformat numpy pandas polars pyarrow pygments requests "
LATE += "smart_open snakemake.executors.dryrun snakemake.executors.local snakemake.report "
LATE += "snakemake.report.html_reporter yte"
SECONDS = 900


def run(arguments: list[str], environment: dict[str, str], cwd: str, printed: str) -> None:
    """Be Snakemake in this process, which ends with it."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.alarm(SECONDS)
    cli.main(arguments)


def main() -> None:
    for name in LATE.split():
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
