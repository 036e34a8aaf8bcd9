"""Genome, gene models and scores that do not line up are refused with what would fit."""

import logging

import numpy as np
import pytest

from genebatch.features.along_gene import score_blocks
from genebatch.genome.alignment import OFFSETS, SiteScores, check_motifs
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import read_gene_models, splice_sites
from genebatch.genome.scores.tracks import open_scores
from genebatch.io.files import InputError
from genebatch.simulation.genome import simulate_genome
from genebatch.steps.sequence import score_genes_light
from tests.builders.annotations import READING
from tests.builders.held_genome import HeldScores, made_gene

LENGTH = 3_000
# 20 introns of 60 nt, 40 nt of exon between them: donors at 139, 239, ... on the plus strand.
EXONS = [(100 * n, 100 * n + 40) for n in range(1, 22)]
INTRONS = [(end, end + 60) for _, end in EXONS[:-1]]
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def spliced(strand="+", exons=EXONS, name="g"):
    return made_gene(50, 50 + LENGTH, strand, name, "c", [exons])


def contig(strand="+", first="GT", last="AG", shift=0, plain=0):
    """Text of the contig: introns begin and end with these bases, but for the first `plain`."""
    text = ["A"] * 4_000
    ends = first, last
    if strand == "-":
        ends = tuple(end[::-1].translate(COMPLEMENT) for end in (last, first))
    for start, stop in INTRONS[plain:]:
        text[start + shift : start + shift + 2] = ends[0]
        text[stop + shift - 2 : stop + shift] = ends[1]
    return "".join(text)


def motifs(folder, text, genes):
    path = folder / "genome.fa"
    path.write_text(f">c\n{text}\n")
    with Fasta(path) as fasta:
        return check_motifs(fasta, genes, "genes.gtf")


def scored(gene, donor=0.8, acceptor=0.6):
    """Scores that are right at every site and 0 elsewhere, (2, length)."""
    scores = np.zeros((2, gene.length), np.float32)
    for row, positions, value in zip(scores, splice_sites(gene), (donor, acceptor), strict=True):
        row[positions] = value
    return scores


def noted(genes, tracks, block=1_000):
    held, seen = HeldScores(tracks), SiteScores()
    for gene in genes:
        for _ in seen.watch(gene, score_blocks(held, gene, block)):
            pass
    return seen


@pytest.mark.parametrize(("strand", "name"), [("+", "plus"), ("-", "minus")])
def test_introns_from_gt_or_gc_to_ag_pass_on_both_strands(tmp_path, strand, name):
    for first in ("GT", "GC"):
        facts = motifs(tmp_path, contig(strand, first), [spliced(strand)])[name]
        wanted = {"sites": 20, "motif_share": 1.0}
        assert facts == {"donor": wanted, "acceptor": wanted}


@pytest.mark.parametrize(("strand", "name"), [("+", "plus"), ("-", "minus")])
def test_introns_of_another_genome_are_refused(tmp_path, strand, name):
    wanted = (
        rf"of 20 donors on the {name} strand of genes\.gtf, 0\.0% are followed by GT or GC in "
        r".*genome\.fa, wanted at least 50%: FASTA and gene models are of different assemblies.*"
        r"set sequence\.fasta and sequence\.genes"
    )
    with pytest.raises(InputError, match=wanted):
        motifs(tmp_path, "A" * 4_000, [spliced(strand)])


def test_genes_one_nt_beside_their_genome_are_refused_as_such(tmp_path):
    for shift, where in ((1, "on"), (-1, "back")):
        with pytest.raises(InputError, match=rf"100\.0% would be .* 1 nt further {where} .*off by"):
            motifs(tmp_path, contig(shift=shift), [spliced()])


def test_starts_counted_from_0_are_found_by_the_acceptors_alone(tmp_path):
    shifted = [(start - 1, end) for start, end in EXONS]
    with pytest.raises(InputError, match=r"20 acceptors on the plus strand .* 1 nt further on"):
        motifs(tmp_path, contig(), [spliced(exons=shifted)])


def test_half_of_the_introns_must_look_like_introns(tmp_path):
    assert motifs(tmp_path, contig(plain=10), [spliced()])["plus"]["donor"]["motif_share"] == 0.5
    with pytest.raises(InputError, match=r"45\.0% are followed"):
        motifs(tmp_path, contig(plain=11), [spliced()])


