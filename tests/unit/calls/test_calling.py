"""Tests of calls.calling: every position of every gene by one rule, or no file at all."""

import gzip
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.calls import calling, folder, rescoring, transcripts
from genebatch.calls.calling import call, feature_spec, read_ids
from genebatch.calls.rescoring import EDGES, Band
from genebatch.cli import main
from genebatch.features.along_gene import gene_blocks
from genebatch.features.positions import FEATURE_VERSION
from genebatch.features.structure.lengths import Lengths
from genebatch.features.structure.model import StructureModel
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel
from tests.builders.called_genome import CLASSES, SPEC, THRESHOLDS, make

KINDS = ("base", "probability", "std")
FLAGS = ("--fasta", "--genes", "--scores")
FILES = {"positions.parquet", "calls.bed", "coverage.tsv", "calls_ucsc.bed", "calls_igv.xml"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def meta(made, tmp_path_factory):
    """Positions of all genes, all re-scored."""
    return positions(call(*made.files, tmp_path_factory.mktemp("meta"), mode="meta"))


def positions(coverage):
    return pl.read_parquet(coverage.folder / "positions.parquet")


def values(frame, kind):
    return frame.select(f"{kind}_{name}" for name in CLASSES).to_numpy()


def read_coverage(folder):
    kinds = {"trained_on": pl.Boolean}
    return pl.read_csv(folder / "coverage.tsv", separator="\t", schema_overrides=kinds)


def of_gene(frame, name):
    return frame.filter(pl.col("gene_id").cast(pl.String) == name)


def other_model(made, path, **changes):
    replace(made.model, **changes).save(path)
    return [path, *made.files[1:]]


def uncertain(made):
    """The larger of the two base scores of every position, genes in order."""
    return np.concatenate([made.scores[gene.id].max(axis=0) for gene in made.genes])


def test_every_position_of_every_gene_is_there_once_and_in_order(made, meta):
    wanted = [(gene.id, place) for gene in made.genes for place in range(gene.length)]
    assert list(meta.select(pl.col("gene_id").cast(pl.String), "position").iter_rows()) == wanted


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    "name", ["donor.plus.bw", "positions.parquet", "calls.bed", "transcripts.gff3", "calls.bed.gz"]
)
def test_inputs_that_the_call_would_replace_are_refused(made, tmp_path, name, linked):
    model, fasta, genes, scores = made.files
    own = tmp_path / name
    own.write_bytes(scores.read_bytes())
    out = tmp_path
    if linked:
        out = tmp_path / "linked"
        out.symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"would be replaced by the call.*name another folder"):
        call(model, fasta, genes, own, out)
    tracks = {s: {kind: own for kind in ("donor", "acceptor")} for s in ("plus", "minus")}
    with pytest.raises(InputError, match="would be replaced by the call"):
        call(model, fasta, genes, tracks, out)
    assert own.read_bytes() == scores.read_bytes()


def test_meta_is_the_model_on_the_features_of_the_whole_gene(made, meta):
    for gene in made.genes:
        rows, found = made.features(gene), of_gene(meta, gene.id)
        for kind, expected in (
            ("probability", made.model.predict_proba(rows)),
            ("std", made.model.predict_std(rows)),
        ):
            np.testing.assert_array_equal(values(found, kind), expected.astype(np.float32))
    assert meta["rescored"].all()


def test_base_columns_are_the_scores_as_given(made, meta):
    donor, acceptor = np.hstack([made.scores[gene.id] for gene in made.genes])
    np.testing.assert_array_equal(meta["base_donor"], donor)
    np.testing.assert_array_equal(meta["base_acceptor"], acceptor)
    np.testing.assert_allclose(meta["base_neither"], 1 - donor - acceptor, atol=1e-7)


def test_neither_is_never_negative():
    found = rescoring.base_probabilities(np.array([[0.6], [0.4005]], np.float32), CLASSES)
    assert found[0, 0] == 0


