"""Strong base scores that do not stand at the bases of sites are refused without annotation."""

import numpy as np
import pytest

from genebatch.genome.fasta import Fasta
from genebatch.genome.strong_scores import check_strong_scores
from genebatch.io.files import InputError
from tests.builders.held_genome import HeldScores, made_gene

KINDS = [(strand, kind) for strand in "+-" for kind in (0, 1)]
# A gene of 30 introns of 60 nt with exons of 41 nt, on either strand; nobody annotated them.
N, STEP = 30, 101
TEXT = ("A" * 40 + "C" + "GT" + "C" * 56 + "AG") * N + "A" * 47
LENGTH = len(TEXT)
DONORS = np.arange(N) * STEP + 40
ACCEPTORS = DONORS + 61
GENES = {"+": made_gene(0, LENGTH, "+", "p", "p"), "-": made_gene(0, LENGTH, "-", "m", "m")}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    complement = TEXT.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">p\n{TEXT}\n>m\n{complement}\n>other\n{'ACCT' * 2000}\n")
    with Fasta(path) as fasta:
        yield fasta


def right(n=N, score=0.9):
    scores = np.full((2, LENGTH), 0.001, np.float32)
    scores[0, DONORS[:n]] = score
    scores[1, ACCEPTORS[:n]] = score
    return scores


def check(genome, scores, strand="+", gene=None):
    gene = gene or GENES[strand]
    check_strong_scores(genome, HeldScores({gene.id: scores}), [gene], KINDS)


@pytest.mark.parametrize("strand", "+-")
def test_scores_at_the_bases_of_sites_pass(genome, strand, caplog):
    check(genome, right(), strand)
    assert not caplog.records


@pytest.mark.parametrize(
    ("strand", "change", "looks"),
    [
        ("+", lambda s: np.roll(s, 1, 1), r"shifted by \+1 \(counted from 1\?\); wanted"),
        ("-", lambda s: np.roll(s, 1, 1), r"shifted by \+1 \(counted from 1\?\); wanted"),
        ("+", lambda s: np.roll(s, -2, 1), "scores look shifted by -2; wanted"),
        ("+", lambda s: s[::-1], ": donor and acceptor look swapped; wanted"),
        ("-", lambda s: s[:, ::-1], ": scores of the minus strand look like they are in genomic"),
        ("+", lambda s: np.roll(s, 20, 1), "of another sequence or assembly, or of the other"),
    ],
)
def test_scores_elsewhere_are_refused_with_what_fits(genome, strand, change, looks):
    name = {"+": "plus", "-": "minus"}[strand]
    with pytest.raises(InputError, match=looks) as caught:
        check(genome, change(right()), strand)
    text = str(caught.value)
    assert text.startswith(f"of 30 donor scores of 0.5 and above on the {name} strand, 0.0% are")
    assert text.endswith("; set sequence.scores")


def test_few_strong_scores_are_warned_of(genome, caplog):
    check(genome, np.roll(right(5), 1, 1))
    assert "of 5 donor scores of 0.5 and above on the plus strand, 0.0%" in caplog.text
    caplog.clear()
    check(genome, np.roll(right(3), 1, 1))
    check(genome, np.roll(right(score=0.4), 1, 1))
    assert not caplog.records


def test_only_the_kinds_asked_for_are_read(genome):
    scores = HeldScores({"p": np.roll(right(), 1, 1)})
    check_strong_scores(genome, scores, [GENES["+"]], [])
    check_strong_scores(genome, scores, [GENES["+"]], [("-", 0)])
    assert not scores.asked


def test_no_gene_is_read_after_enough_positions(genome):
    genes = [made_gene(0, LENGTH, "+", f"g{n}", "p") for n in range(20)]
    scores = HeldScores({gene.id: right() for gene in genes})
    check_strong_scores(genome, scores, genes, [("+", 0)])
    assert len(scores.asked) == 7  # 7 genes of 30 are the first 200
