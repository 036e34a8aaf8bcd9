"""Promises of the way from a genome to calls, on the small one of the tutorial."""

import itertools
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pysam
import pytest
import yaml

from genebatch import load_model
from genebatch.cli import main
from genebatch.features.structure.columns import COLUMNS as STRUCTURE
from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import read_gene_models, splice_sites
from tests.builders import REPOSITORY
from tests.builders.tutorial import follow, written
from tests.workflow.running import Run, jobs

pytestmark = pytest.mark.workflow

TUTORIAL = REPOSITORY / "docs" / "tutorials" / "genome.md"
GENOME = yaml.safe_load(written(TUTORIAL, "config/config.yaml"))
FEW = ("SIMG00003", "SIMG00020")
MANIFEST = "results/batches/manifest.tsv"
BATCH_RULES = {"cross_validate_batch", "train_batch", "calibrate_batch", "explain_batch"}


@pytest.fixture(scope="session")
def called(made_once):
    """The finished run of the tutorial, not to be changed.

    Every command of the page is run, and what it prints is compared with the page.
    """

    def fill(folder: Path) -> None:
        follow(TUTORIAL, folder, Path(sys.executable).parent, Run(folder).genebatch_run)

    return made_once("called", fill)


@pytest.fixture
def run(tmp_path, called) -> Run:
    """A copy of the finished run, with the times of its files."""
    return Run.copied(called, tmp_path / "run")


def read(folder, name) -> pl.DataFrame:
    return pl.read_csv(folder / name, separator="\t", infer_schema_length=None)


def test_every_position_of_every_test_gene_is_called_once(called):
    genes = read(called, "results/table/genes.tsv")
    test = read(called, "results/dataset/test_groups.tsv")["group"]
    wanted = genes.filter(pl.col("group").is_in(test.implode()))
    positions = pl.read_parquet(called / "results/calls/test/positions.parquet")
    counts = dict(positions.group_by("gene_id").len().iter_rows())
    assert counts == dict(wanted.select("gene_id", "length").iter_rows())
    assert positions.select("gene_id", "position").n_unique() == positions.height
    assert positions["rescored"].all()


def test_calls_of_the_test_genes_find_their_sites_in_the_genome(called):
    calls = pl.read_csv(
        called / "results/calls/test/calls.bed",
        separator="\t",
        comment_prefix="#",
        has_header=False,
        new_columns=["chrom", "start", "end", "name", "score", "strand", *"abc"],
    )
    sites = set()
    for gene in read_gene_models(called / "data/genes.gtf"):
        for name, found in zip(("donor", "acceptor"), splice_sites(gene), strict=True):
            for position in found:
                place = gene.start + position if gene.strand == "+" else gene.end - 1 - position
                sites.add((f"{gene.id}:{name}", gene.chrom, int(place)))
    hits = [row for row in calls.select("name", "chrom", "start").iter_rows() if row in sites]
    assert len(hits) > calls.height / 3
    with pysam.FastaFile(str(called / "data/genome.fa")) as genome:
        after = [
            genome.fetch(chrom, start + 1, start + 3).upper()
            for chrom, start, name, strand in calls.select(
                "chrom", "start", "name", "strand"
            ).iter_rows()
            if name.endswith(":donor") and strand == "+"
        ]
    assert Counter(after).most_common(1)[0][0] == "GT"


def test_browsers_find_the_files_beside_the_calls(called):
    """The session, which lies three folders below the genome, names them."""
    folder = called / "results/calls/test"
    session = ElementTree.parse(folder / "calls_igv.xml").getroot()
    paths = [session.get("genome"), *(one.get("path") for one in session.iter("Resource"))]
    assert paths[0] == "../../../data/genome.fa"
    assert paths[-1] == "../../../data/genes.gtf"
    assert all((folder / path).is_file() for path in paths)
    with pysam.TabixFile(str(folder / "calls.bed.gz")) as calls:
        found = list(calls.fetch())
    assert found == (folder / "calls_ucsc.bed").read_text().splitlines()[2:]


def test_best_transcripts_pair_the_sites_of_annotated_introns(called):
    """More often than they pair a donor with the acceptor one exon further on."""
    predicted = read_gene_models(called / "results/calls/test/transcripts.gff3")
    annotated = {gene.id: gene for gene in read_gene_models(called / "data/genes.gtf")}
    found = skipping = 0
    for gene in predicted:
        (best,) = (one.exons for one in gene.transcripts if one.id.endswith(".t1"))
        known = {intron for one in annotated[gene.id].transcripts for intron in introns(one.exons)}
        found += len(known.intersection(introns(best)))
        skipping += len(known.intersection(introns(best[::2])))
    assert {gene.strand for gene in predicted} == {"+", "-"}
    assert found > 2 * skipping
    assert found