def test_few_sites_are_warned_of_and_very_few_are_only_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    gene = spliced(exons=EXONS[:-1])
    facts = motifs(tmp_path, "A" * 4_000, [gene])
    assert facts["plus"]["donor"] == {"sites": 19, "motif_share": 0.0}
    assert facts["minus"]["donor"] == {"sites": 0, "motif_share": None}
    swapped = scored(gene)[::-1]
    means = noted([gene], {"g": swapped}).check()
    assert means["plus"]["donor"]["scores"] == [0] * 5
    assert means["minus"]["donor"]["scores"] is None
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.partition(" on the plus strand")[0] for text in warned] == [
        "of 19 donors",
        "of 19 acceptors",
        "mean score of 19 donors",
        "mean score of 19 acceptors",
    ]
    assert "0 donors on the minus strand: fewer than 4, not checked against the seq" in caplog.text
    assert "0 donors on the minus strand: fewer than 4, not checked against the sco" in caplog.text


@pytest.mark.parametrize(("introns", "times"), [(3, 0), (4, 4)])
def test_a_warning_needs_four_sites(tmp_path, caplog, introns, times):
    gene = spliced(exons=EXONS[: introns + 1])
    motifs(tmp_path, "A" * 4_000, [gene])
    noted([gene], {"g": scored(gene)[::-1]}).check()
    assert len(caplog.records) == times


@pytest.mark.parametrize("strand", "+-")
def test_scores_read_at_the_sites_alone_have_the_means_of_the_whole(strand):
    gene = made_gene(50, 50 + LENGTH, strand, "g", "c", [[(50, 51), *EXONS, (3049, 3050)]])
    scores = np.random.default_rng(0).random((2, LENGTH), np.float32) / 2
    whole = noted([gene], {"g": scores})
    alone = SiteScores.read_from(PaddedScores(scores), [gene])
    assert alone.check() == whole.check()
    assert alone.sites(strand, 0) == 22


class PaddedScores:
    """Scores of one gene that are 0 outside of it, as those of files."""

    def __init__(self, scores):
        self.padded = np.pad(scores, ((0, 0), (9, 9)))

    def fetch(self, gene, start, end):
        return self.padded[:, start + 9 : end + 9]


def test_site_at_the_end_of_the_contig_is_read(tmp_path):
    gene = made_gene(0, 10, exons=[[(0, 1), (9, 10)]])
    facts = motifs(tmp_path, "AGTAAAAAGA", [gene])
    assert facts["plus"]["donor"]["motif_share"] == 1
    assert facts["plus"]["acceptor"]["motif_share"] == 1


@pytest.mark.parametrize("block", [7, 1_000, 5_000])
def test_means_are_those_of_the_sites_whatever_the_blocks(block):
    plus, minus = spliced(), spliced("-", name="m")
    tracks = {"g": scored(plus), "m": scored(minus, 0.5, 0.25)}
    tracks["g"][0, splice_sites(plus)[0] + 2] = 0.125
    facts = noted([plus, minus], tracks, block).check()
    assert facts["plus"]["donor"]["scores"] == pytest.approx([0, 0, 0.8, 0, 0.125])
    assert facts["plus"]["donor"]["other"] == [0] * 5
    assert facts["minus"]["acceptor"]["scores"] == [0, 0, 0.25, 0, 0]
    assert set(facts["plus"]["donor"]) == {"scores", "other"}
    assert set(facts["minus"]["donor"]) == {"scores", "other", "mirrored", "other_mirrored"}
    assert OFFSETS.tolist() == [-2, -1, 0, 1, 2]


def test_blocks_are_passed_on_as_they_are():
    gene = spliced()
    scores = scored(gene)
    blocks = list(SiteScores().watch(gene, score_blocks(HeldScores({"g": scores}), gene, 64)))
    assert np.array_equal(np.concatenate(blocks, axis=1), scores)


def test_positions_beside_the_gene_count_as_0():
    exons = [(50, 51), (99, 100)]
    genes = [made_gene(50, 100, name=f"g{n}", exons=[exons]) for n in range(20)]
    scores = np.full((2, 50), 0.25, np.float32)
    facts = noted(genes, {gene.id: scores for gene in genes}).check()
    assert facts["plus"]["donor"]["scores"] == [0, 0, 0.25, 0.25, 0.25]
    assert facts["plus"]["acceptor"]["scores"] == [0.25, 0.25, 0.25, 0, 0]


