"""Promises of a run with tracks of evidence, from the config to calls of another genome."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from genebatch.cli import main
from genebatch.genome.genes import read_gene_models, splice_sites
from genebatch.simulation.genome import simulate_genome
from tests.builders.annotations import READING
from tests.workflow.running import Run
from tests.workflow.test_sequence import GENOME, read

pytestmark = pytest.mark.workflow

TRACKS = {
    "conservation": {"kind": "number", "file": "data/conservation.bw"},
    "reads": {"kind": "junctions", "file": "data/SJ.out.tab"},
    "truth": {"kind": "junctions", "file": "data/SJ.out.tab", "role": "ignore"},
}
CONFIG = GENOME | {
    "sequence": GENOME["sequence"] | {"tracks": TRACKS},
    "call": {},
    "ensemble": {"rivals": [], "combiner": "log_odds"},
    "final": "ensemble",
}


@pytest.fixture(scope="session")
def made(made_once):
    """A finished run, not to be changed."""

    def fill(folder: Path) -> None:
        simulate_genome(folder / "data", n_genes=36, n_chromosomes=2, tracks=True)
        run = Run(folder)
        run.configure(CONFIG)
        run.ok()

    return made_once("evidence", fill)


@pytest.fixture
def run(tmp_path, made) -> Run:
    """A copy of the finished run, with the times of its files."""
    return Run.copied(made, tmp_path / "run")


def test_results_tell_how_much_of_each_track_is_used(made):
    use = read(made, "results/table/evidence.tsv")
    assert use["track"].unique(maintain_order=True).to_list() == [*TRACKS]
    genes = read(made, "results/table/genes.tsv")
    first = use.row(0, named=True)
    assert first["of"] == genes["length"].sum()
    assert 0.8 < first["count"] / first["of"] < 0.9
    log = (made / "results/logs/build_dataset.log").read_text()
    assert "track conservation (number, feature): positions of genes with a value" in log
    screened = (made / "results/logs/screen_features.log").read_text()
    assert "track reads: " in screened
    assert "columns kept; best AUC of one alone: " in screened


def test_every_track_is_a_family_and_the_page_says_what_it_is_worth(made):
    families = read(made, "results/batches/b000/families.tsv")
    of_tracks = families.filter(pl.col("family").str.starts_with("track"))
    assert set(of_tracks["family"]) == {"track conservation", "track reads"}
    sites = of_tracks.filter(pl.col("class") != "neither")
    assert sites["gain_share"].sum() > 0.1
    page = (made / "results/report/index.html").read_text()
    assert "<h2>Evidence tracks</h2>" in page
    card = (made / "results/report/MODEL_CARD.md").read_text()
    assert "tracks of evidence" in card
    assert "conservation (number), reads (junctions)" in card


def test_model_file_tells_its_tracks_and_predicts_from_a_table(made, capsys):
    model = load_model(made / "results/model/model.gbm")
    assert [*model.facts["sequence"]["tracks"]] == ["conservation", "reads"]
    assert any(name.startswith("track_reads") for name in model.columns_in_)
    shard = pl.read_parquet(made / "results/table/part-000.parquet")
    before = model.predict_proba(shard)
    none = shard.with_columns(pl.col("^track_reads.*$") * 0)
    assert not np.array_equal(before, model.predict_proba(none))
    assert main(["inspect", str(made / "results")]) == 0
    assert "tracks of evidence: conservation (number), reads (junctions)" in capsys.readouterr().out


def test_calls_carry_the_ignored_track_at_the_sites_of_the_gene_models(made):
    positions = pl.read_parquet(made / "results/calls/test/positions.parquet")
    assert not [name for name in positions.columns if "reads" in name or "conserv" in name]
    ids = set(positions["gene_id"].cast(pl.String))
    hits = {
        (name, at)
        for name, at in positions.filter(pl.col("track_truth_donor_all") > 3)
        .select(pl.col("gene_id").cast(pl.String), "position")
        .iter_rows()
    }
    genes = [gene for gene in read_gene_models(made / "data/genes.gtf") if gene.id in ids]
    sites = {(gene.id, int(at)) for gene in genes for at in splice_sites(gene)[0]}
    assert len(sites & hits) > len(sites) / 2
    assert len(hits - sites) < len(hits) / 4


def test_finished_run_has_nothing_to_do_whatever_the_time_of_a_track(run):
    (run.folder / "data/conservation.bw").touch()
    assert not run.planned()


@pytest.mark.parametrize("name", ["conservation.bw", "SJ.out.tab"])
def test_other_content_of_a_track_builds_the_table_and_calls_anew(run, name):
    path = run.folder / "data" / name
    if name == "SJ.out.tab":
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    else:
        shutil.copy(run.folder / "data/noise.bw", path)
    rules = {rule for rule, _ in run.planned()}
    assert {"build_dataset", "analyze_dataset", "call_genes", "write_report"} <= rules
    assert "score_genes" not in rules


def test_a_track_less_or_another_role_builds_the_table_anew(run):
    for changed in (
        {name: keys for name, keys in TRACKS.items() if name != "truth"},
        TRACKS | {"reads": TRACKS["reads"] | {"role": "ignore"}},
    ):
        run.configure(CONFIG | {"sequence": CONFIG["sequence"] | {"tracks": changed}})
        assert run.planned()["build_dataset", None] == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SJ.out.tab", "chr1\t5\t9\tj\t1\t+\n", "line 1 has 6 columns (BED without blocks"),
        ("SJ.out.tab", "chrX\t5\t9\t1\t1\t0\t1\t0\t9\n", "has no chromosome of data/genome.fa"),
        ("conservation.bw", "no bigWig", "conservation.bw is not a bigWig file"),
    ],
)
def test_wrong_track_is_named_with_its_key(run, name, text, message):
    (run.folder / "data" / name).write_text(text)
    output = run.fails()
    assert message in output
    assert "sequence.tracks." in output
    assert "Traceback" not in output


def test_missing_file_of_a_track_is_named(run):
    (run.folder / "data/SJ.out.tab").unlink()
    shutil.rmtree(run.folder / "results")
    assert "data/SJ.out.tab" in run.fails()


def test_another_genome_is_called_with_its_own_tracks(made, tmp_path, capsys):
    data = simulate_genome(tmp_path / "other", n_genes=8, n_chromosomes=1, seed=11, tracks=True)
    from genebatch.steps.sequence import score_genes_light

    scores = str(tmp_path / "scores.parquet")
    files = {"fasta": str(data / "genome.fa"), "genes": str(data / "genes.gtf")}
    score_genes_light(**files, reading=READING, scores=scores)
    inputs = ["call", str(made / "results"), "--scores", scores, "--unscored", "zero"]
    inputs += ["--fasta", files["fasta"], "--genes", files["genes"], "-o", str(tmp_path / "calls")]
    assert main(inputs) == 1
    needed = capsys.readouterr().err
    assert "which is not given; set sequence.tracks." in needed
    tracks = [f"conservation={data / 'conservation.bw'}", f"reads={data / 'SJ.out.tab'}"]
    assert main([*inputs, "--tracks", *tracks]) == 0
    positions = pl.read_parquet(tmp_path / "calls/positions.parquet")
    assert positions["rescored"].any()


def test_calls_of_the_command_are_those_of_the_workflow(made, tmp_path):
    test = read(made, "results/dataset/test_groups.tsv")["group"]
    genes = read(made, "results/table/genes.tsv").filter(pl.col("group").is_in(test.implode()))
    command = ["call", str(made / "results"), "--mode", "meta", "-o", str(tmp_path)]
    command += ["--fasta", str(made / "data/genome.fa"), "--genes", str(made / "data/genes.gtf")]
    command += ["--scores", str(made / "results/scores/scores.parquet"), "--unscored", "zero"]
    command += ["--tracks", f"conservation={made / 'data/conservation.bw'}"]
    command += [f"{name}={made / 'data/SJ.out.tab'}" for name in ("reads", "truth")]
    assert main([*command, "--only", *genes["gene_id"]]) == 0
    found, expected = (
        pl.read_parquet(folder / "positions.parquet")
        for folder in (tmp_path, made / "results/calls/test")
    )
    assert found.equals(expected)


def test_config_on_record_has_the_tracks(made):
    (entry,) = json.loads((made / "results/config.json").read_text())
    assert entry["settings"]["sequence.tracks.reads.kind"] == "junctions"
