"""An environment that has genebatch from a wheel alone, and the checkout out of reach."""

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

from tests.builders import REPOSITORY


def built(folder: Path, target: str, source: Path = REPOSITORY) -> Path:
    """Build a distribution."""
    folder.mkdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


def make_environment(folder: Path) -> None:
    """Make an sdist of the checkout, a wheel of the sdist, and an environment with the wheel.

    It borrows the dependencies, whose folders Python then searches last. Their `.pth` files, one
    of which leads to the checkout, hold only in an environment of their own.
    """
    with tarfile.open(built(folder / "sdist", "sdist")) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    wheel = built(folder / "wheel", "wheel", source)
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*command, "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(borrowed) + "\n")


def run(environment: Path, where: Path, *arguments: str) -> str:
    """Run the command `genebatch` of an environment in a folder; gives what it printed."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    given = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [str(environment / "env" / "bin" / "genebatch"), *arguments]
    done = subprocess.run(
        command, cwd=where, env=given | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