def introns(exons):
    return [(one[1], other[0]) for one, other in itertools.pairwise(exons)]


def test_selective_calls_equal_complete_ones_inside_the_band_and_the_base_outside(run):
    folder = run.folder
    model, out = folder / "results/model/model_multiclass_all_genes.gbm", folder / "cli"
    inputs = ["--fasta", folder / "data/genome.fa", "--genes", folder / "data/genes.gtf"]
    inputs += ["--scores", folder / "results/scores/scores.parquet", "-o", out]
    options = ["--mode", "meta", "--only", folder / "data/few.txt"]
    assert main([str(part) for part in ("call", model, *inputs, *options)]) == 0
    complete = pl.read_parquet(out / "positions.parquet")
    selective = pl.read_parquet(folder / "results/calls/few/positions.parquet")
    assert selective["gene_id"].cast(pl.String).unique().sort().to_list() == sorted(FEW)
    probability = [f"probability_{name}" for name in ("neither", "donor", "acceptor")]
    base = [name.replace("probability", "base") for name in probability]
    inside = selective["rescored"]
    strongest = complete.select(pl.max_horizontal("base_donor", "base_acceptor")).to_series()
    assert inside.equals((strongest >= np.float32(0.01)) & (strongest < 1), check_names=False)
    assert 0 < inside.sum() < 0.1 * inside.len()
    assert (
        selective.filter(inside)
        .select(probability)
        .equals(complete.filter(inside).select(probability))
    )
    kept = selective.filter(~inside)
    np.testing.assert_array_equal(kept.select(probability), kept.select(base))


def test_judgement_of_tracks_agrees_with_that_of_weighted_rows(called):
    tracks = read(called, "results/tracks/comparison.tsv")
    rows = read(called, "results/evaluation/comparison.tsv").filter(pl.col("weighted"))
    # A tenth of the weak positions are rows, and a single one that the model raises moves a figure
    # of six test genes.
    tolerances = {"base": 0.05, "model": 0.1}
    for name in ("donor", "acceptor"):
        for side, tolerance in tolerances.items():
            found = [
                table.filter(pl.col("class") == name, pl.col("metric") == "average_precision")[
                    side
                ].item()
                for table in (tracks, rows)
            ]
            assert found[0] == pytest.approx(found[1], abs=tolerance)
    assert json.loads((called / "results/tracks/summary.json").read_text())["positions"] > 10_000
    tiers = read(called, "results/tracks/tiers.tsv")
    own = tiers.filter(pl.col("tier") == "canonical", pl.col("class") == "all")
    assert own["model_recall"].min() > 0.5
    assert "Sites of the canonical transcript" in (called / "results/report/index.html").read_text()


def test_scores_around_the_sites_are_highest_on_them(called):
    table = read(called, "results/neighbours/neighbours.tsv")
    shares = table.filter(pl.col("offset") == 0)
    assert shares["part"].unique().sort().to_list() == ["b000", "b001", "test", "training"]
    assert shares["peak_share"].min() > 0.8
    assert "Calls sit on the sites" in (called / "results/report/index.html").read_text()
    windows = pl.read_parquet(called / "results/batches/b000/neighbours.parquet")
    assert windows.filter(pl.col("offset") == 0).height == 60
    group_of = dict(read(called, "results/table/genes.tsv").select("gene_id", "group").iter_rows())
    held_out = pl.read_parquet(called / "results/batches/b000/out_of_fold.parquet")
    assert {group_of[gene] for gene in windows["gene"]} <= set(held_out["group"])


def test_model_carries_how_its_features_are_made_and_where_to_call(called):
    model = load_model(called / "results")
    assert model.facts["sequence"]["features"]["kmers"] == [2]
    assert set(model.facts["thresholds"]) == {"neither", "donor", "acceptor"}
    assert model.facts["sequence"]["structure"]["ends"] == "known"
    assert "donor_max_upstream_60" in model.feature_names_in_
    assert set(STRUCTURE) <= set(model.feature_names_in_)  # the screen takes none for a leak
    assert not {"gene_length", "distance_to_start", "relative_position"} & set(
        model.feature_names_in_
    )


