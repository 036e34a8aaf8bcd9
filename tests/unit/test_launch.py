"""`genebatch run`: the command that it starts, and what it refuses."""

import argparse
import gzip
import importlib.metadata
import os
import shlex
import subprocess
import sys

import pytest
from snakemake.cli import parse_args

from genebatch import launch
from genebatch.cli import command_parser, main
from genebatch.config.places import home, profile, snakefile
from genebatch.io.files import InputError
from tests.builders import REPOSITORY


@pytest.mark.parametrize(
    ("text", "mb"),
    [
        ("32G", 32_000),
        ("32g", 32_000),
        ("1.5 GB", 1_500),
        ("8GiB", 8_000),
        ("500M", 500),
        ("16000", 16_000),
        ("0.25T", 250_000),
    ],
)
def test_sizes_are_megabytes(text, mb):
    assert launch.memory_mb(text) == mb


@pytest.mark.parametrize("text", ["lots", "", "G", "-3G", "0", "0.0001M", "3 K", "1e3"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match=r"--memory .*: wanted a size such as 32G"):
        launch.memory_mb(text)


def options(tmp_path, *arguments) -> argparse.Namespace:
    (tmp_path / "my.yaml").write_text("dataset: {}\n")
    return command_parser().parse_args(
        ["run", "--configfile", str(tmp_path / "my.yaml"), *arguments]
    )


def test_the_command_has_the_workflow_and_its_limits(tmp_path):
    given = options(tmp_path, "--cores", "3", "--memory", "8G", "--directory", "my run")
    assert launch.command_line(given) == [
        *("snakemake", "--snakefile", str(REPOSITORY / "workflow/Snakefile")),
        *("--configfile", str(tmp_path / "my.yaml"), "--resources", "mem_mb=8000"),
        *("--logger", "genebatch", "--workflow-profile", str(REPOSITORY / "profiles/default")),
        *("--cores", "3", "--directory", "my run"),
    ]


@pytest.mark.parametrize(("knows", "cores"), [(True, "2"), (False, "5")])
def test_without_cores_all_that_may_be_used_are_given(tmp_path, monkeypatch, knows, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    if not knows:  # as on macOS
        monkeypatch.delattr(os, "sched_getaffinity")
    command = launch.command_line(options(tmp_path))
    assert command[command.index("--cores") + 1] == cores


FLAGS = ["--cores 2", "--memory 8G", "--directory run", "--dry-run", "--verbose"]


@pytest.mark.parametrize("flags", [*FLAGS, " ".join(FLAGS), ""])
def test_targets_and_further_arguments_are_what_snakemake_takes_them_for(tmp_path, flags):
    further = ("--", "results/model/model.gbm", "calls", "--forcerun", "predict")
    command = launch.command_line(options(tmp_path, *flags.split(), *further))
    _, found = parse_args(command[1:])
    assert found.targets == ["results/model/model.gbm", "calls"]
    assert set(found.forcerun) == {"predict"}
    assert found.logger == ["genebatch"]
    assert found.configfile == [tmp_path / "my.yaml"]


def test_a_missing_configuration_is_named(tmp_path, monkeypatch):
    given = options(tmp_path)
    given.configfile = ["nothere.yaml"]
    with pytest.raises(InputError, match=r"--configfile nothere\.yaml: there is no such file"):
        launch.command_line(given)
    given.configfile = None
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"name a configuration .* config/config\.yaml"):
        launch.command_line(given)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("{}")
    assert "--configfile" not in launch.command_line(given)


def test_the_command_is_printed_as_it_can_be_pasted(tmp_path, monkeypatch, capfd):
    started = []
    monkeypatch.setenv(launch.TOLD, "")  # so that it is as before afterwards
    monkeypatch.setattr(launch.os, "execv", lambda *command: started.append(command))
    (tmp_path / "my.yaml").write_text("{}")
    assert main(["run", "--configfile", str(tmp_path / "my.yaml"), "--directory", "a b"]) == 0
    ((program, command),) = started
    assert program == sys.executable
    assert command[:4] == [sys.executable, "-P", "-m", "snakemake"]
    assert shlex.split(capfd.readouterr().out) == command[3:]
    assert shlex.split(os.environ[launch.TOLD])[0].endswith("genebatch")


def test_modules_of_the_users_folder_are_not_imported(tmp_path):
    for name in ("statistics", "random", "numbers", "yaml", "snakemake"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user')")
    (tmp_path / "my.yaml").write_text("{}")
    run = ["run", "--configfile", "my.yaml", "--", "--version"]
    command = [sys.executable, "-P", "-m", "genebatch", *run]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, version = done.stdout.splitlines()
    assert told.startswith("snakemake --snakefile ")
    assert version == importlib.metadata.version("snakemake")


def test_a_fault_of_yaml_is_told_with_its_line(tmp_path, capsys):
    (tmp_path / "my.yaml").write_text("dataset:\n  path: [a\n  group: g\n")
    assert main(["run", "--configfile", str(tmp_path / "my.yaml")]) == 1
    said = capsys.readouterr().err
    assert f"configuration file {tmp_path / 'my.yaml'}: " in said
    assert "line 3" in said


@pytest.mark.parametrize(
    "data", [gzip.compress(b"{}", mtime=0), "a: b".encode("utf-16"), "# \u00e8".encode("latin-1")]
)
def test_a_configuration_that_is_no_utf_8_text_is_told_so(tmp_path, capsys, data):
    (tmp_path / "my.yaml").write_bytes(data)
    assert main(["run", "--configfile", str(tmp_path / "my.yaml")]) == 1
    assert "my.yaml: not UTF-8 text; wanted YAML as plain text; " in capsys.readouterr().err


def test_verbose_shows_what_snakemake_says(tmp_path):
    assert "--logger-genebatch-chatter" in launch.command_line(options(tmp_path, "--verbose"))
    assert "--logger-genebatch-chatter" not in launch.command_line(options(tmp_path))


def test_a_checkout_has_the_workflow_beside_the_package():
    assert home() == REPOSITORY
    assert snakefile().is_file()
    assert (profile() / "profile.yaml").is_file()