@pytest.mark.parametrize("block", [1, 97, 1000])
def test_hybrid_is_meta_inside_the_band_and_base_elsewhere(
    made, meta, block, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        rescoring, "gene_blocks", lambda genome, gene, _: gene_blocks(genome, gene, block)
    )
    found = positions(call(*made.files, tmp_path, mode="hybrid", band=(0.02, 0.3)))
    inside = (uncertain(made) >= np.float32(0.02)) & (uncertain(made) < np.float32(0.3))
    assert 0 < inside.sum() < 200
    np.testing.assert_array_equal(found["rescored"], inside)
    np.testing.assert_array_equal(
        values(found, "probability"),
        np.where(inside[:, None], values(meta, "probability"), values(meta, "base")),
    )
    for name in CLASSES:
        std = found[f"std_{name}"]
        np.testing.assert_array_equal(std.is_null(), ~inside)
        np.testing.assert_array_equal(std.filter(inside), meta[f"std_{name}"].filter(inside))


def test_base_never_asks_the_model(made, tmp_path, monkeypatch):
    monkeypatch.setattr(EnsembleModel, "frame_probabilities", None)
    found = positions(call(*made.files, tmp_path, mode="base"))
    np.testing.assert_array_equal(values(found, "probability"), values(found, "base"))
    assert not found["rescored"].any()


@pytest.mark.parametrize(
    ("block", "rows", "waiting"), [(11, 1, 1), (50, 120, 10**6), (10**4, 7, 99)]
)
def test_files_do_not_depend_on_how_positions_are_gathered(
    made, meta, block, rows, waiting, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        rescoring, "gene_blocks", lambda genome, gene, _: gene_blocks(genome, gene, block)
    )
    monkeypatch.setattr(rescoring, "ROWS", rows)
    monkeypatch.setattr(rescoring, "WAITING", waiting)
    coverage = call(*made.files, tmp_path, mode="meta", wanted=["long", "other"])
    chosen = pl.col("gene_id").cast(pl.String).is_in(["long", "other"])
    assert positions(coverage).equals(meta.filter(chosen))


def test_few_rows_of_many_genes_go_through_the_model_at_once(made, tmp_path, monkeypatch):
    asked = []
    ask = EnsembleModel.frame_predictions

    def watched(self, frame):
        asked.append(frame.height)
        return ask(self, frame)

    monkeypatch.setattr(EnsembleModel, "frame_predictions", watched)
    coverage = call(*made.files, tmp_path, band=(0.02, 0.3))
    assert asked == [coverage.rescored]


def test_no_more_is_held_than_said(made, tmp_path, monkeypatch):
    monkeypatch.setattr(
        rescoring, "gene_blocks", lambda genome, gene, _: gene_blocks(genome, gene, 10)
    )
    monkeypatch.setattr(rescoring, "ROWS", 30)
    monkeypatch.setattr(rescoring, "WAITING", 200)
    sizes = []
    written = folder.write_positions

    def watched(path, answers, classes, origin, carried):
        def passing():
            for answer in answers:
                sizes.append((len(answer.rescored), int(answer.rescored.sum())))
                yield answer

        written(path, passing(), classes, origin, carried)

    monkeypatch.setattr(folder, "write_positions", watched)
    call(*made.files, tmp_path, band=(0.02, 0.3))
    assert max(size for size, _ in sizes) <= 200 + 9
    assert max(rows for _, rows in sizes) <= 30 + 9
    assert len(sizes) > 5


def test_coverage_counts_what_is_in_the_file(made, tmp_path):
    coverage = call(*made.files, tmp_path, band=(0.02, 0.3))
    found, table = positions(coverage), read_coverage(tmp_path)
    assert table.equals(coverage.table)
    for line in table.iter_rows(named=True):
        rows = of_gene(found, line["gene_id"])
        gene = made.gene(line["gene_id"])
        assert line["expected"] == line["written"] == rows.height == gene.length
        assert (line["chrom"], line["strand"]) == (gene.chrom, gene.strand)
        assert line["rescored"] == rows["rescored"].sum()
        assert line["rescored_share"] == line["rescored"] / gene.length
        # The model's own thresholds: weighted where there is one, else that of the rows.
        assert line["donors"] == (rows["probability_donor"] >= 0.4).sum()
        assert line["acceptors"] == (rows["probability_acceptor"] >= 0.35).sum()
    assert coverage.positions == found.height
    assert coverage.rescored == found["rescored"].sum()