def test_every_model_file_calls_predicts_and_tells_of_itself(called, tmp_path, capsys):
    inputs = ["--fasta", "data/genome.fa", "--genes", "data/genes.gtf"]
    inputs += ["--scores", "results/scores/scores.parquet"]
    inputs = [part if part.startswith("--") else str(called / part) for part in inputs]
    files = sorted((called / "results").rglob("*.gbm"))
    places = {str(path.parent.relative_to(called / "results")) for path in files}
    folds = {f"single/folds/{fold}" for fold in range(3)}
    assert places == {"batches/b000", "batches/b001", "ensemble", "single", "both", "model"} | folds
    test = read(called, "results/dataset/test_groups.tsv")["group"].to_list()
    genes = read(called, "results/table/genes.tsv")
    planned = pl.read_parquet(called / "results/batches/groups.parquet")
    first = planned.filter(batch="b000")["group"].cast(pl.String).to_list()
    (trained,) = genes.filter(pl.col("group").is_in(first))["gene_id"][:1]
    (unseen,) = genes.filter(pl.col("group").is_in(test))["gene_id"][:1]
    trained_on = {}
    for number, path in enumerate(files):
        out = tmp_path / str(number)
        # Of fold models and of uncalibrated ones no held-out probabilities are known.
        raw = path.name in ("folds.gbm", "uncalibrated.gbm")
        options = ["--only", trained, unseen, "--threshold", "0.5", "0.5"][: None if raw else 3]
        done = main(["call", str(path), *inputs, *options, "-o", str(out / "calls")])
        assert done == 0, (path, capsys.readouterr().err)
        coverage = read(out, "calls/coverage.tsv")
        trained_on[path] = dict(coverage.select("gene_id", "trained_on").iter_rows())
        table, rows = called / "results/table/part-000.parquet", out / "rows.parquet"
        assert main(["predict", str(path), str(table), "-o", str(rows)]) == 0
        assert pl.read_parquet(rows).height == pl.read_parquet(table).height
        assert main(["inspect", str(path)]) == 0
    assert not any(of[unseen] for of in trained_on.values())
    # Files of folds count every gene that any of the folds was trained on.
    assert all(of[trained] == (path.parent.name != "b001") for path, of in trained_on.items())


def test_second_run_has_nothing_to_do(run):
    assert run.planned() == Counter()


def test_genome_that_changed_outside_of_its_genes_retrains_no_batch(run):
    with (run.folder / "data/genome.fa").open("a") as genome:
        genome.write(">more\nACGT\n")
    assert jobs(run.ok(MANIFEST))["build_dataset", None] == 1
    assert not {rule for rule, _ in run.planned()} & BATCH_RULES


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: (data / "genes.gtf").write_text("chr1\t10\t20\tgene\n"), "genes.gtf"),
        (lambda data: (data / "genome.fa").write_text("chr1\tx\tgene\t1\t2\n"), "genome.fa"),
        (lambda data: (data / "few.txt").write_text("SIMG99999\n"), "SIMG99999"),
    ],
)
def test_wrong_file_is_named_with_what_was_wanted(run, damage, message):
    damage(run.folder / "data")
    output = run.fails()
    assert message in output
    assert "Traceback" not in output


def change(run: Run, section: str, **keys) -> None:
    config = run.config
    config[section] |= keys
    run.configure(config)


def test_a_run_of_some_targets_ends_with_words_of_what_is_there(run):
    comparison = "results/evaluation/comparison.tsv"
    assert "Results on every position" in run.ok(comparison, "--forcerun", "evaluate_tracks")
    (run.folder / "results/tracks/comparison.tsv").unlink()
    output = run.ok(comparison, "--forcerun", "evaluate")
    assert "Results on the test groups" in output
    assert "Results on every position" not in output


def test_another_scorer_scores_anew(run):
    change(run, "sequence", scorer="spliceai")
    assert run.planned()["score_genes", None] == 1