@pytest.mark.parametrize(
    ("strand", "change", "looks"),
    [
        ("+", lambda s: np.roll(s, 1, 1), r"shifted by \+1 \(counted from 1\?\); wanted"),
        ("-", lambda s: np.roll(s, 1, 1), r"shifted by \+1 \(counted from 1\?\); wanted"),
        ("+", lambda s: np.roll(s, -2, 1), "elsewhere: scores look shifted by -2; wanted"),
        ("+", lambda s: s[::-1], "elsewhere: donor and acceptor look swapped; wanted"),
        ("-", lambda s: s[:, ::-1], "elsewhere: scores of the minus strand look like they are in"),
        ("-", lambda s: s[::-1, ::-1], "swapped and scores of the minus .* in genomic order; want"),
        ("-", lambda s: np.roll(s[:, ::-1], 1, 1), r"genomic order and .* shifted by \+1"),
    ],
)
def test_scores_that_fit_elsewhere_are_refused_with_what_fits(strand, change, looks):
    # The gene is not symmetric: the last intron ends 910 nt before its end.
    gene = spliced(strand)
    name = {"+": "plus", "-": "minus"}[strand]
    seen = noted([gene], {"g": change(scored(gene))})
    with pytest.raises(InputError, match=looks) as caught:
        seen.check()
    assert f"20 donors on the {name} strand is 0 in" in str(caught.value)
    assert "set sequence.scores" in str(caught.value)


def test_only_a_clearly_higher_mean_elsewhere_is_refused():
    gene = spliced()
    scores = scored(gene, donor=0.25)
    beside = splice_sites(gene)[0] + 1
    scores[0, beside] = 0.4
    noted([gene], {"g": scores}).check()
    scores[0, beside] = 0.5
    with pytest.raises(InputError, match=r"is 0\.25 in their own class, but 0\.5 elsewhere"):
        noted([gene], {"g": scores}).check()


def test_scores_that_find_nothing_anywhere_are_warned_of(caplog):
    gene = spliced()
    noted([gene], {"g": np.full((2, LENGTH), 0.01, np.float32)}).check()
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 2
    assert warned[0].startswith("base scores hardly find the 20 donors on the plus strand")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Genes of the simulated genome, its folder, and light scores of it."""
    folder = simulate_genome(
        tmp_path_factory.mktemp("simulated"), n_genes=40, n_chromosomes=2, seed=3
    )
    files = {"fasta": folder / "genome.fa", "genes": folder / "genes.gtf"}
    score_genes_light(**files, reading=READING, scores=folder / "scores.parquet")
    return read_gene_models(folder / "genes.gtf"), folder


def test_simulated_genome_with_light_scores_lines_up(simulated):
    genes, folder = simulated
    with Fasta(folder / "genome.fa") as fasta:
        facts = check_motifs(fasta, genes, "genes.gtf")
    with open_scores(folder / "scores.parquet", genes) as tracks:
        means = noted(genes, {g.id: tracks.fetch(g, 0, g.length) for g in genes}).check()
    for strand in ("plus", "minus"):
        for kind in ("donor", "acceptor"):
            assert facts[strand][kind]["sites"] > 50
            assert facts[strand][kind]["motif_share"] > 0.95
            assert np.argmax(means[strand][kind]["scores"]) == 2


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize(
    ("change", "looks"),
    [
        (lambda s: np.roll(s, 1, 1), r"shifted by \+1"),
        (lambda s: np.roll(s, -1, 1), "shifted by -1"),
        (lambda s: s[::-1], "swapped"),
    ],
)
def test_misplaced_scores_of_the_simulated_genome_are_refused(simulated, strand, change, looks):
    genes, folder = simulated
    here = [gene for gene in genes if gene.strand == strand]
    with open_scores(folder / "scores.parquet", genes) as tracks:
        moved = {g.id: change(tracks.fetch(g, 0, g.length)) for g in here}
    with pytest.raises(InputError, match=looks):
        noted(here, moved).check()


@pytest.mark.parametrize("shift", [-1, 1])
def test_simulated_genes_moved_by_one_are_refused(simulated, tmp_path, shift):
    _, folder = simulated
    lines = [line.split("\t") for line in (folder / "genes.gtf").read_text().splitlines()]
    for line in lines:
        line[3:5] = [str(int(place) + shift) for place in line[3:5]]
    moved = tmp_path / "genes.gtf"
    moved.write_text("".join("\t".join(line) + "\n" for line in lines))
    with (
        Fasta(folder / "genome.fa") as fasta,
        pytest.raises(InputError, match="coordinates are off by 1"),
    ):
        check_motifs(fasta, read_gene_models(moved), str(moved))
