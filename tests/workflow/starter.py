"""Starts Snakemake and its jobs from processes that have imported what they need once.

    python -m tests.workflow.starter

Each line on standard input is a request: arguments, environment, folder and file for what is
printed. The answer is a line with the exit status. Every run is a process of its own, forked from
one in which nothing has run yet, and so is every job. Importing takes most of the time of a small
job.

A job that is forked shares the memory of what was imported, so its own memory is not measured or
limited. It makes figures, but writes an empty image for each: to lay out and to render them takes
a quarter of a small run. `Run.snakemake` with an environment starts Snakemake and its jobs as a
user does, with all of that.
"""

import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from PIL import Image

import genebatch
from genebatch.jobs import run as jobs_run

# Snakemake imports these late, or the workflow does; each run would pay for them again.
LATE = "docutils.core jinja2 jsonschema nbformat numpy pandas polars pyarrow pygments requests "
LATE += "smart_open snakemake.executors.dryrun snakemake.executors.local snakemake.report "
LATE += "snakemake.report.html_reporter yte"
# What jobs import late, beside the modules of the package and what these import. Polars begins its
# threads in the process that first computes with it, so a forked one has its own.
OF_JOBS = "matplotlib.backends.backend_agg pandas polars pyarrow.parquet scipy.optimize "
OF_JOBS += "scipy.stats shap sklearn.isotonic sklearn.linear_model sklearn.metrics "
OF_JOBS += "snakemake.script"
MODULES = [module.name for module in pkgutil.walk_packages(genebatch.__path__, "genebatch.")]
SECONDS = 900


def run(arguments: list[str], environment: dict[str, str], cwd: str, printed: str) -> None:
    """Be Snakemake in this process, which ends with it."""
    from snakemake import cli

    enter(environment, cwd)
    out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    redirect(out, out)
    signal.alarm(SECONDS)
    cli.main(arguments)


def enter(environment: dict[str, str], cwd: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)


def redirect(out: int, error: int) -> None:
    os.dup2(out, 1)
    os.dup2(error, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def fork(work, *arguments) -> int:
    """Do something in a forked process, and wait for its end; gives its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            traceback.print_exc()
            status = 1
        else:
            status = 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def be_job(script: str, environment: dict[str, str], cwd: str, out: int, error: int) -> None:
    """Be a job's script in this process."""
    from genebatch.report.figures import style  # imported before the fork

    enter(environment, cwd)
    jobs_run._bounds_itself = lambda submitted: False
    style.png = lambda figure: empty_image()
    redirect(out, error)
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")


def empty_image() -> bytes:
    """A PNG of one pixel."""
    content = io.BytesIO()
    Image.new("L", (1, 1)).save(content, "PNG")
    return content.getvalue()


def serve_jobs(server: socket.socket) -> None:
    """Fork a process for every job that is asked for, as long as the process that began this."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # which it reads when it is imported
    for name in (*OF_JOBS.split(), *MODULES):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes of connections
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            data, files, *_ = socket.recv_fds(connection, 1 << 20, 2)
            status = fork(be_job, *json.loads(data), *files)
            connection.sendall(str(status).encode())
            os._exit(0)
        connection.close()


def execute_script(self, script: str, edit: bool = False) -> None:
    """What Snakemake calls to run a script; here the process of the jobs runs it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["JOBS"])
        request = json.dumps([os.path.abspath(script), dict(os.environ), os.getcwd()])
        socket.send_fds(connection, [request.encode()], [1, 2])
        connection.shutdown(socket.SHUT_WR)
        status = int(connection.recv(16) or 1)
    if status:
        raise subprocess.CalledProcessError(status, [sys.executable, script])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        jobs = str(Path(folder) / "jobs")
        server.bind(jobs)
        server.listen()
        serving = os.fork()
        if serving == 0:
            serve_jobs(server)
        for name in LATE.split():
            importlib.import_module(name)
        from snakemake.script import PythonScript

        PythonScript.execute_script = execute_script
        try:
            for line in sys.stdin:
                request = json.loads(line)
                request["environment"]["JOBS"] = jobs
                print(fork(run, *request.values()), flush=True)
        finally:
            os.kill(serving, signal.SIGTERM)


if __name__ == "__main__":
    main()
