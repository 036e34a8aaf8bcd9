"""Tests of steps.sequence: calls of chosen genes, and tracks of unseen genes compared."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from genebatch.calls.evaluation import counts
from genebatch.calls.evaluation.compare import count_tracks
from genebatch.config.settings import Calls, Evaluation
from genebatch.io import tables
from genebatch.io.files import InputError
from genebatch.io.tables import read_tsv
from genebatch.steps.sequence import call_genes, evaluate_tracks
from tests.builders import called_genome as made_calls
from tests.builders import complete_tracks as made_tracks
from tests.builders.annotations import READING
from tests.builders.held_genome import write_gtf
from tests.builders.tables_and_figures import is_picture

SITES = made_tracks.SITES
FILES = {
    "comparison.tsv",
    "corrections.tsv",
    "curves.tsv",
    "hybrid.tsv",
    "tiers.tsv",
    "examples.json",
    "summary.json",
    "figure.png",
}
BASE = {"donor": {"rows": 0.8, "weighted": 0.35}, "acceptor": {"rows": 0.6, "weighted": None}}
SETTINGS = {
    "reading": replace(READING, min_intron=1),
    "evaluation": Evaluation(n_replicates=60, seed=3),
}
SIDES = ("base", "model", "difference")
CALLED = ("positions.parquet", "calls.bed", "coverage.tsv", "calls_ucsc.bed", "calls_igv.xml")
CALL = {"unscored": "error", "threads": 1}
COMPLETE = Calls(
    sets={},
    mode="meta",
    band=(0.0, 1.0),
    target_share=None,
    misaligned="error",
    bigwig=False,
    transcripts=False,
    bgzip="none",
    hub=None,
)


@pytest.fixture(scope="module", autouse=True)
def short_ends():
    """Ends of 80 nt, so that genes of 400 nt have an inside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "NEAR_END", 80)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A genome, and a model of which only its facts matter for tracks that are given."""
    return made_calls.make(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def made():
    return made_tracks.make()


class Files:
    """The inputs of an evaluation, and the evaluation."""

    def __init__(self, folder, made, model):
        self.folder, self.made = folder, made
        self.inputs = {
            "positions": folder / "positions.parquet",
            "genes": write_gtf(folder / "genes.gtf", made.genes),
            "table": folder / "genes.tsv",
            "model": folder / "model.gbm",
            "test_groups": folder / "test_groups.tsv",
        }
        limits = {name: {"rows": 0.9, "weighted": t} for name, t in made_tracks.THRESHOLDS.items()}
        facts = model.facts | {"thresholds": limits, "base_thresholds": BASE}
        replace(model, facts=facts).save(self.inputs["model"])
        self.write_positions()
        names = {gene.id: f"group{n:02d}" for gene, n in zip(made.tested, made.groups, strict=True)}
        rest = [gene.id for gene in made.genes if gene.id not in names]
        names |= dict.fromkeys(rest, "trained")
        table = pl.DataFrame({"gene_id": names.keys(), "group": names.values(), "rows": 7})
        table.sample(fraction=1, shuffle=True, seed=0).write_csv(
            self.inputs["table"], separator="\t"
        )
        self.write_groups(sorted(set(names.values()) - {"trained"}))

    def write_positions(self, **options):
        frame = made_tracks.positions(self.made.tested, self.made.scores)
        frame.write_parquet(self.inputs["positions"], **options)

    def write_groups(self, groups):
        pl.DataFrame({"group": groups}).write_csv(self.inputs["test_groups"], separator="\t")

    def evaluate(self, folder="out"):
        outputs = {name.split(".")[0]: self.folder / folder / name for name in FILES}
        evaluate_tracks(**self.inputs, **SETTINGS, **outputs)
        return outputs


@pytest.fixture
def files(made, trained, tmp_path):
    return Files(tmp_path, made, trained.model)


@pytest.fixture(scope="module")
def written(made, trained, tmp_path_factory):
    """The files of an evaluation."""
    return Files(tmp_path_factory.mktemp("written"), made, trained.model).evaluate()


@pytest.fixture(scope="module")
def judged(made, tmp_path_factory):
    """Class to whether each judged position is a site, its scores by system, and its group."""
    path = tmp_path_factory.mktemp("judged") / "positions.parquet"
    made_tracks.positions(made.tested, made.scores).write_parquet(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "FLOOR", 0.0)
        tracks = count_tracks(path, made.genes, made.tested, made_tracks.THRESHOLDS, 1e-5)
    assert tracks.folded.sum() == 0
    return {
        name: (tracks.code == number + 1, tracks.scores[:, number], made.groups[tracks.gene])
        for number, name in enumerate(SITES)
    }


def values(table, name, metric):
    return table.filter((pl.col("class") == name) & (pl.col("metric") == metric)).row(0, named=True)


# Calls


@pytest.fixture
def genome(trained, tmp_path):
    """Inputs and output of a call of the made genome."""
    names = ("model", "fasta", "genes", "scores")
    files = dict(zip(names, trained.files, strict=True))
    return files | CALL | {"files": [tmp_path / "calls" / name for name in CALLED]}


def genes_in(path):
    return set(pl.read_parquet(path)["gene_id"].cast(pl.String))


def test_all_genes_are_called_where_none_are_named(genome, trained):
    call_genes(**genome, call=COMPLETE)
    assert genes_in(genome["files"][0]) == {gene.id for gene in trained.genes}
    assert pl.read_parquet(genome["files"][0])["rescored"].all()


def test_genes_of_a_list_are_called_as_the_section_says(genome, tmp_path):
    (tmp_path / "few.txt").write_text("tiny\nlong\n")
    hybrid = replace(COMPLETE, mode="hybrid", band=(0.02, 0.3), bigwig=True, transcripts=True)
    call_genes(**genome, wanted=tmp_path / "few.txt", call=hybrid)
    assert genes_in(genome["files"][0]) == {"tiny", "long"}
    assert 0 < pl.read_parquet(genome["files"][0])["rescored"].mean() < 0.5
    folder = genome["files"][0].parent
    assert len(list(folder.glob("*.bw"))) == 4
    assert {"calls.bed", "coverage.tsv", "transcripts.gff3"} < {
        path.name for path in folder.iterdir()
    }


def test_genes_of_the_test_groups_are_called(genome, tmp_path):
    table, groups = tmp_path / "genes.tsv", tmp_path / "groups.tsv"
    table.write_text("gene_id\tgroup\nlong\tl\ninner\tl\nother\to\ntiny\tt\n")
    groups.write_text("group\nl\n")
    call_genes(**genome, table=table, test_groups=groups, call=COMPLETE)
    assert genes_in(genome["files"][0]) == {"long", "inner"}
    groups.write_text("group\nx\n")
    with pytest.raises(InputError, match=r"groups\.tsv: group 'x' has no gene in .*genes\.tsv"):
        call_genes(**genome, table=table, test_groups=groups, call=COMPLETE)


# The comparison of tracks


def test_every_file_is_written(written):
    table = read_tsv(written["comparison"])
    assert table["class"].unique(maintain_order=True).to_list() == [*SITES]
    metrics = ["average_precision", "average_precision_near_ends", "average_precision_inside"]
    metrics += ["top_k", "precision_at_base_recall", "log_loss", "brier"]
    assert table["metric"].to_list() == metrics * 2
    assert read_tsv(written["corrections"])["class"].to_list() == [*SITES, "all"] * 2
    assert read_tsv(written["hybrid"]).height == 1 + len(counts.LOWS)
    assert json.loads(written["summary"].read_text())["thresholds"] == made_tracks.THRESHOLDS
    assert is_picture(written["figure"])


def test_base_scores_are_corrected_at_both_of_their_thresholds(written, judged):
    limits = {("donor", "best_f1"): 0.35, ("acceptor", "best_f1"): 0.6}
    for line in read_tsv(written["corrections"]).iter_rows(named=True):
        if line["class"] == "all":
            continue
        limit = limits.get((line["class"], line["base_at"]), 0.5)
        assert line["base_threshold"] == limit
        y, (base, model), _ = judged[line["class"]]
        wrong = (base >= np.float32(limit)) != y
        still = (model >= np.float32(made_tracks.THRESHOLDS[line["class"]])) != y
        assert (line["corrected"], line["made"]) == ((wrong & ~still).sum(), (~wrong & still).sum())


def test_model_without_base_thresholds_is_judged_at_one(files, trained, made):
    limits = {name: {"rows": t, "weighted": None} for name, t in made_tracks.THRESHOLDS.items()}
    older = {**trained.model.facts, "thresholds": limits}
    replace(trained.model, facts=older).save(files.inputs["model"])
    outputs = files.evaluate()
    table = read_tsv(outputs["corrections"])
    assert table.select("class", "base_at", "base_threshold").rows() == [
        ("donor", "default", 0.5),
        ("acceptor", "default", 0.5),
        ("all", "default", None),
    ]
    assert [*json.loads(outputs["summary"].read_text())["base_thresholds"]] == ["default"]
    assert is_picture(outputs["figure"])


@pytest.mark.parametrize("name", SITES)
def test_metrics_are_those_of_all_positions(written, judged, name):
    table = read_tsv(written["comparison"])
    y, scores, _ = judged[name]
    clipped = np.clip(scores.astype(float), 1e-5, 1 - 1e-5)
    for system, score, bounded in zip(SIDES, scores, clipped, strict=False):
        exact = {
            "log_loss": log_loss(y, bounded, labels=[False, True]),
            "brier": brier_score_loss(y, score.astype(float)),
        }
        for metric, value in exact.items():
            assert values(table, name, metric)[system] == pytest.approx(value, rel=1e-9)
        found = values(table, name, "average_precision")[system]
        assert 0 <= average_precision_score(y, score) - found + 1e-12 < 0.02
        below = (score[y] < counts.FLOOR).any()
        assert below or found == pytest.approx(average_precision_score(y, score))


@pytest.mark.parametrize("name", SITES)
def test_model_is_judged_where_it_finds_as_many_sites_as_the_base_scores(written, judged, name):
    line = values(read_tsv(written["comparison"]), name, "precision_at_base_recall")
    y, (base, model), _ = judged[name]
    target = (y & (base >= 0.5)).sum()
    for system, score in (("base", base), ("model", model)):
        reached = [t for t in score[y] if y[score >= t].sum() >= target]
        assert line[system] == pytest.approx(y[score >= max(reached)].mean())


def test_intervals_hold_their_values(written):
    table = read_tsv(written["comparison"])
    assert table["reason"].null_count() == table.height
    for line in table.iter_rows(named=True):
        assert 10 <= line["groups"] <= 11
        assert line["difference"] == line["model"] - line["base"]
        for side in SIDES:
            assert line[f"{side}_low"] <= line[side] <= line[f"{side}_high"]
    better = values(table, "donor", "average_precision")
    assert better["difference_low"] > 0


def test_row_groups_and_pieces_change_no_figure(files, written, monkeypatch):
    files.write_positions(row_group_size=71)
    monkeypatch.setattr(tables, "BATCH_ROWS", 29)
    outputs = files.evaluate()
    for name in ("comparison", "corrections", "hybrid", "summary"):
        assert outputs[name].read_bytes() == written[name].read_bytes()


def test_genes_that_the_model_was_trained_on_are_refused(files, trained):
    member = trained.model.members[0]._replace(groups=("group03",))
    replace(trained.model, members=(member,)).save(files.inputs["model"])
    with pytest.raises(InputError, match=r"trained on 1 of the test groups.*'group03'"):
        files.evaluate()
    assert not (files.folder / "out").exists()


def test_test_gene_without_tracks_is_an_error(files):
    groups = read_tsv(files.inputs["test_groups"])["group"].to_list()
    files.write_groups([*groups, "trained"])
    with pytest.raises(InputError, match=r"lacks 3 of .* test genes"):
        files.evaluate()
    files.write_groups(groups[1:])
    with pytest.raises(InputError, match="but is no test gene"):
        files.evaluate()
    assert not (files.folder / "out").exists()


def test_calls_of_a_genome_are_judged_as_they_were_made(trained, tmp_path):
    members = tuple(
        member._replace(groups=(f"far{member.name}",)) for member in trained.model.members
    )
    replace(trained.model, members=members).save(tmp_path / "model.gbm")
    names = [gene.id for gene in trained.genes]
    pl.DataFrame({"gene_id": names, "group": names}).write_csv(
        tmp_path / "genes.tsv", separator="\t"
    )
    pl.DataFrame({"group": names}).write_csv(tmp_path / "groups.tsv", separator="\t")
    inputs = {
        "positions": tmp_path / "positions.parquet",
        "genes": trained.files[2],
        "table": tmp_path / "genes.tsv",
        "model": tmp_path / "model.gbm",
        "test_groups": tmp_path / "groups.tsv",
    }
    genome = dict(zip(("fasta", "scores"), trained.files[1::2], strict=True))
    table = {name: inputs[name] for name in ("model", "genes", "table", "test_groups")}
    call_genes(**table, **genome, **CALL, call=COMPLETE, files=[inputs["positions"]])
    outputs = {name.split(".")[0]: tmp_path / "out" / name for name in FILES}
    evaluate_tracks(**inputs, **SETTINGS, **outputs)
    summary = json.loads(outputs["summary"].read_text())
    assert summary["genes"] == 5
    # Both sites of `inner` lie inside `long`, and one of `long`, at 420, inside `inner`.
    assert summary["left_out"] == {"foreign": 3, "ambiguous": 0, "other": 0}
    assert summary["positions"] == sum(gene.length for gene in trained.genes) - 3
    assert summary["classes"]["donor"]["sites"] == 6
