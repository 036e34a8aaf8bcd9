"""Columns of the family: what they tell, and what they do not depend on."""

import numpy as np
import pytest

from genebatch.features.structure import columns
from genebatch.features.structure.codons import CODONS
from genebatch.features.structure.columns import COLUMNS, Structure
from genebatch.features.structure.model import StructureModel
from genebatch.genome.nucleotides import encode

FLOOR = 1e-5
RNG = np.random.default_rng(3)


def open_text(n: int) -> str:
    """Random codons without stops."""
    codons = [c for c in CODONS if c not in ("TAA", "TAG", "TGA")]
    return "".join(RNG.choice(codons, n))


def noise(n: int) -> str:
    return "".join(RNG.choice(list("ACGT"), n))


def two_introns() -> tuple[str, list[int], list[int]]:
    """A coding gene of three exons; gives its text, donors and acceptors."""
    first = noise(60) + "ATG" + open_text(40)
    middle, last = open_text(51), open_text(60) + "TAA" + noise(600)
    introns = [noise(900), noise(1_400)]
    text = first + introns[0] + middle + introns[1] + last
    donors = [len(first) - 1, len(first) + 900 + len(middle) - 1]
    acceptors = [len(first) + 900, len(first) + 900 + len(middle) + 1_400]
    return text, donors, acceptors


def structure(text, scores, model=StructureModel(), temperature=1) -> Structure:  # noqa: B008
    codes = encode(text)
    kept = [(np.flatnonzero(s >= FLOOR), s[s >= FLOOR]) for s in scores]
    return Structure(kept, lambda a, b: codes[a:b], len(codes), model, FLOOR, temperature)


def tracks(length, donors, acceptors, at=0.9):
    scores = np.zeros((2, length), np.float32)
    scores[0, donors], scores[1, acceptors] = at, at
    return scores


def features(text, scores, positions=None, model=StructureModel()):  # noqa: B008
    positions = np.arange(len(text)) if positions is None else np.asarray(positions)
    return structure(text, scores, model).features(positions, scores[:, positions])


def test_a_weak_site_in_frame_stands_above_one_out_of_frame():
    text, donors, acceptors = two_introns()
    scores = tracks(len(text), donors, acceptors)
    shifted = donors[1] + 1  # the last exon is not open in this frame
    assert any(
        text[acceptors[1] + 2 :][i : i + 3] in ("TAA", "TAG", "TGA") for i in range(0, 180, 3)
    )
    scores[0, donors[1]] = scores[0, shifted] = 0.02
    made = features(text, scores, [donors[1], shifted])
    right, wrong = made["donor_chain_logodds"]
    assert right > wrong + 2
    assert made["donor_chain_coding"][0] > 0.9


def test_states_are_five_prime_before_the_start_codon_and_coding_behind_it():
    text, donors, acceptors = two_introns()
    leader = noise(150)
    text = leader + noise(500) + text  # an exon of its own before the start codon
    at = len(leader) + 500
    donors, acceptors = [d + at for d in donors], [a + at for a in acceptors]
    scores = tracks(len(text), [149, *donors], [at, *acceptors], at=0.99)
    made = features(text, scores, [149, donors[1]])
    assert made["donor_chain_five"][0] > 0.8 > 0.2 > made["donor_chain_five"][1]
    assert made["donor_chain_coding"][1] > 0.8 > 0.2 > made["donor_chain_coding"][0]


def test_a_gene_without_reading_frames_keeps_its_chain():
    """Stops in every frame of every exon: the chain passes, and does not count as coding."""
    stop = "TAATTAATTAATGACTGACTGA"
    exons = [noise(100) + stop * 2, stop + noise(80) + stop, stop * 3, stop + noise(400) + stop]
    introns = [noise(700), noise(900), noise(1_200)]
    text, donors, acceptors = exons[0], [], []
    for intron, exon in zip(introns, exons[1:], strict=True):
        donors.append(len(text) - 1)
        text += intron
        acceptors.append(len(text))
        text += exon
    scores = tracks(len(text), donors, acceptors)
    scores[0, donors[1]] = 0.02
    made = features(text, scores, donors)
    assert made["donor_chain_logodds"][1] > 3
    assert made["donor_chain_coding"].max() < 0.2


