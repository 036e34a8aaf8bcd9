"""The wheel and the sdist carry the workflow, and nothing of a run."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.builders import REPOSITORY
from tests.builders.clean_environment import run

pytestmark = pytest.mark.slow


def test_the_wheel_of_the_sdist_has_what_the_checkout_has(environment):
    (wheel,) = (environment / "wheel").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("genebatch", "workflow", "profiles"):
        inside = "" if folder == "genebatch" else "genebatch/"
        files = (path.relative_to(REPOSITORY) for path in (REPOSITORY / folder).rglob("*.*"))
        here = {f"{inside}{path}" for path in files if "__pycache__" not in path.parts}
        assert here, folder
        assert here <= names


def test_the_sdist_has_no_results(environment):
    (sdist,) = (environment / "sdist").iterdir()
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"workflow/Snakefile", "workflow/schemas/config.schema.yaml", "README.md"} <= names
    assert not any(name.startswith(("results/", "data/", ".venv/")) for name in names)


def test_the_checkout_is_out_of_reach_of_what_is_installed(environment, tmp_path):
    python = environment / "env" / "bin" / "python"
    shown = "import genebatch, sys; print(genebatch.__file__, *sys.path, sep='\\n')"
    done = subprocess.run(
        [python, "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    module, *searched = done.stdout.splitlines()
    assert Path(module).is_relative_to(environment)
    assert str(REPOSITORY) not in searched


def test_an_installed_package_prints_the_configuration(environment, tmp_path):
    assert "n_estimators: 800" in run(environment, tmp_path, "config")