def test_share_of_rescored_positions_is_at_most_the_target(made, tmp_path):
    coverage = call(*made.files, tmp_path, target_share=0.05, band=(0, 0.3))
    low, high = coverage.band
    scores = uncertain(made)
    assert 0.03 < coverage.rescored / coverage.positions <= 0.05
    assert high == 0.3
    # One bin further down would hold too many.
    below = EDGES[np.searchsorted(EDGES, np.float32(low)) - 1]
    more = Band(float(below), high).holds(scores[None].repeat(2, axis=0), SPEC.floor)
    assert more.mean() > 0.05


def test_model_of_another_table_is_refused(made, tmp_path):
    files = other_model(made, tmp_path / "other.gbm", facts={"thresholds": THRESHOLDS})
    with pytest.raises(InputError, match=r"other\.gbm does not say how its features are made"):
        call(*files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_model_with_a_feature_of_other_origin_is_refused(made):
    features = replace(made.model.features, names=("phylop", *made.model.features.names[1:]))
    with pytest.raises(InputError, match=r"m\.gbm is not the model of its own features.*'phylop'"):
        feature_spec(replace(made.model, features=features), "m.gbm")


def test_model_of_other_classes_is_refused(made):
    with pytest.raises(InputError, match=r"m\.gbm has the classes \['a', 'b'\]"):
        feature_spec(replace(made.model, classes=("a", "b")), "m.gbm")


def test_model_of_another_version_of_the_features_is_refused(made):
    def versioned(version):
        sequence = made.model.facts["sequence"] | {"feature_version": version}
        return replace(made.model, facts=made.model.facts | {"sequence": sequence})

    assert feature_spec(versioned(FEATURE_VERSION), "m.gbm") == SPEC
    with pytest.raises(InputError, match=r"m\.gbm was trained with version 99 .* train again, or"):
        feature_spec(versioned(99), "m.gbm")


def test_model_without_a_version_of_the_features_has_the_first(made, monkeypatch):
    assert "feature_version" not in made.model.facts["sequence"]
    monkeypatch.setattr(calling, "FEATURE_VERSION", 1)
    assert feature_spec(made.model, "m.gbm") == SPEC
    monkeypatch.setattr(calling, "FEATURE_VERSION", 2)
    with pytest.raises(InputError, match="version 1 of the features and this is version 2"):
        feature_spec(made.model, "m.gbm")


FITTED = (
    "1 of 2 genes were in the training data; their probabilities are fitted values: do not judge "
    "the model on them"
)


def trained_on(made, path, *names):
    return other_model(made, path, facts=made.model.facts | {"trained_genes": [*names]})


def test_genes_of_the_training_are_marked_everywhere(made, tmp_path, caplog):
    files = trained_on(made, tmp_path / "m.gbm", "long", "inner")
    coverage = call(*files, tmp_path / "out", wanted=["long", "other"])
    assert coverage.table.select("gene_id", "trained_on").rows() == [
        ("long", True),
        ("other", False),
    ]
    assert read_coverage(tmp_path / "out").equals(coverage.table)
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [FITTED]
    assert f"\n# {FITTED}\n" in (tmp_path / "out" / "calls.bed").read_text()


def test_genes_outside_of_the_training_need_no_word(made, tmp_path, caplog):
    files = trained_on(made, tmp_path / "m.gbm", "long")
    coverage = call(*files, tmp_path / "out", wanted=["other"])
    assert coverage.table["trained_on"].to_list() == [False]
    assert "training data" not in caplog.text
    assert "training data" not in (tmp_path / "out" / "calls.bed").read_text()


def test_genes_of_the_training_with_other_versions_are_a_warning(made, tmp_path, caplog):
    files = trained_on(made, tmp_path / "m.gbm", "long.4", "inner", "a.1", "a.2")
    coverage = call(*files, tmp_path / "out", wanted=["long", "other"])
    assert coverage.table["trained_on"].to_list() == [False, False]
    (warning,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert warning.startswith(
        "1 of 2 genes have the id of a gene of the training data with another version, such as "
        "'long' ('long.4' there)"
    )
    assert f"\n# {warning}\n" in (tmp_path / "out" / "calls.bed").read_text()


def test_base_scores_are_no_fitted_values(made, tmp_path, caplog):
    files = trained_on(made, tmp_path / "m.gbm", "long")
    coverage = call(*files, tmp_path / "out", wanted=["long"], mode="base")
    assert coverage.table["trained_on"].to_list() == [True]
    assert "training data" not in caplog.text


def test_model_that_does_not_know_its_genes_leaves_it_open(made, tmp_path, caplog):
    coverage = call(*made.files, tmp_path, wanted=["long"])
    assert coverage.table["trained_on"].to_list() == [None]
    assert "training data" not in caplog.text


def cut_scores(made, path, least):
    """The positions with a score of `least` or more, the one at 5 with just that; no others.

    They keep their weaker score too, as tables that are cut do.
    """
    table = pl.read_csv(made.files[3], separator="\t").with_columns(
        donor=pl.when(pl.col("position") == 5).then(least).otherwise("donor"),
        acceptor=pl.when(pl.col("position") == 5).then(least / 1e4).otherwise("acceptor"),
    )
    kept = table.filter(pl.max_horizontal("donor", "acceptor") >= least)
    kept.write_csv(path, separator="\t")
    return path


def known_down_to(made, path, least):
    sequence = made.model.facts["sequence"] | {"least_score": least}
    return other_model(made, path, facts=made.model.facts | {"sequence": sequence})[:3]


@pytest.mark.parametrize(
    ("trained", "limit"), [(0.01, "0.01"), (1e-9, "1e-05"), (0.034, None), (None, None)]
)
def test_scores_that_end_above_those_of_the_training_are_told(
    made, tmp_path, caplog, trained, limit
):
    scores = cut_scores(made, tmp_path / "cut.tsv", 0.1)
    files = known_down_to(made, tmp_path / "m.gbm", trained)
    call(*files, scores, tmp_path / "out", wanted=["long", "other"])
    told = [r.getMessage() for r in caplog.records if "the base scores of" in r.getMessage()]
    assert len(told) == (limit is not None)
    for message in told:
        assert f"cut.tsv end at 0.1, those of the training at {limit}:" in message
        assert message.endswith(f"use scores cut at {limit} or lower")


def test_base_scores_alone_may_end_anywhere(made, tmp_path, caplog):
    scores = cut_scores(made, tmp_path / "cut.tsv", 0.1)
    files = known_down_to(made, tmp_path / "m.gbm", 1e-5)
    call(*files, scores, tmp_path / "out", wanted=["long", "other"], mode="base")
    assert "the base scores of" not in caplog.text


def test_score_of_one_is_rescored_in_the_usual_band(made, tmp_path):
    table = pl.read_csv(made.files[3], separator="\t")
    here = (pl.col("gene_id") == "other") & (pl.col("position") == 7)
    table.with_columns(
        pl.when(here).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in (("donor", 1.0), ("acceptor", 0.0))
    ).write_csv(tmp_path / "scores.tsv", separator="\t")
    coverage = call(*made.files[:3], tmp_path / "scores.tsv", tmp_path / "out", wanted=["other"])
    line = positions(coverage).row(7, named=True)
    assert line["base_donor"] == 1
    assert line["rescored"]
    # The file says the band as it was given.
    origin = pq.read_schema(tmp_path / "out" / "positions.parquet").metadata[b"genebatch.calls"]
    assert json.loads(origin)["band"] == [0.00003, 1.0]


def test_deviation_is_of_the_members_before_a_change_of_prevalence(made, meta, tmp_path):
    share = {"neither": 0.999, "donor": 0.0005, "acceptor": 0.0005}
    files = other_model(made, tmp_path / "m.gbm", prevalence=share)
    found = positions(call(*files, tmp_path / "out", mode="meta"))
    np.testing.assert_array_equal(values(found, "std"), values(meta, "std"))
    assert (found["probability_donor"] <= meta["probability_donor"]).all()
    assert found["probability_donor"].sum() < meta["probability_donor"].sum() / 2


def test_unknown_gene_is_an_error_and_none_is_dropped(made, tmp_path):
    with pytest.raises(InputError, match=r"'outer'.*'other'"):
        call(*made.files, tmp_path / "out", wanted=["long", "outer"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"no gene of .*genes\.gtf is to be called"):
        call(*made.files, tmp_path / "out", wanted=[])
    coverage = call(*made.files, tmp_path, wanted=["tiny", "long"])
    assert coverage.table["gene_id"].to_list() == ["long", "tiny"]


def test_gene_without_scores_is_an_error_or_zero(made, tmp_path):
    scores = pl.read_csv(made.files[3], separator="\t").filter(pl.col("gene_id") != "tiny")
    scores.write_csv(tmp_path / "scores.tsv", separator="\t")
    files = [*made.files[:3], tmp_path / "scores.tsv"]
    with pytest.raises(InputError, match="tiny"):
        call(*files, tmp_path / "out")
    coverage = call(*files, tmp_path / "out", unscored="zero", mode="meta")
    assert of_gene(positions(coverage), "tiny")["base_neither"].to_list() == [1.0] * 4
    with pytest.raises(InputError, match="no score of 1 of 1 genes: tiny"):
        call(*files, tmp_path / "none", wanted=["tiny"], unscored="zero")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "selective"}, "--mode is 'selective'; known: meta, hybrid, base"),
        ({"band": (0.5, 0.5)}, "--band"),
        ({"band": (-1, 0.5)}, "--band"),
        ({"target_share": 0}, "--target-share"),
        ({"target_share": 0.1, "mode": "meta"}, "--target-share"),
        ({"thresholds": {"donor": 0.5}}, "--threshold"),
    ],
)
def test_settings_that_mean_nothing_are_refused(made, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        call(*made.files, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_bigwig_library_is_asked_for_first(made, tmp_path, monkeypatch):
    def missing(wanting):
        raise InputError("pip install")

    monkeypatch.setattr(calling, "bigwig_library", missing)
    monkeypatch.setattr(calling, "load_model", None)
    with pytest.raises(InputError, match="pip install"):
        call(*made.files, tmp_path, bigwig=True)


def test_file_in_place_of_the_folder_is_refused(made, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out is a file; name a folder"):
        call(*made.files, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def drop_a_position(monkeypatch):
    blocks = gene_blocks

    def short(genome, gene, _):
        for block in blocks(genome, gene, 100):
            cut = block.stop == gene.length and gene.id == "inner"
            yield block._replace(scores=block.scores[:, :-1]) if cut else block

    monkeypatch.setattr(rescoring, "gene_blocks", short)


def test_gap_raises_and_leaves_nothing(made, tmp_path, monkeypatch):
    drop_a_position(monkeypatch)
    with pytest.raises(RuntimeError, match="wanted inner:209; the coverage is not complete"):
        call(*made.files, tmp_path, mode="base", bigwig=True)
    assert list(tmp_path.iterdir()) == []


def test_error_half_way_keeps_the_earlier_files(made, tmp_path, monkeypatch):
    call(*made.files, tmp_path, bigwig=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() > FILES
    monkeypatch.setattr(folder, "write_session", None)  # the last file
    with pytest.raises(TypeError):
        call(*made.files, tmp_path, mode="meta", bigwig=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_further_files_of_an_earlier_call_go(made, tmp_path):
    call(*made.files, tmp_path, mode="base", bigwig=True, transcripts=2)
    assert (tmp_path / "transcripts.gff3").is_file()
    (tmp_path / "phylop.bw").write_text("mine")
    for kind in ("parquet", "gff3"):
        (tmp_path / f".k1ll3d_x.part.{kind}").write_text("half")
    call(*made.files, tmp_path, mode="base")
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"phylop.bw"}


def test_tracks_stay_with_the_files_they_belong_to(made, tmp_path, monkeypatch):
    call(*made.files, tmp_path, bigwig=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    drop_a_position(monkeypatch)
    with pytest.raises(RuntimeError):
        call(*made.files, tmp_path, mode="base")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def lines_of(folder, gene):
    """Lines of a gene among the transcripts."""
    lines = (folder / "transcripts.gff3").read_text().splitlines()
    return [line for line in lines if re.search(rf"[:=]{gene}[.;\t]", line + "\t")]


def test_transcripts_are_those_of_the_probabilities_in_the_positions_file(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr(transcripts, "COST", 0)  # base scores have none
    options = {"transcripts": 30, "least_posterior": 0.01}
    call(*made.files, tmp_path / "meta", mode="meta", **options)
    call(*made.files, tmp_path / "base", mode="base", **options)
    assert lines_of(tmp_path / "meta", "long") != lines_of(tmp_path / "base", "long")
    # Scores that are the probabilities of a model give what that model gives.
    found = pl.read_parquet(tmp_path / "meta" / "positions.parquet")
    columns = [pl.col(f"probability_{name}").alias(name) for name in ("donor", "acceptor")]
    scores = found.select(pl.col("gene_id").cast(pl.String), "position", *columns)
    scores.write_parquet(tmp_path / "scores.parquet")
    files = [*made.files[:3], tmp_path / "scores.parquet"]
    call(*files, tmp_path / "again", mode="base", wanted=["long", "other"], **options)
    for gene in ("long", "other"):
        assert lines_of(tmp_path / "again", gene) == lines_of(tmp_path / "meta", gene) != []


def test_model_without_lengths_predicts_transcripts_with_those_of_human_genes(
    made, tmp_path, caplog
):
    call(*made.files, tmp_path / "older", transcripts=5)
    older = (tmp_path / "older" / "transcripts.gff3").read_text()
    assert "with the lengths of human genes" in caplog.text
    assert "with the lengths of human genes" in older
    caplog.clear()
    sequence = made.model.facts["sequence"] | {"structure": StructureModel().plain()}
    files = other_model(made, tmp_path / "m.gbm", facts=made.model.facts | {"sequence": sequence})
    call(*files, tmp_path / "out", transcripts=5)
    assert "lengths" not in caplog.text
    text = (tmp_path / "out" / "transcripts.gff3").read_text()
    assert text.splitlines()[2:] == older.splitlines()[3:]
    lengths = replace(Lengths(), longest_intron=100)
    sequence |= {"structure": StructureModel(lengths=lengths).plain()}
    files = other_model(made, tmp_path / "n.gbm", facts=made.model.facts | {"sequence": sequence})
    call(*files, tmp_path / "short", transcripts=50)
    for line in (tmp_path / "short" / "transcripts.gff3").read_text().splitlines():
        _, _, kind, start, end, *_ = line.split("\t") if line[0] != "#" else [""] * 9
        assert kind != "intron" or int(end) - int(start) < 100


def test_other_transcripts_than_the_longest_are_annotated_too(made, tmp_path):
    line = 'chr2\tx\texon\t{}\t{}\t.\t-\t.\tgene_id "other"; transcript_id "other.2";\n'
    annotation = tmp_path / "genes.gtf"
    more = [line.format(*span) for span in ((11, 60), (231, 280))]
    annotation.write_text(made.files[2].read_text() + "".join(more))
    sequence = made.model.facts["sequence"] | {"transcripts": "longest"}
    facts = made.model.facts | {"sequence": sequence}
    model = other_model(made, tmp_path / "m.gbm", facts=facts)[0]
    scores = pl.DataFrame(
        {"gene_id": "other", "position": [59, 230], "donor": [0.99, 0.0], "acceptor": [0.0, 0.99]}
    )
    scores.write_csv(tmp_path / "scores.tsv", separator="\t")
    files = (model, made.files[1], annotation, tmp_path / "scores.tsv")
    call(*files, tmp_path / "out", wanted=["other"], mode="base", transcripts=0)
    introns = [line for line in lines_of(tmp_path / "out", "other") if "\tintron\t" in line]
    assert [line.split("\t")[3:5] for line in introns] == [["61", "230"]]
    assert "annotated=yes" in introns[0]


def test_files_without_tags_are_called_by_the_longest_transcripts(made, tmp_path, caplog):
    sequence = made.model.facts["sequence"] | {"transcripts": "canonical"}
    facts = made.model.facts | {"sequence": sequence}
    files = other_model(made, tmp_path / "m.gbm", facts=facts)
    coverage = call(*files, tmp_path / "out", mode="base")
    assert coverage.table.height == 5
    assert "no transcript has a tag of canonical ones" in caplog.text
    assert "the longest transcript of each gene is taken" in caplog.text


def test_genes_of_wanted_biotypes_are_called(made, tmp_path, capsys):
    annotation = tmp_path / "genes.gtf"
    kinds = {True: "protein_coding", False: "lncRNA"}
    lines = made.files[2].read_text().splitlines()
    kept = [f'{line} gene_biotype "{kinds[chr(34) + "long" in line]}";' for line in lines]
    annotation.write_text("\n".join(kept) + "\n")
    files = (made.files[0], made.files[1], annotation, made.files[3])
    coverage = call(*files, tmp_path / "out", mode="base", biotypes=["protein_coding"])
    assert coverage.table["gene_id"].to_list() == ["long"]
    named = [part for pair in zip(FLAGS, map(str, files[1:]), strict=True) for part in pair]
    options = ["-o", str(tmp_path / "again"), "--mode", "base", "--biotypes", "lncRNA"]
    assert main(["call", str(files[0]), *named, *options]) == 0
    assert " of 4 genes" in capsys.readouterr().out


def test_ids_are_a_line_each(tmp_path):
    (tmp_path / "ids.txt").write_text("# two genes\nlong\n\n other \n")
    assert read_ids(tmp_path / "ids.txt") == ["long", "other"]


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"# two genes\nlong\nother\n", mtime=0),
        b"\xef\xbb\xbflong\r\nother",
        b"long\rother\r",
    ],
)
def test_lists_of_ids_are_read_as_other_texts_are(tmp_path, data):
    (tmp_path / "ids.txt").write_bytes(data)
    assert read_ids(tmp_path / "ids.txt") == ["long", "other"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"# none\n", "names no gene"),
        (b"", "is empty"),
        ("long\n".encode("utf-16"), "is UTF-16 text"),
        ("g\u00e8ne\n".encode("latin-1"), "line 1: not UTF-8 text"),
        (b"PK\x03\x04", "is a zip archive"),
    ],
)
def test_what_is_no_list_of_ids_is_refused_with_what_was_wanted(
    made, tmp_path, capsys, data, message
):
    path = tmp_path / "ids.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"ids\.txt.*{message}"):
        read_ids(path)
    assert main(command(made, tmp_path / "out", "--only", str(path))) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "UTF-8" in error or (
        "wanted a gene id a line" in error and "set call.sets or --only" in error
    )


def command(made, out, *options):
    model, *files = (str(path) for path in made.files)
    named = [part for pair in zip(FLAGS, files, strict=True) for part in pair]
    return ["call", model, *named, "-o", str(out), *options]


def test_command_writes_the_files_of_the_function(made, meta, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("inner\n")
    options = ("--mode", "meta", "--only", str(tmp_path / "ids.txt"), "other", "--bigwig")
    options += ("--transcripts", "20", "--least-posterior", "0.2")
    assert main(command(made, tmp_path / "out", *options, "--threshold", "0.5", "0.6")) == 0
    assert "490 positions of 2 genes" in capsys.readouterr().out
    wanted = pl.col("gene_id").cast(pl.String).is_in(["inner", "other"])
    found = pl.read_parquet(tmp_path / "out" / "positions.parquet")
    assert found.equals(meta.filter(wanted))
    assert "donor >= 0.5, acceptor >= 0.6" in (tmp_path / "out" / "calls.bed").read_text()
    assert len(list((tmp_path / "out").glob("*.bw"))) == 4
    transcripts = (tmp_path / "out" / "transcripts.gff3").read_text()
    shares = re.findall(r"rank=(\d+);posterior=([^;]+);drawn_share", transcripts)
    assert [rank for rank, _ in shares].count("1") == 2
    assert all(float(share) >= 0.2 for rank, share in shares if rank != "1")


def test_command_says_what_is_wrong(made, tmp_path, capsys):
    assert main(command(made, tmp_path, "--only", "nobody")) == 1
    assert "genebatch call: " in capsys.readouterr().err
    assert main(command(made, tmp_path, "--scores", "plus.donor=a.bw")) == 1
    assert "plus.acceptor" in capsys.readouterr().err


def test_command_warns_on_standard_error(made, tmp_path):
    sequence = made.model.facts["sequence"] | {"least_score": 1e-3}
    facts = made.model.facts | {"sequence": sequence, "trained_genes": ["long"]}
    model = other_model(made, tmp_path / "m.gbm", facts=facts)[0]
    scores = cut_scores(made, tmp_path / "cut.tsv", 0.1)
    _, _, *options = command(made, tmp_path / "out", "--only", "long", "other")
    done = subprocess.run(
        [sys.executable, "-m", "genebatch", "call", model, *options, "--scores", scores],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"WARNING {FITTED}\n" in done.stderr
    assert f"WARNING the base scores of {scores} end at 0.1, " in done.stderr
    assert done.stdout.count("\n") == 1


def test_command_has_a_message_for_a_full_disk(made, tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write_positions", full)
    assert main(command(made, tmp_path / "out")) == 1
    assert capsys.readouterr().err == "genebatch call: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_command_wants_a_thread_at_least(made, tmp_path, threads, capsys):
    table = ["predict", "m.gbm", "t.parquet", "-o", "p.parquet"]
    for arguments in (command(made, tmp_path / "out"), table):
        with pytest.raises(SystemExit):
            main([*arguments, f"--threads={threads}"])
        assert f"--threads: {threads} is not a whole number from 1" in capsys.readouterr().err


def test_bigwig_files_are_scores_for_the_next_call(made, tmp_path):
    # Genes that do not overlap, so that no larger value of a neighbour stands in their place.
    names = ["across", "long", "other", "tiny"]
    first = call(*made.files, tmp_path / "first", mode="base", wanted=names, bigwig=True)
    scores = [
        f"{strand}.{site}={first.folder / f'{site}.{strand}.bw'}"
        for strand in ("plus", "minus")
        for site in ("donor", "acceptor")
    ]
    options = ("--mode", "meta", "--only", *names, "--scores", *scores)
    assert main(command(made, tmp_path / "second", *options)) == 0
    found = pl.read_parquet(tmp_path / "second" / "positions.parquet")
    for name in names:
        donor, acceptor = made.scores[name]
        np.testing.assert_array_equal(of_gene(found, name)["base_donor"], donor)
        np.testing.assert_array_equal(of_gene(found, name)["base_acceptor"], acceptor)


def test_genes_that_cannot_be_read_are_left_out_and_named(made, tmp_path, capfd, caplog):
    model, fasta, genes, scores = made.files
    line = 'chr1\tx\texon\t{}\t{}\t.\t{}\t.\tgene_id "{}"; transcript_id "{}";\n'
    broken = [line.format(*span, "+", "bad", "bad.1") for span in ((30, 90), (1, 99))]
    beyond = [line.format(*span, "-", "far", "far.1") for span in ((1401, 1450), (1471, 1600))]
    annotation = tmp_path / "genes.gtf"
    annotation.write_text(genes.read_text() + "".join(broken + beyond))
    coverage = call(model, fasta, annotation, scores, tmp_path / "calls")
    assert set(coverage.table["gene_id"]) == {gene.id for gene in made.genes}
    assert "exons that overlap: 'bad.1'" in caplog.text
    assert "'far' ends at 1,600 but chr1" in caplog.text
    arguments = ["call", str(model), "-o", str(tmp_path / "strict"), "--max-refused", "0"]
    for flag, path in zip(FLAGS, (fasta, annotation, scores), strict=True):
        arguments += [flag, str(path)]
    assert main(arguments) == 1
    text = capfd.readouterr().err
    assert (
        "1 of 7 genes that cannot be used, more than sequence.max_refused or --max-refused" in text
    )
    assert not (tmp_path / "strict").exists()
