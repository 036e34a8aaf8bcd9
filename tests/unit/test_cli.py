"""`inspect` says which model a file holds and what its members count; `plan` tells the batches."""

import shlex
from dataclasses import replace

import pytest
import yaml

from genebatch import load_model
from genebatch.cli import command_parser, main
from genebatch.launch import command_line
from genebatch.model.ensemble import EQUAL
from tests.builders.finished_run import Data

FACTS = {
    "batches": [
        {"batch": f"b00{number}", "key": f"{number}", "groups": 1, "rows": 1} for number in range(5)
    ]
}


@pytest.fixture
def inspected(tmp_path, capsys):
    """What the command prints of a delivered model, after changes to it."""

    def run(final="ensemble", **changes):
        data = Data(tmp_path, final=final)
        model = load_model(data.model)
        path = tmp_path / "changed.gbm"
        replace(model, facts=model.facts | FACTS, **changes).save(path)
        assert main(["inspect", str(path)]) == 0
        return capsys.readouterr().out

    return run


def test_weights_of_every_member_are_printed_by_class(inspected):
    printed = inspected()
    assert "final model: ensemble\n" in printed
    # Two members, three classes, two trees each.
    assert "2 members of 5 batches, the others without weight, 12 trees in all\n" in printed
    assert "missing" not in printed
    assert "combiner: stacked, intercepts 0/0/0\n" in printed
    lines = [line for line in printed.splitlines() if line.startswith("  b00")]
    assert [line.split("weights ")[1] for line in lines] == ["1/1/1", "0.5/0.5/0.5"]


def test_members_of_both_are_those_of_the_batches_and_the_single_model(inspected):
    printed = inspected("both")
    assert "1 member of 5 batches and the single model, the others without weight" in printed


def test_missing_batches_are_named_and_not_taken_for_those_without_weight(inspected, monkeypatch):
    monkeypatch.setitem(FACTS, "missing_batches", ["b003", "b004"])
    printed = inspected()
    assert "2 members of 3 batches, the others without weight" in printed
    assert "not trained, and missing in the ensemble: b003, b004\n" in printed


def test_a_single_model_has_no_combiner(inspected):
    printed = inspected("single")
    assert "final model: single\n1 member, 6 trees in all\n" in printed
    assert "combiner: none, since there is one member" in printed
    assert "weights" not in printed


@pytest.mark.parametrize(
    ("combiner", "said"),
    [
        (EQUAL, "log_odds, every member 0.5"),
        (
            {
                "name": "routed",
                "parameters": {
                    "reach": 0.5,
                    "columns": ["gc"],
                    "mean": [0.0],
                    "scale": [1.0],
                    "centroids": [[0.0], [1.0]],
                },
            },
            "routed, members weighted by nearness of a row, reach 0.5",
        ),
    ],
)
def test_combiners_without_weights_are_put_in_words(combiner, said, inspected):
    printed = inspected(combiner=combiner)
    assert f"combiner: {said}\n" in printed
    assert ", weights " not in printed


def test_plan_prints_the_batches_and_writes_nothing(tmp_path, capsys, monkeypatch):
    assert main(["simulate", str(tmp_path), "--table", "--genes", "40"]) == 0
    config = {
        "dataset": {
            "path": str(tmp_path / "example"),
            "group": "cluster_id",
            "label": "splice_type",
            "classes": ["neither", "donor", "acceptor"],
            "null_label": "neither",
            "scores": {name: f"{name}_score" for name in ("neither", "donor", "acceptor")},
            "weight": "sample_weight",
            "metadata": ["gene_id", "transcript_id", "chrom", "strand", "gene_type"],
        },
        "batching": {"max_groups": 20, "min_groups": 2, "min_positives": 1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["plan", "--config", "config.yaml", "--memory", "4G", "--cores", "4"]) == 0
    printed = capsys.readouterr().out
    assert "b000" in printed
    assert "b001" in printed
    assert "4,000 MB (--memory), 4 cores: " in printed
    assert "batches run side by side, expected peak" in printed
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("cores", ["0", "-2", "many"])
def test_no_cores_are_refused_at_once(command, cores, capsys):
    with pytest.raises(SystemExit):
        main([command, "--cores", cores])
    assert f"{cores} is not a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize("memory", ["0", "-5", "4X"])
def test_memory_that_is_no_size_is_refused_with_what_is_wanted(memory, tmp_path, capsys):
    dataset = {"path": "data", "group": "g", "label": "y", "classes": ["a", "b"]}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"dataset": dataset}))
    for command in (["plan", "--config"], ["run", "--configfile"]):
        assert main([*command, str(tmp_path / "my.yaml"), f"--memory={memory}"]) == 1
        assert f"--memory {memory}: wanted a size such as 32G" in capsys.readouterr().err


def test_plan_of_a_genome_says_how_its_table_is_built(tmp_path, capsys, monkeypatch):
    assert main(["simulate", str(tmp_path), "--genes", "8"]) == 0
    sequence = {"fasta": "genome.fa", "genes": "genes.gtf", "scorer": "light"}
    (tmp_path / "my own.yaml").write_text(yaml.safe_dump({"sequence": sequence}))
    (tmp_path / "more.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["plan", "--config", "my own.yaml", "more.yaml"]) == 1
    told = shlex.split(capsys.readouterr().err.partition("build it first: ")[2])
    assert told[0].endswith("genebatch")
    given = command_parser().parse_args(told[1:])
    assert command_line(given)[-2:] == ["--until", "build_dataset"]


def test_a_negative_seed_is_refused_at_once(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["simulate", str(tmp_path), "--seed=-1"])
    assert "-1 is not a whole number from 0 on" in capsys.readouterr().err


def test_simulated_tracks_go_with_a_genome_alone(tmp_path, capsys):
    for flags in (["--table"], ["--like", "document"]):
        assert main(["simulate", str(tmp_path), "--tracks", *flags]) == 1
        assert "--tracks goes with a genome" in capsys.readouterr().err
    assert main(["simulate", str(tmp_path), "--tracks", "--genes", "8"]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"genome.fa", "genes.gtf", "conservation.bw", "noise.bw", "SJ.out.tab"}
