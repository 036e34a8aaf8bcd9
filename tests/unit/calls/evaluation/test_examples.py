"""Examples are chosen by the stated rule, and say of each position what became of it."""

import numpy as np
import pytest

from genebatch.calls.evaluation.compare import count_tracks
from genebatch.calls.evaluation.examples import choose_genes, example_tracks
from genebatch.genome.genes import genomic_positions, splice_sites
from tests.builders import complete_tracks as made_tracks
from tests.builders.held_genome import made_gene

LIMITS = {"donor": 0.5, "acceptor": 0.5}
FLOOR = 1e-5


def gene(number, strand="+"):
    """A gene of 100 nt with a donor at 19 and an acceptor at 60."""
    start = 1_000 * number
    exons = [(start, start + 20), (start + 60, start + 100)]
    if strand == "-":
        exons = [(start, start + 40), (start + 80, start + 100)]
    return made_gene(start, start + 100, strand, f"g{number}", exons=[exons])


def scores(found_by_base, found_by_model):
    """Scores that reach the limit at these of the two sites."""
    values = np.full((2, 2, 100), 1e-6, np.float32)
    for candidate, found in enumerate((found_by_base, found_by_model)):
        for column, (place, is_found) in enumerate(zip((19, 60), found, strict=True)):
            values[candidate, column, place] = 0.9 if is_found else 0.1
    return values


def examples(tmp_path, genes, by_gene):
    path = tmp_path / "positions.parquet"
    made_tracks.positions(genes, by_gene).write_parquet(path)
    tracks = count_tracks(path, genes, genes, LIMITS, FLOOR, LIMITS)
    return tracks, example_tracks(path, genes, genes, tracks)


def test_genes_are_the_most_the_middle_and_the_least_corrected(tmp_path):
    genes = [gene(number) for number in range(5)]
    lost = scores((True, True), (False, False))
    by_gene = {
        "g0": scores((True, True), (True, True)),
        "g1": lost,
        "g2": scores((False, False), (True, True)),
        "g3": scores((False, True), (True, True)),
        "g4": scores((True, False), (False, False)),
    }
    tracks, found = examples(tmp_path, genes, by_gene)
    # Gains of 2, 1, 0, -1 and -2 errors.
    expected = [("g2", "most corrected"), ("g0", "typical"), ("g1", "least corrected")]
    assert [(one["gene_id"], one["chosen_as"]) for one in found] == expected
    assert [one["errors"] for one in found] == [
        {"base": 2, "model": 0},
        {"base": 0, "model": 0},
        {"base": 0, "model": 2},
    ]
    assert [genes[place].id for place, _ in choose_genes(tracks)] == ["g2", "g0", "g1"]


@pytest.mark.parametrize(
    ("count", "reasons"), [(1, ["typical"]), (2, ["most corrected", "least corrected"])]
)
def test_few_genes_are_shown_once_each(count, reasons, tmp_path):
    genes = [gene(number) for number in range(count)]
    by_gene = {one.id: scores((True, True), (True, True)) for one in genes}
    _, found = examples(tmp_path, genes, by_gene)
    assert [one["chosen_as"] for one in found] == reasons
    assert len({one["gene_id"] for one in found}) == count


def test_a_gene_without_sites_is_no_example(tmp_path):
    whole = made_gene(0, 100, "+", "g0", exons=[[(0, 100)]])
    _, found = examples(tmp_path, [whole], {"g0": scores((True, True), (False, False))})
    assert found == []


@pytest.mark.parametrize("strand", ["+", "-"])
def test_positions_tell_what_became_of_them(strand, tmp_path):
    one = gene(1, strand)
    assert [places.tolist() for places in splice_sites(one)] == [[19], [60]]
    values = scores((False, True), (True, False))
    values[:, 0, 30] = 0.9, 0.1  # withdrawn
    values[:, 0, 40] = 0.1, 0.9  # added
    values[:, 1, 50] = 0.04, 0.01  # too low to be listed
    values[:, 1, 70] = 0.06, 0.01
    _, (found,) = examples(tmp_path, [one], {"g1": values})
    told = {(line["class"], line["position"]): line["outcome"] for line in found["positions"]}
    assert told == {
        ("donor", 19): "found by the model",
        ("donor", 30): "withdrawn by the model",
        ("donor", 40): "added by the model",
        ("acceptor", 60): "lost by the model",
        ("acceptor", 70): "called by neither",
    }
    assert found["sites"] == 2
    assert found["exons"] == [(0, 20), (60, 100)]
    for line in found["positions"]:
        place = genomic_positions(one, np.array([line["position"]]))[0]
        assert line["genomic_position"] == place
    assert [line["base"] for line in found["positions"]] == pytest.approx(
        [0.1, 0.9, 0.1, 0.9, 0.06]
    )


def test_the_chosen_errors_are_those_of_the_whole_gene(tmp_path):
    made = made_tracks.make()
    path = tmp_path / "positions.parquet"
    made_tracks.positions(made.tested, made.scores).write_parquet(path)
    tracks = count_tracks(path, made.genes, made.tested, LIMITS, FLOOR, LIMITS)
    found = example_tracks(path, made.genes, made.tested, tracks)
    gains = [one["errors"]["base"] - one["errors"]["model"] for one in found]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > gains[-1]
