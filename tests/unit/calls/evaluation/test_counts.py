"""Tests of calls.evaluation.counts: whole genes, exact sums, and only what ranking needs."""

import numpy as np
import polars as pl
import pytest

from genebatch.calls.evaluation import counts
from genebatch.calls.evaluation.counts import TrackCounter
from genebatch.calls.evaluation.reading import read_tracks
from genebatch.features.gene_rows import Sites, label_sites
from genebatch.genome.genes import foreign_sites
from genebatch.io import tables
from genebatch.io.files import InputError
from tests.builders import complete_tracks as made_tracks
from tests.builders.held_genome import made_gene

FLOOR = 1e-5  # of the features
LIMITS = {"donor": 0.3, "acceptor": 0.6}
NONE = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def made():
    return made_tracks.make()


@pytest.fixture
def written(made, tmp_path):
    """Write positions, altered if wanted, and read the tracks of the test genes back."""

    def read(change=lambda frame: frame, **options):
        path = tmp_path / "positions.parquet"
        change(made_tracks.positions(made.tested, made.scores)).write_parquet(path, **options)
        return list(read_tracks(path, made.tested))

    return read


def count(*genes, limits=LIMITS, floor=FLOOR, base=None):
    """Tracks of genes given as (sites, scores)."""
    counter = TrackCounter(len(genes), limits, floor, base)
    for place, (sites, scores) in enumerate(genes):
        tiers = made_tracks.canonical_tiers(sites, np.shape(scores)[2])
        counter.add(place, sites, tiers, np.asarray(scores, np.float32))
    return counter.finish()


def counted(made):
    foreign = foreign_sites(made.genes)
    return count(
        *((label_sites(gene, foreign[gene.id]), made.scores[gene.id]) for gene in made.tested)
    )


# Reading


def test_genes_come_whole_whatever_the_row_groups(made, written, monkeypatch):
    expected = written()
    assert [place for place, _ in expected] == list(range(len(made.tested)))
    for (_, scores), gene in zip(expected, made.tested, strict=True):
        np.testing.assert_array_equal(scores, made.scores[gene.id])
    monkeypatch.setattr(tables, "BATCH_ROWS", 37)
    for place, (number, scores) in enumerate(written(row_group_size=53)):
        assert number == place
        np.testing.assert_array_equal(scores, expected[place][1])


def without(gene, **also):
    return lambda frame: frame.filter(~((pl.col("gene_id").cast(pl.String) == gene) & also["rows"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("g03", rows=pl.lit(True)), r"lacks 1 of \d+ test genes \(for example 'g03'\)"),
        (without("g03", rows=pl.col("position") == 7), "gene 'g03' are not .*first 0 are"),
        (without("g03", rows=pl.col("position") == 399), "gene 'g03' are not .*first 399 are"),
        (lambda frame: frame.reverse(), "are not the positions 0 to"),
        (lambda frame: pl.concat([frame, frame[:400]]), "gene 'g00' twice"),
        (
            lambda frame: frame.with_columns(pl.col("gene_id").cast(pl.String) + "x"),
            "gene 'g00x' but is no test gene",
        ),
        (
            lambda frame: frame.with_columns(rescored=pl.col("position") != 3),
            "gene 'g00' has base scores in place of the model's.*mode meta",
        ),
        (
            lambda frame: frame.with_columns(base_donor=pl.lit(1.5, pl.Float32)),
            "gene 'g00' has scores that are no probabilities",
        ),
        (
            lambda frame: frame.with_columns(base_donor=pl.lit(np.nan, pl.Float32)),
            "gene 'g00' has scores that are no probabilities",
        ),
        (lambda frame: frame.drop("probability_donor"), "lacks 1 of .*'probability_donor'"),
    ],
)
def test_tracks_that_are_not_those_of_the_test_genes_are_refused(written, change, message):
    with pytest.raises(InputError, match=message):
        written(change)


# Counting


def test_positions_of_other_genes_sites_and_of_both_kinds_are_left_out():
    # A gene whose donor at 20 another one inside it uses, and whose 40 is a donor of one of its
    # transcripts and an acceptor of the other.
    exons = [[(0, 21), (40, 60), (80, 100)], [(0, 41), (60, 100)]]
    gene = made_gene(0, 100, exons=exons)
    inner = made_gene(10, 50, name="i", exons=[[(10, 15), (30, 50)]])
    sites = label_sites(gene, foreign_sites([gene, inner])[gene.id])
    assert sites.foreign.tolist() == [14, 30]
    assert sites.ambiguous.tolist() == [40]
    tracks = count((sites, np.full((2, 2, 100), 0.2)))
    assert tracks.left_out == {"foreign": 2, "ambiguous": 1, "other": 0}
    assert tracks.positions.tolist() == [97]
    assert tracks.calls[0, :, 1].sum(axis=(1, 2)).tolist() == [2, 2]  # 20 and 59; 60 and 80


def test_calls_are_counted_at_each_systems_own_threshold():
    sites = Sites(np.array([0, 1, 2]), np.array([9]), NONE, NONE)
    scores = np.zeros((2, 2, 10))
    scores[:, 0, :3] = [[0.9, 0.4, 0.4], [0.9, 0.35, 0.2]]  # donors found by both, one, none
    scores[:, 0, 3:6] = [[0.5, 0.6, 0.1], [0.1, 0.7, 0.3]]  # false calls of base, both, model
    tracks = count((sites, scores))
    ((donor, acceptor),) = tracks.calls  # site or not, called by base or not, by model or not
    assert donor[1].tolist() == [[1, 1], [0, 1]]
    assert donor[0].tolist() == [[4, 1], [1, 1]]
    assert acceptor.tolist() == [[[9, 0], [0, 0]], [[1, 0], [0, 0]]]


