"""What installs genebatch says the same everywhere: pyproject, locks, recipe, image, addresses."""

import importlib.util
import re
import shutil
import sys
import tomllib
from types import ModuleType
from typing import Any

import jinja2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import genebatch
from tests.builders import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
# Conda's names of packages whose PyPI name is another.
CONDA = {
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "xgboost-cpu": "py-xgboost",
}
URL = re.compile(r"https://[^\s\"'<>)]*/genebatch\b")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def applying(lines: list[str], **machine: str) -> dict[str, Requirement]:
    """Requirements by name, of those that a machine needs."""
    every = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): each
        for each in every
        if each.marker is None or each.marker.evaluate({**LINUX, **machine})
    }


def pins(name: str, **machine: str) -> dict[str, Version]:
    lines = [line.removesuffix(" \\") for line in text(name).splitlines() if "==" in line[:80]]
    found = applying([line for line in lines if not line.startswith(" ")], **machine)
    return {name: Version(str(each.specifier).lstrip("=")) for name, each in found.items()}


def group(name: str) -> list[str]:
    """Requirements of a dependency group, with those that it includes."""
    found = []
    for each in PROJECT["dependency-groups"][name]:
        found += group(each["include-group"]) if isinstance(each, dict) else [each]
    return found


RUNTIME = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["genomics"],
]
MACOS = {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}
MACHINES = [
    {"python_version": minor, "python_full_version": f"{minor}.1", **system}
    for minor in ("3.11", "3.12", "3.13")
    for system in (LINUX, MACOS)
]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_locks_have_what_the_project_asks_for(machine):
    runtime, tests = pins("requirements.lock", **machine), pins("requirements-dev.lock", **machine)
    assert not set(runtime) & set(tests)
    for name, wanted in applying([*RUNTIME, *group("build")], **machine).items():
        assert runtime[name] in wanted.specifier, name
    for name, wanted in applying(group("dev"), **machine).items():
        assert (runtime | tests)[name] in wanted.specifier, name


@pytest.mark.parametrize("machine", MACHINES)
def test_the_environment_has_one_xgboost_of_the_tested_minor_version_and_no_gpu_library(machine):
    locked = pins("requirements.lock", **machine)
    (name,) = {"xgboost", "xgboost-cpu"} & set(locked)
    version = locked[name]
    after = f"{version.major}.{version.minor + 1}"
    wanted = applying(PROJECT["project"]["dependencies"], **machine)
    assert {"xgboost", "xgboost-cpu"} & set(wanted) == {name}
    assert str(wanted[name].specifier) == f"<{after},>={version.major}.{version.minor}"
    assert not any(each.startswith(("nvidia-", "cuda-")) for each in locked)


def test_the_manual_counts_the_packages_that_linux_gets():
    runtime, tests = (len(pins(f"{lock}.lock")) for lock in ("requirements", "requirements-dev"))
    manual = text("docs/how-to/install.md")
    assert f"{runtime} packages with fixed versions" in manual
    assert f"adds the {tests} of `requirements-dev.lock`" in manual
    assert f"| with `make test` | {runtime + tests} |" in manual


def recipe() -> dict[str, Any]:
    """The conda recipe, filled in as conda-build does."""
    template = jinja2.Template(text("recipe/meta.yaml"))
    return yaml.safe_load(template.render(PYTHON="python", pin_subpackage=lambda name, **_: name))


def test_the_recipe_asks_for_what_the_project_asks_for():
    wanted = {
        CONDA.get(name, name): each.specifier
        for name, each in applying(RUNTIME, **MACHINES[0]).items()
    }
    run = [line.partition(" ") for line in recipe()["requirements"]["run"]]
    given = {name: Requirement(f"{name} {versions}").specifier for name, _, versions in run}
    assert given.pop("python") == PROJECT["project"]["requires-python"]
    assert given == wanted


def test_the_conda_environment_installs_the_lock():
    path = REPOSITORY / "envs" / "genebatch.yaml"
    (line,) = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
    option, _, lock = line.partition(" ")
    assert option == "--requirement"
    assert (path.parent / lock).resolve() == REPOSITORY / "requirements.lock"


def test_conda_makes_no_environment_but_that_of_a_scorer_and_the_catalog_claims_none():
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow").rglob("*.smk"))
    assert re.findall(r"\bconda:\s+(\S+)", rules) == ["SCORER_ENVIRONMENT"]
    usage = yaml.safe_load(text(".snakemake-workflow-catalog.yml"))["usage"]
    assert not any(usage["software-stack-deployment"].values())