@pytest.fixture(scope="session")
def two_models(made_once, called):
    """A finished run with two base models, the second better at donors; not to be changed."""

    def fill(folder: Path) -> None:
        shutil.copytree(called / "data", folder / "data")
        scores = pl.read_parquet(called / "results/scores/scores.parquet")
        scores.write_parquet(folder / "data/plain.parquet")
        genes = {gene.id: gene for gene in read_gene_models(folder / "data/genes.gtf")}
        donors = pl.concat(
            pl.DataFrame({"gene_id": name, "position": splice_sites(gene)[0].astype(np.int32)})
            for name, gene in genes.items()
        ).with_columns(true=pl.lit(True))
        scores = scores.with_columns(pl.col("gene_id").cast(pl.String))
        known = scores.join(donors, on=["gene_id", "position"], how="left", maintain_order="left")
        better = pl.when(pl.col("true")).then(pl.col("donor") ** 0.5).otherwise("donor")
        known = known.with_columns(donor=better.clip(0, 1 - pl.col("acceptor")))
        known.drop("true").write_parquet(folder / "data/better.parquet")
        run = Run(folder)
        named = {"plain": "data/plain.parquet", "better": "data/better.parquet"}
        sequence = GENOME["sequence"] | {"scorer": None, "scores": named}
        run.configure(GENOME | {"sequence": sequence})
        run.ok("results/calls/few/positions.parquet", "results/report/MODEL_CARD.md")

    return made_once("two_models", fill)


def test_a_second_base_model_gives_features_of_its_own_and_helps(two_models, called, capsys):
    model = load_model(two_models / "results")
    assert main(["inspect", str(two_models / "results")]) == 0
    assert "base models: plain, better (boosters start from the first)" in capsys.readouterr().out
    card = (two_models / "results/report/MODEL_CARD.md").read_text()
    assert "the boosters start from the first: plain, better." in card
    alone = (called / "results/report/MODEL_CARD.md").read_text()
    assert "base models" not in alone
    asked = [name for name in model.columns_in_ if name.startswith("scores_better_")]
    assert asked
    columns = pl.read_parquet_schema(two_models / "results/table/part-000.parquet")
    assert {"scores_better_donor_gap", "scores_better_acceptor_gap"} <= set(columns)
    assert not any(name.startswith("scores_plain_") for name in columns)
    assert model.facts["sequence"]["base_models"]["first"] == "plain"
    losses = [
        read(folder, "results/evaluation/comparison.tsv").filter(
            pl.col("metric") == "log_loss", pl.col("class") == "all", pl.col("weighted")
        )
        for folder in (two_models, called)
    ]
    assert losses[0]["base"].equals(losses[1]["base"])  # both start from the same scores
    assert losses[0]["model"].item() < losses[1]["model"].item()


def test_calls_with_two_base_models_name_both(two_models, tmp_path, capsys):
    data = two_models / "data"
    fixed = ["call", str(two_models / "results"), "--fasta", str(data / "genome.fa")]
    fixed += ["--genes", str(data / "genes.gtf"), "--only", *FEW, "--band", "0.01", "1"]
    fixed += ["-o", str(tmp_path / "calls"), "--scores"]
    plain, better = f"plain={data / 'plain.parquet'}", f"better={data / 'better.parquet'}"
    assert main([*fixed, plain]) == 1
    assert "trained with the scores of the base model 'better' too" in capsys.readouterr().err
    assert main([*fixed, better, plain]) == 0
    found = pl.read_parquet(tmp_path / "calls/positions.parquet")
    run = pl.read_parquet(two_models / "results/calls/few/positions.parquet")
    assert found.equals(run)


SCORER = """
import sys

fasta, scores = sys.argv[1:]
print("stub of a scorer")
with open(fasta) as stream, open(scores, "w") as out:
    out.write("gene_id,position,donor,acceptor\\n")
    for record in stream.read().split(">")[1:]:
        head, _, lines = record.partition("\\n")
        gene, length, flank = head.split()
        length, flank = int(length.split("=")[1]), int(flank.split("=")[1])
        sequence = lines.replace("\\n", "")
        for position in range(length):
            place = position + flank
            donor = 0.5 * (sequence[place + 1 : place + 3] == "GT")
            acceptor = 0.4 * (sequence[place - 2 : place] == "AG")
            if donor or acceptor:
                out.write(f"{gene},{position},{donor},{acceptor}\\n")
"""


@pytest.fixture
def by_command(tmp_path, called) -> Run:
    """A run that has not begun, whose genes a program of the user's scores."""
    shutil.copytree(called / "data", tmp_path / "data")
    (tmp_path / "data/scorer.py").write_text(SCORER)
    run = Run(tmp_path)
    scorer = {"command": "python data/scorer.py {fasta} {scores} && echo '{done}'", "flank": 7}
    sequence = GENOME["sequence"] | {"scorer": scorer | {"files": ["data/scorer.py"]}}
    run.configure(GENOME | {"sequence": sequence})
    return run