def test_base_calls_are_counted_from_their_best_threshold_on_as_well():
    sites = Sites(np.array([0, 1, 2]), np.array([9]), NONE, NONE)
    scores = np.zeros((2, 2, 10))
    scores[:, 0, :3] = [[0.9, 0.4, 0.1], [0.9, 0.35, 0.2]]
    scores[:, 0, 3:6] = [[0.5, 0.45, 0.2], [0.1, 0.7, 0.3]]
    scores[:, 1, 9] = [0.7, 0.6]
    tracks = count((sites, scores), base={"donor": 0.4, "acceptor": 0.8})
    default, tuned = tracks.calls
    # From 0.5 on the base scores call 0 and 3, from 0.4 on also the donor 1 and the false 4.
    assert default[0].tolist() == [[[4, 2], [1, 0]], [[1, 1], [0, 1]]]
    assert tuned[0].tolist() == [[[4, 1], [1, 1]], [[1, 0], [0, 2]]]
    assert default[1, 1].tolist() == [[0, 0], [0, 1]]
    assert tuned[1, 1].tolist() == [[0, 1], [0, 0]]
    assert tracks.base_thresholds == {
        "default": {"donor": 0.5, "acceptor": 0.5},
        "best_f1": {"donor": 0.4, "acceptor": 0.8},
    }
    plain = count((sites, scores))
    np.testing.assert_array_equal(plain.calls, tracks.calls[:1])
    assert [*plain.base_thresholds] == ["default"]


def test_losses_are_sums_over_all_positions():
    sites = Sites(np.array([1]), np.array([2]), NONE, NONE)
    scores = np.zeros((2, 2, 4))
    scores[0, 0] = [0.25, 0.5, 0, 0]
    scores[1, 0] = [0, 1, 0, 0.5]
    ((log_loss, brier),) = count((sites, scores)).losses
    # An absent score counts as the floor in the log loss, and a certain one as far from 1.
    floored = -np.log1p(-FLOOR)
    expected = [-np.log(0.75) - np.log(0.5) + 2 * floored, np.log(2) + 3 * floored]
    np.testing.assert_allclose(log_loss[:, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(log_loss[:, 1], -np.log(FLOOR) + 3 * floored, rtol=1e-6)
    np.testing.assert_allclose(brier, [[0.25**2 + 0.5**2, 1], [0.5**2, 1]])


def test_every_site_is_kept_and_of_the_rest_what_some_score_lifts_above_the_floor():
    sites = Sites(np.array([3]), np.array([8]), NONE, NONE)
    scores = np.full((2, 2, 10), 9e-5)
    scores[0, 0, 0] = scores[0, 1, 1] = scores[1, 0, 2] = scores[1, 1, 4] = 1e-4
    tracks = count((sites, scores))
    assert tracks.code.tolist() == [0, 0, 0, 1, 0, 2]
    np.testing.assert_array_equal(tracks.scores, scores[:, :, [0, 1, 2, 3, 4, 8]].astype("f4"))
    assert (tracks.floor, tracks.folded.tolist()) == (1e-4, [4])


def test_hybrid_bands_are_counted_by_the_larger_base_score():
    scores = np.zeros((2, 2, 5))
    scores[0, 0, :3] = [0.2, 0.05, 1e-4]
    scores[0, 1, 1:4] = [0.15, 1e-5, 5e-4]
    scores[1] = 0.9  # the model has no say in it
    rescored = dict(zip(counts.LOWS, count((Sites(*[NONE] * 4), scores)).rescored, strict=True))
    assert rescored[0.1] == rescored[0.03] == 2
    assert rescored[3e-4] == 3
    assert rescored[1e-4] == 4
    assert rescored[1e-5] == 5  # scores are not told apart below the floor of the features


def test_floor_rises_until_what_is_kept_fits_and_depends_on_no_order(made, monkeypatch):
    whole = counted(made)
    neither = whole.scores[:, :, whole.code == 0].max(axis=(0, 1))
    limit = int((neither >= 1e-3).sum())
    monkeypatch.setattr(counts, "MOST_KEPT", limit)
    cut = counted(made)
    assert cut.floor == pytest.approx(16e-4)
    assert (cut.code == 0).sum() == (neither >= np.float32(cut.floor)).sum() <= limit
    assert (neither >= np.float32(cut.floor / 2)).sum() > limit
    assert (cut.code > 0).sum() == (whole.code > 0).sum()
    for name in ("positions", "losses", "calls", "rescored"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))
    foreign = foreign_sites(made.genes)
    counter = TrackCounter(len(made.tested), LIMITS, FLOOR)
    for place in reversed(range(len(made.tested))):
        gene = made.tested[place]
        sites = label_sites(gene, foreign[gene.id])
        tiers = made_tracks.canonical_tiers(sites, gene.length)
        counter.add(place, sites, tiers, made.scores[gene.id])
    for name, values in vars(counter.finish()).items():
        np.testing.assert_array_equal(values, getattr(cut, name))


def test_floor_never_passes_what_the_base_scores_call(monkeypatch):
    monkeypatch.setattr(counts, "MOST_KEPT", 3)
    tracks = count((Sites(*[NONE] * 4), np.full((2, 2, 9), 0.8)))
    assert (tracks.floor, len(tracks.code)) == (0.5, 9)
