"""The wheel and the sdist carry the workflow, and run without the checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.builders import REPOSITORY

pytestmark = pytest.mark.slow

CONFIG = """
dataset: {path: table.csv, group: sample, label: kind, classes: ["no", "yes"]}
"""


def built(folder: Path, target: str) -> Path:
    """Build a distribution of the checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with what the wheel holds, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(built(tmp_path_factory.mktemp("wheel"), "wheel")) as wheel:
        wheel.extractall(folder)
    return folder


def run(installed: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "genebatch", *arguments]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)


def test_the_wheel_has_what_the_checkout_has(installed):
    for name in ("workflow", "envs", "profiles"):
        here = {p.relative_to(REPOSITORY / name) for p in (REPOSITORY / name).rglob("*.*")}
        there = {p.relative_to(installed / "genebatch" / name) for p in installed.rglob("*.*")
                 if p.is_relative_to(installed / "genebatch" / name)}  # fmt: skip
        assert {path for path in here if "__pycache__" not in path.parts} <= there


def test_an_installed_package_runs_its_own_workflow(installed, tmp_path):
    (tmp_path / "my.yaml").write_text(CONFIG)
    rows = [f"s{n % 30},{'yes' if n % 5 == 0 else 'no'},{n % 7}" for n in range(300)]
    (tmp_path / "table.csv").write_text("\n".join(["sample,kind,a", *rows]) + "\n")
    done = run(installed, tmp_path, "run", "--configfile", "my.yaml", "--dry-run", "--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(installed / "genebatch/workflow/Snakefile") in done.stdout
    assert "rule table_of_text:" in done.stdout
    assert "checkpoint plan_batches:" in done.stdout


def test_an_installed_package_prints_the_configuration(installed, tmp_path):
    done = run(installed, tmp_path, "config")
    assert done.returncode == 0
    assert "n_estimators: 800" in done.stdout


def test_the_sdist_has_the_workflow_and_no_results(tmp_path):
    with tarfile.open(built(tmp_path, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"workflow/Snakefile", "workflow/schemas/config.schema.yaml", "README.md"} <= names
    assert not any(name.startswith(("results/", "data/", ".venv/")) for name in names)
