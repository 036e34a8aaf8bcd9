"""Calls by a model that was trained with tracks of evidence."""

import logging
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.calls.calling import call
from genebatch.calls.evidence import tracks_for
from genebatch.cli import main
from genebatch.config.tracks import NO_TRACKS, Tracks
from genebatch.genome.genes import genomic_positions, splice_sites
from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from tests.builders.called_genome import CLASSES, SIZES, make
from tests.builders.evidence import star_line, write_bigwig

READS = [
    f"track_reads_{site}_{what}"
    for site in ("donor", "acceptor")
    for what in ("unique", "all", "junctions")
]


# The introns of the genes: chromosome, first and last base from 1, strand, motif, unique reads.
JUNCTIONS = (
    *(("chr1", 221, 300, 1, 1, 9), ("chr1", 421, 800, 1, 1, 8), ("chr1", 401, 500, 1, 1, 7)),
    *(("chr1", 961, 1100, 2, 2, 6), ("chr2", 61, 90, 2, 2, 5), ("chr2", 151, 230, 2, 2, 4)),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that was trained with `cons`, a number that is 5 on donors, and with `reads`."""
    folder = tmp_path_factory.mktemp("made")
    plain = make(folder)
    values = {chrom: {} for chrom in SIZES}
    for gene in plain.genes:
        donors = genomic_positions(gene, splice_sites(gene)[0])
        values[gene.chrom] |= dict.fromkeys(donors.tolist(), 5)
    (folder / "SJ.out.tab").write_text("".join(star_line(*junction) for junction in JUNCTIONS))
    tracks = {
        "cons": {"kind": "number", "file": write_bigwig(folder / "cons.bw", values, SIZES)},
        "reads": {"kind": "junctions", "file": str(folder / "SJ.out.tab")},
    }
    return make(folder, tracks)


def section(made, **changes):
    return Tracks.build(made.tracks | changes)


def called(made, out, tracks, **options):
    coverage = call(*made.files, out, tracks=tracks, mode="meta", **options)
    return pl.read_parquet(coverage.folder / "positions.parquet")


def test_calls_have_the_features_of_the_training(made, tmp_path):
    found = called(made, tmp_path, section(made))
    assert not [name for name in found.columns if name.startswith("track")]
    for gene in made.genes:
        expected = made.model.predict_proba(made.features(gene)).astype(np.float32)
        own = found.filter(pl.col("gene_id").cast(pl.String) == gene.id)
        np.testing.assert_array_equal(own.select(f"probability_{c}" for c in CLASSES), expected)


def test_other_evidence_changes_the_calls(made, tmp_path):
    other = write_bigwig(tmp_path / "other.bw", {"chr1": {5: 1}}, SIZES)
    changed = section(made, cons={"kind": "number", "file": other})
    before = called(made, tmp_path / "a", section(made))
    after = called(made, tmp_path / "b", changed)
    lost = before["probability_donor"] - after["probability_donor"]
    assert lost.max() > 0.02


def test_model_file_tells_the_tracks_that_it_needs(made):
    told = load_model(made.files[0]).facts["sequence"]["tracks"]
    assert {name: facts["kind"] for name, facts in told.items()} == {
        "cons": "number",
        "reads": "junctions",
    }


def test_missing_track_is_refused_with_the_key_to_set_and_nothing_is_written(made, tmp_path):
    message = r"trained with the track 'cons' \(number\), which is not given; set sequence\.tracks"
    with pytest.raises(InputError, match=message + r"\.cons or --tracks cons=FILE to that of this"):
        call(*made.files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_track_of_another_kind_is_refused(made, tmp_path):
    changed = section(made, cons={"kind": "junctions", "file": "x"})
    with pytest.raises(InputError, match=r"'cons' is of kind junctions, but .* with kind number"):
        call(*made.files, tmp_path, tracks=changed)


def test_track_that_no_tree_uses_is_not_needed(made):
    facts = made.model.facts["sequence"]
    needed = tracks_for(facts, frozenset(["donor_score"]), NO_TRACKS, "m")
    assert needed == NO_TRACKS
    given = section(made)
    assert tracks_for(facts, frozenset(["donor_score"]), given, "m") == NO_TRACKS
    only = tracks_for(facts, frozenset(["track_cons_max_10"]), given, "m")
    assert [track.name for track in only.all] == ["cons"]


def test_other_columns_than_this_version_makes_are_refused(made):
    facts = {"tracks": {"cons": {"kind": "number", "columns": ["track_cons_median"]}}}
    with pytest.raises(InputError, match="needs other columns of the track 'cons'"):
        tracks_for(facts, frozenset(["track_cons_median"]), section(made), "m")


def test_ignored_tracks_stand_in_the_calls_and_change_none(made, tmp_path):
    truth = {"kind": "junctions", "file": made.tracks["reads"]["file"], "role": "ignore"}
    level = made.tracks["cons"] | {"role": "ignore"}
    plain = called(made, tmp_path / "a", section(made))
    found = called(made, tmp_path / "b", section(made, truth=truth, level=level))
    assert found.select(plain.columns).equals(plain)
    assert [name for name in found.columns if name not in plain.columns] == [
        *(name.replace("reads", "truth") for name in READS),
        "track_level_value",
    ]
    used = found.filter(pl.col("gene_id").cast(pl.String) == "other").filter(
        pl.col("track_truth_donor_unique") + pl.col("track_truth_acceptor_unique") > 0
    )
    columns = (f"track_truth_{site}_unique" for site in ("donor", "acceptor"))
    # Introns from 60 to 89 and from 150 to 229, counted from 0, on the minus strand.
    assert used.select(
        "genomic_position", *columns, pl.col("track_level_value").fill_nan(None)
    ).rows() == [
        (230, 4, 0, 5),
        (149, 0, 4, None),
        (90, 5, 0, 5),
        (59, 0, 5, None),
    ]


def test_use_of_every_track_is_logged(made, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    called(made, tmp_path, section(made))
    assert "track cons (number, feature): positions of genes with a value: " in caplog.text
    assert "junctions with an end in a gene on its strand: 6 of 6 (100 %) with 39" in caplog.text


def test_command_takes_tracks_by_name(made, tmp_path, capsys):
    model, fasta, genes, scores = map(str, made.files)
    inputs = [model, "--fasta", fasta, "--genes", genes, "--scores", scores, "--mode", "meta"]
    given = [f"{name}={keys['file']}" for name, keys in made.tracks.items()]
    given += [f"more={made.tracks['cons']['file']}"]
    assert main(["call", *inputs, "--tracks", *given, "-o", str(tmp_path / "a")]) == 0
    found = pl.read_parquet(tmp_path / "a/positions.parquet")
    expected = called(made, tmp_path / "b", section(made))
    assert found.drop("track_more_value").equals(expected)
    assert main(["call", *inputs, "-o", str(tmp_path / "c")]) == 1
    assert "--tracks cons=FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["cons"], "wanted NAME=FILE"),
        (["cons.left=x"], "wanted NAME=FILE"),
        (["cons=x.bw", "cons=y.bw"], "the track 'cons' is there twice"),
        (["cons.plus=x.bw"], "needs plus and minus"),
        (["a-b=x.bw"], "wanted letters, digits"),
    ],
)
def test_command_refuses_tracks_that_are_spelt_wrong(made, tmp_path, capsys, given, message):
    model, fasta, genes, scores = map(str, made.files)
    inputs = [model, "--fasta", fasta, "--genes", genes, "--scores", scores]
    assert main(["call", *inputs, "--tracks", *given, "-o", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_file_of_a_track_that_the_call_would_replace_is_refused(made, tmp_path):
    own = tmp_path / "donor.plus.bw"
    own.write_bytes(b"")
    with pytest.raises(InputError, match="would be replaced by the call"):
        call(
            *made.files,
            tmp_path,
            tracks=section(made, cons={"kind": "number", "file": str(own)}),
        )


def test_model_without_tracks_needs_none(made, tmp_path):
    plain = replace(
        made.model,
        facts=made.model.facts
        | {"sequence": {"features": made.model.facts["sequence"]["features"]}},
    )
    assert tracks_for(plain.facts["sequence"], frozenset(plain.columns_in_), NO_TRACKS, "m") == (
        NO_TRACKS
    )