def test_the_version_is_one():
    versions = {
        PROJECT["project"]["version"],
        str(yaml.safe_load(text("CITATION.cff"))["version"]),
        recipe()["package"]["version"],
    }
    assert versions == {genebatch.__version__}


def test_the_address_of_the_repository_is_one_and_one_command_changes_it(tmp_path):
    repository = tool("repository")
    for name in repository.NAMED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
        assert set(URL.findall(text(name))) == {repository.address(REPOSITORY)}, name
    repository.move(tmp_path, "https://forge.example/lab/genebatch")
    for name in repository.NAMED:
        found = set(URL.findall((tmp_path / name).read_text()))
        assert found == {"https://forge.example/lab/genebatch"}, name


def test_the_image_is_built_from_the_lock_and_copies_what_is_there():
    steps = [line.split() for line in text("Dockerfile").splitlines() if line[:1].isupper()]
    copied = [step[1] for step in steps if step[0] == "COPY" and not step[1].startswith("--from")]
    assert copied == ["requirements.lock", "."]
    kept_out = text(".dockerignore").split()
    needed = ["README.md", "LICENSE", "pyproject.toml", "genebatch", *wheel_folders()]
    assert all((REPOSITORY / name).exists() and name not in kept_out for name in needed)
    (install, checkout) = (step for step in steps if step[0] == "RUN" and "install" in step)
    assert install[-3:] == ["--require-hashes", "--requirement", "requirements.lock"]
    assert checkout[-3:] == ["--no-deps", "--no-build-isolation", "."]
    images = {step[1] for step in steps if step[0] == "FROM"}
    assert [image.partition("-")[0] for image in images] == ["python:3.12"]


def wheel_folders() -> list[str]:
    """What the wheel takes from the checkout."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    return [*wheel["packages"], *wheel["force-include"]]


def test_continuous_integration_runs_what_there_is_on_every_supported_python():
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    prefix = "Programming Language :: Python :: 3."
    supported = [each for each in PROJECT["project"]["classifiers"] if each.startswith(prefix)]
    versions = [each.rpartition(" ")[2] for each in supported]
    assert jobs["test"]["strategy"]["matrix"]["python"] == versions
    assert min(versions, key=Version) == PROJECT["project"]["requires-python"].removeprefix(">=")
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = [name for line in commands if line.startswith("make ") for name in line.split()[1:]]
    assert set(targets) == {"bench-quick", "demo", "dist", "docs"}
    assert all(re.search(rf"^{name}:", text("Makefile"), re.MULTILINE) for name in targets)
    assert "bash .ci/run" in commands
    assert (REPOSITORY / ".ci" / "run").is_file()


def test_addresses_of_files_of_the_repository_lead_to_files():
    named = "".join(text(name) for name in tool("repository").NAMED)
    paths = re.findall(r"/genebatch/blob/main/([\w./-]+)", named)
    assert "CHANGELOG.md" in paths
    assert [path for path in paths if not (REPOSITORY / path).is_file()] == []


@pytest.mark.parametrize("name", ["bug_report.yml", "idea.yml"])
def test_a_template_of_an_issue_asks_for_something(name):
    form = yaml.safe_load(text(f".github/ISSUE_TEMPLATE/{name}"))
    assert {"name", "description", "body"} <= set(form)
    assert any(each.get("validations", {}).get("required") for each in form["body"])


# tools/install.py


LOCK = """
numpy==2.4.6 ; sys_platform == 'linux' \\
    --hash=sha256:00
pywin32==311 ; sys_platform == 'win32' \\
    --hash=sha256:00
snakemake==9.27.1 \\
    --hash=sha256:00
"""


def test_packages_of_other_machines_are_not_counted(tmp_path):
    (tmp_path / "a.lock").write_text(LOCK.replace("'linux'", repr(sys.platform)))
    assert tool("install").locked(tmp_path / "a.lock") == ["numpy", "snakemake"]


@pytest.mark.parametrize(
    ("terminal", "shown"),
    [
        (False, "  fetched 20 of 25\n  fetched 25 of 25\n"),
        (True, "".join(f"\r  fetched {count} of 25" for count in range(1, 26)) + "\n"),
    ],
)
def test_a_terminal_has_one_line_and_a_log_a_few(capsys, terminal, shown):
    progress = tool("install").Progress(25)
    progress.terminal = terminal
    for count in range(1, 26):
        progress.show("fetched", count)
    progress.end()
    assert capsys.readouterr().out == shown