def test_own_score_is_no_part_of_the_columns():
    text, donors, acceptors = two_introns()
    made = []
    for own in (0.9, 0.3, 0.002, 0.0005):
        scores = tracks(len(text), donors, acceptors)
        scores[0, donors[1]] = own
        made.append([column[0] for column in features(text, scores, [donors[1]]).values()][:3])
    assert np.allclose(made, made[0], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_columns_do_not_depend_on_other_positions_or_their_order(seed):
    rng = np.random.default_rng(seed)
    text = noise(6_000)
    scores = (rng.random((2, 6_000)) ** 40).astype(np.float32)
    whole = features(text, scores)
    positions = rng.permutation(6_000)[:500]
    some = features(text, scores, positions)
    for name in COLUMNS:
        assert whole[name][positions].tobytes() == some[name].tobytes(), name


def test_no_chain_passes_positions_without_a_score():
    text, donors, acceptors = two_introns()
    scores = tracks(len(text), donors, acceptors)
    scores[0, 5] = 1.5e-5
    made = features(text, scores)
    passed = np.flatnonzero(made["donor_chain_logodds"] > -columns.LARGEST)
    assert passed.tolist() == [5, *donors]
    assert np.flatnonzero(made["acceptor_chain_coding"] > 0).tolist() == acceptors


@pytest.mark.parametrize("ends", ["known", "free"])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 59, 200])
def test_short_genes_and_genes_without_sites_have_finite_columns(length, ends):
    scores = np.full((2, length), 0.5, np.float32)
    made = features(noise(length), scores, model=StructureModel(ends=ends))
    assert all(np.isfinite(column).all() for column in made.values())
    none = features(noise(length), np.zeros((2, length), np.float32))
    assert {float(value) for column in none.values() for value in column} == {-30.0, 0.0}


def test_unknown_bases_and_scores_of_one_leave_columns_finite():
    scores = np.ones((2, 400), np.float32)
    made = features("N" * 400, scores)
    assert all(np.isfinite(column).all() for column in made.values())


def test_sites_that_a_poor_base_model_finds_everywhere_are_bounded():
    scores = np.linspace(0.001, 0.9, 20_000, dtype=np.float32)
    assert columns._strong_from(scores, 20_000) > 0.85
    assert (scores >= columns._strong_from(scores, 20_000)).sum() == 200
    ties = np.full(20_000, 0.5, np.float32)
    assert (ties >= columns._strong_from(ties, 20_000)).sum() == 0
    assert columns._strong_from(scores[:100], 20_000) == np.float32(columns.STRONG)


@pytest.mark.parametrize("temperature", [1, 2])
def test_log_weights_are_divided_by_the_temperature(temperature):
    """One donor in six states; the chain begins and ends at it, each at e^-4. Its odds are 9."""
    lone = tracks(600, [150], [])
    paths = structure(noise(600), lone, StructureModel(ends="free"), temperature).paths()
    total = 1 + 6 * (9 * np.exp(-8)) ** (1 / temperature)
    assert paths.posterior(()) == pytest.approx(1 / total, rel=1e-5)


def test_a_long_chain_stays_finite():
    """300 exons: the weight of the chain is far beyond the largest number."""
    text, donors, acceptors = noise(100), [], []
    for _ in range(300):
        donors.append(len(text) - 1)
        text += noise(100)
        acceptors.append(len(text))
        text += noise(120)
    scores = tracks(len(text), donors, acceptors, at=1.0)
    made = features(text, scores, donors)
    assert structure(text, scores)._chain.log_total > 709
    assert np.isfinite(made["donor_chain_logodds"]).all()
