"""The command that starts a run again, as messages print it."""

import shlex
import sys

import pytest

from genebatch import launch
from genebatch.cli import command_parser
from genebatch.jobs.run import TOLD
from genebatch.launch import again, command_line, start


def as_told(monkeypatch, command: str) -> None:
    """Begin a run by a command of `genebatch`."""
    words = shlex.split(command)
    monkeypatch.setenv(TOLD, "")  # so that it is as before afterwards
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(launch, "program", lambda: words[0])
    monkeypatch.setattr(launch, "read_file", lambda path: {})
    monkeypatch.setattr(launch.Path, "is_file", lambda path: True)
    monkeypatch.setattr(launch.os, "execv", lambda *command: None)
    start(command_parser().parse_args(words[1:]))


def as_snakemake(monkeypatch, *arguments: str) -> None:
    monkeypatch.delenv(TOLD, raising=False)
    monkeypatch.setattr(sys, "argv", ["snakemake/__main__.py", *arguments])


def test_a_run_is_started_again_by_the_same_command(monkeypatch):
    as_told(monkeypatch, "genebatch run --configfile 'my a.yaml' b.yaml --cores 2")
    assert again() == "genebatch run --configfile 'my a.yaml' b.yaml --cores 2"
    as_snakemake(monkeypatch, "--configfile", "my a.yaml", "--cores", "2")
    assert again() == "snakemake --configfile 'my a.yaml' --cores 2"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("genebatch run --configfile a.yaml b.yaml", " -- --unlock"),
        ("genebatch run --configfile a.yaml -- --until plan_batches", " --unlock"),
        ("genebatch run --memory 4G -- results/x", " --unlock"),
    ],
)
def test_further_arguments_for_snakemake_go_behind_dashes(monkeypatch, told, expected):
    as_told(monkeypatch, told)
    assert again("--unlock") == told + expected


def test_targets_without_dashes_in_front_of_them_get_some(monkeypatch):
    as_told(monkeypatch, "genebatch run --configfile a.yaml --cores 2 results/x --quiet")
    told = "genebatch run --configfile a.yaml --cores 2 -- results/x --quiet"
    assert again() == told
    assert again("--forceall") == f"{told} --forceall"


@pytest.mark.parametrize(
    "forcing",
    [
        *("--forceall", "-F", "--force", "-f", "--forcerun", "--forcerun=plan_batches"),
        *("-R", "-R plan_batches", "--forcerun plan_batches results/x"),
    ],
)
def test_what_was_forced_is_not_forced_again(monkeypatch, forcing):
    as_told(monkeypatch, f"genebatch run --configfile a.yaml -- --quiet {forcing}")
    assert again() == "genebatch run --configfile a.yaml -- --quiet"
    as_told(monkeypatch, f"genebatch run --configfile a.yaml -- {forcing} --quiet")
    assert again("--forceall") == "genebatch run --configfile a.yaml -- --quiet --forceall"
    as_told(monkeypatch, f"genebatch run --configfile a.yaml -- {forcing}")
    assert again() == "genebatch run --configfile a.yaml"
    as_snakemake(monkeypatch, *shlex.split(forcing), "--cores", "2")
    assert again() == "snakemake --cores 2"


def test_a_command_that_only_showed_what_would_run_runs_it(monkeypatch):
    as_told(monkeypatch, "genebatch run --dry-run --cores 2")
    assert again("--forceall") == "genebatch run --cores 2 -- --forceall"
    as_told(monkeypatch, "genebatch run --cores 2 -- -n --quiet")
    assert again() == "genebatch run --cores 2 -- --quiet"
    as_snakemake(monkeypatch, "--dryrun", "--cores", "2")
    assert again() == "snakemake --cores 2"


def test_what_only_begins_like_a_forcing_option_stays(monkeypatch):
    kept = "--force-use-threads --rerun-triggers mtime -k results/-F"
    as_told(monkeypatch, f"genebatch run -- {kept}")
    assert again() == f"genebatch run -- {kept}"


def test_the_command_is_one_that_genebatch_takes(monkeypatch, tmp_path):
    as_told(monkeypatch, f"genebatch run --configfile {tmp_path}/my.yaml --cores 2 -- -R x")
    options = command_parser().parse_args(shlex.split(again("--forceall"))[1:])
    assert command_line(options)[-1] == "--forceall"