TABLE = "results/table/genes.tsv"


def test_a_program_of_the_users_scores_the_genes(by_command):
    run = by_command
    run.ok(TABLE)
    log = (run.folder / "results/logs/run_scorer.log").read_text()
    assert log == "stub of a scorer\n{done}\n"
    scores = pl.read_parquet(run.folder / "results/scores/scores.parquet")
    of_strand = {gene.strand: gene for gene in read_gene_models(run.folder / "data/genes.gtf")}
    assert set(of_strand) == {"+", "-"}
    with Fasta(run.folder / "data/genome.fa") as genome:
        for gene in of_strand.values():
            codes = gene_codes(genome, gene, -2, gene.length + 2)
            of_gene = scores.filter(pl.col("gene_id") == gene.id)
            donors = np.flatnonzero((codes[3:-1] == 2) & (codes[4:] == 3))
            acceptors = np.flatnonzero((codes[:-4] == 0) & (codes[1:-3] == 2))
            assert of_gene.filter(donor=0.5)["position"].to_list() == donors.tolist()
            found = of_gene.filter(pl.col("acceptor") > 0)["position"].to_list()
            assert found == acceptors.tolist()
    assert not (run.folder / "results/scores/genes.fa").exists()
    assert run.planned(TABLE) == {}
    program = run.folder / "data/scorer.py"
    os.utime(program)
    assert run.planned(TABLE) == {}
    program.write_text(SCORER.replace("0.5", "0.6"))
    os.utime(program, (0, 0))  # as one that was made before, and takes its place
    assert run.planned(TABLE)["run_scorer", None] == 1


def test_a_program_that_fails_or_leaves_out_a_gene_is_told(by_command):
    path = by_command.folder / "data/scorer.py"
    path.write_text("raise SystemExit('no weights here')")
    output = by_command.fails(TABLE)
    assert "no weights here" in output
    path.write_text(
        SCORER.replace(
            "gene, length, flank = head.split()",
            f"""
        gene, length, flank = head.split()
        if gene == "{FEW[0]}":
            continue""",
        )
    )
    output = by_command.fails(TABLE)
    assert f"has no score of 1 of 36 genes: {FEW[0]}" in output
    assert "sequence.unscored to zero" in output


@pytest.mark.parametrize(
    ("section", "keys"), [("features", {"kmers": [3]}), ("sampling", {"seed": 8})]
)
def test_another_way_to_make_rows_builds_the_table_and_scores_nothing(run, section, keys):
    config = run.config
    run.configure(config | {section: config.get(section, {}) | keys})
    rules = {rule for rule, _ in run.planned()}
    assert {"build_dataset", "analyze_dataset", "plan_batches", "call_genes"} <= rules
    assert "score_genes" not in rules


@pytest.mark.parametrize(
    ("keys", "sets", "more"),
    [
        ({"band": [0.05, 1.0]}, 1, set()),
        ({"bigwig": True}, 2, {"evaluate_tracks", "neighbours", "write_report"}),
        ({"transcripts": False}, 2, {"evaluate_tracks", "neighbours", "write_report"}),
    ],
)
def test_another_way_to_call_calls_what_it_is_for_and_trains_nothing(run, keys, sets, more):
    change(run, "call", **keys)
    planned = run.planned()
    assert planned["call_genes", None] == sets
    assert {rule for rule, _ in planned} == {"call_genes"} | more


def test_a_share_to_rescore_calls_only_the_sets_that_it_is_for(run):
    change(run, "call", target_share=0.02)
    assert run.planned()["call_genes", None] == 1
    run.ok("results/calls/few/coverage.tsv")
    coverage = read(run.folder, "results/calls/few/coverage.tsv")
    assert 0 < coverage["rescored"].sum() <= 0.02 * coverage["expected"].sum()


def test_annotation_of_other_coordinates_is_refused_before_anything_is_built(run):
    genes = run.folder / "data/genes.gtf"
    columns = [line.split("\t") for line in genes.read_text().splitlines()]
    for line in columns:
        line[3:5] = [str(int(place) + 1) for place in line[3:5]]
    genes.write_text("".join("\t".join(line) + "\n" for line in columns))
    output = run.fails()
    assert "off by 1" in output
    assert "sequence.genes" in output
    assert "Traceback" not in output
