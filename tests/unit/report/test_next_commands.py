"""Commands that can be pasted, with the files of a run."""

import os
import shlex

import pytest

from genebatch.cli import command_parser
from genebatch.config import places
from genebatch.config.places import program
from genebatch.report.next_commands import commands

DATASET = {"path": "my data/*.csv", "label": "kind", "group": "sample"}
NO_GENOME = {"fasta": None, "genes": None, "tracks": {}}
GENOME = {"fasta": "g.fa", "genes": "g.gtf", "tracks": {}}
BIGWIG = {side: {s: f"{s}.{side}.bw" for s in ("donor", "acceptor")} for side in ("plus", "minus")}
TRACKS = {
    "level": {"kind": "number", "strands": {"plus": "p.bw", "minus": "m.bw"}},
    "reads": {"kind": "junctions", "file": "SJ.out.tab"},
    "truth": {"kind": "junctions", "file": "x.bed", "role": "ignore"},
}


@pytest.fixture(autouse=True)
def shell(monkeypatch):
    """The shell is in the folder of the run."""
    monkeypatch.setenv("PWD", os.getcwd())


def parsed(sequence, scores, unscored="error"):
    """Every command, as `genebatch` reads it."""
    listed = commands("my results", DATASET, sequence, scores, unscored)
    words = [shlex.split(command) for _, command in listed]
    return {given[0]: command_parser().parse_args(given) for _, *given in words}


def test_the_program_is_named_so_that_this_shell_finds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(places.shutil, "which", lambda name: "/usr/bin/genebatch")
    assert places.program() == "genebatch"
    monkeypatch.setattr(places.shutil, "which", lambda name: None)
    monkeypatch.setattr(places.sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert places.program() == ".venv/bin/genebatch"


def test_from_another_folder_the_commands_begin_in_that_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "the run").mkdir()
    (tmp_path / "link").symlink_to("the run")
    monkeypatch.chdir(tmp_path / "the run")
    for shell, there in (("the run", True), ("link", True), ("", False)):
        monkeypatch.setenv("PWD", str(tmp_path / shell))
        listed = commands("my results", DATASET, NO_GENOME, None, "error")
        first = [program(), "predict"] if there else ["cd", str(tmp_path / "the run")]
        assert shlex.split(listed[0][1])[:2] == first


def test_a_table_is_predicted_and_stands_for_one_of_ones_own():
    found = parsed(NO_GENOME, None)
    assert set(found) == {"predict", "init", "config"}
    assert (found["predict"].model, found["predict"].table) == ("my results", "my data/*.csv")
    assert (found["init"].label, found["init"].group) == ("kind", "sample")


@pytest.mark.parametrize(
    ("scores", "given"),
    [
        ("s.parquet", ["s.parquet"]),
        ({"mouse": "m.tsv", "human": "h.tsv"}, ["mouse=m.tsv", "human=h.tsv"]),
        (
            BIGWIG,
            [
                *("plus.donor=donor.plus.bw", "plus.acceptor=acceptor.plus.bw"),
                *("minus.donor=donor.minus.bw", "minus.acceptor=acceptor.minus.bw"),
            ],
        ),
    ],
)
def test_a_genome_is_called_with_its_scores(scores, given):
    call = parsed(GENOME, scores)["call"]
    assert (call.fasta, call.genes, call.scores) == ("g.fa", "g.gtf", given)
    assert call.tracks is None
    assert call.unscored == "error"


def test_a_genome_is_called_with_the_tracks_of_its_features():
    call = parsed(GENOME | {"tracks": TRACKS}, "s.tsv", "zero")["call"]
    assert call.tracks == ["level.plus=p.bw", "level.minus=m.bw", "reads=SJ.out.tab"]
    assert call.unscored == "zero"
