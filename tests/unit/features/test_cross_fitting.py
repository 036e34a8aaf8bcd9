"""What is learned of codons comes from other groups, and from no label."""

from types import SimpleNamespace

import numpy as np
import pytest

from genebatch.features import cross_fitting
from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.cross_fitting import FOLDS, CrossFitted
from genebatch.features.positions import Spec
from genebatch.features.structure.codons import CODONS
from genebatch.features.structure.columns import COLUMNS
from genebatch.genome.nucleotides import encode
from genebatch.io.files import InputError
from tests.builders.held_genome import HeldFasta, HeldScores, made_gene

SPEC = Spec(families=("scores", "structure"))
SENSE = [codon for codon in CODONS if codon not in ("TAA", "TAG", "TGA")]
N_GENES = 12


def coding_gene(seed: int, usage: int) -> tuple[str, np.ndarray]:
    """Text and scores of a gene of five exons, of which two of 61 codons are `usage` in three."""
    rng = np.random.default_rng(seed)

    def exon(n: int) -> str:
        codons = rng.choice(SENSE, n)
        codons[::3] = SENSE[usage]
        return "".join(codons)

    def intron() -> str:
        return "".join(rng.choice(list("ACGT"), 800))

    text, donors, acceptors = "CCC" * 20 + "ATG" + exon(20), [], []
    for n in (40, 50, 45, 40):
        donors.append(len(text) - 1)
        text += intron()
        acceptors.append(len(text))
        text += exon(n)
    text += "TAA" + intron()
    scores = np.zeros((2, len(text)), np.float32)
    scores[0, donors] = scores[1, acceptors] = 0.95
    return text, scores


def genome(usages: list[int]) -> tuple[Genome, list]:
    texts, tracks, planned = {}, {}, []
    for number, usage in enumerate(usages):
        name = f"g{number}"
        text, tracks[name] = coding_gene(number, usage)
        texts[name] = encode(text)
        gene = made_gene(0, len(text), "+", name, name)
        planned.append(SimpleNamespace(gene=gene, group=name))
    return Genome(HeldFasta(texts), HeldScores(tracks), SPEC), planned


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr(cross_fitting, "FEWEST_PAIRS", 300)


def pairs(genome: Genome) -> np.ndarray:
    return genome.structure.pairs.scores


def test_codons_of_the_exons_are_learned(few_are_enough):
    fitted = CrossFitted.learn(*genome([7] * N_GENES))
    learned = pairs(fitted.whole)
    assert len(fitted.folds) == FOLDS
    used = CODONS.index(SENSE[7])
    assert learned[:, used].mean() > 0.3 > learned.mean()


def test_a_group_teaches_itself_nothing(few_are_enough):
    usages = [7] * N_GENES
    before = CrossFitted.learn(*genome(usages))
    for number in range(3):
        usages[number] = 40
        after = CrossFitted.learn(*genome(usages))
        group = f"g{number}"
        assert np.array_equal(pairs(before.of(group)), pairs(after.of(group)))
        assert not np.array_equal(pairs(before.whole), pairs(after.whole))
        usages[number] = 7


def test_genes_of_no_group_here_see_what_was_learned_from_all(few_are_enough):
    made, planned = genome([7] * N_GENES)
    fitted = CrossFitted.learn(made, planned)
    gene = planned[0].gene
    (block,) = gene_blocks(fitted.whole, gene, gene.length)
    (same,) = gene_blocks(fitted.of("g0"), gene, gene.length)
    positions = np.flatnonzero(made.scores.tracks["g0"][0] > 0)
    columns = [part.features(positions).select(COLUMNS) for part in (block, same)]
    assert not columns[0].equals(columns[1])


def test_without_learning_every_group_sees_the_same():
    made, _ = genome([7])
    assert CrossFitted(made).of("g0") is made


def test_too_few_likely_exons_are_refused_with_the_key():
    with pytest.raises(InputError, match=r"set features\.structure\.coding to none"):
        CrossFitted.learn(*genome([7] * N_GENES))
