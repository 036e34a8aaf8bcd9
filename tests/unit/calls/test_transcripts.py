"""Predicted transcripts as GFF3: what they say, and that a reader of gene models understands it."""

import re
from collections import defaultdict

import numpy as np
import pytest

from genebatch.calls.positions_file import Positions, write_positions
from genebatch.calls.transcripts import (
    Annotated,
    Drawing,
    against_chance,
    strong_positions,
    write_transcripts,
)
from genebatch.features.along_gene import Genome
from genebatch.features.positions import Spec
from genebatch.features.structure.model import StructureModel
from genebatch.genome.genes import Transcript, read_gene_models, splice_sites
from tests.builders.held_genome import HeldFasta, made_codes, made_gene

DEFAULT = Drawing()
CLASSES = ("neither", "donor", "acceptor")
EXONS = ((100, 260), (400, 520), (700, 800), (1500, 1900))
MINUS = tuple((2000 - end, 2000 - start) for start, end in reversed(EXONS))
# Two genes of the same sites on both strands, one inside the first, one without sites; all names
# have letters that GFF3 sets apart.
GENES = [
    made_gene(100, 1900, "+", "a;b=1,2", "chr 1%", [EXONS]),
    made_gene(300, 900, "-", "in&side", "chr 1%", [((300, 400), (640, 900))]),
    made_gene(100, 1900, "-", "c:d|é", "chr2", [MINUS]),
    made_gene(1950, 1960, "+", "tiny", "chr2", [((1950, 1960),)]),
]
CONTIGS = {"chr 1%": made_codes(2000, 1), "chr2": made_codes(2000, 2)}


def annotated_sites(gene, value=0.99):
    """Probability of each position: `value` at the annotated sites."""
    tracks = np.zeros((2, gene.length), np.float32)
    for track, sites in zip(tracks, splice_sites(gene), strict=True):
        track[sites] = value
    return tracks


def written(
    folder,
    genes,
    tracks,
    drawing=DEFAULT,
    contigs=CONTIGS,
    annotation=None,
    head=(),
    rescored=False,
):
    """Write positions and transcripts of some genes."""
    answers = []
    for gene in genes:
        track = tracks[gene.id]
        values = np.column_stack([1 - track.sum(axis=0), *track]).astype(np.float32)
        stretch = [(gene, 0, gene.length)]
        answers.append(Positions(stretch, values, values, values, np.full(len(values), rescored)))
    write_positions(folder / "positions.parquet", answers, CLASSES, {})
    genome = Genome(HeldFasta(contigs), None, Spec(), StructureModel())
    known = annotation or {gene.id: gene.transcripts for gene in genes}
    path = folder / "transcripts.gff3"
    write_transcripts(path, folder / "positions.parquet", genes, genome, known, drawing, head)
    return path


def lines_of(path):
    """Columns of each line, the last one as a dictionary."""
    lines = [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]
    return [(*line[:8], dict(part.split("=") for part in line[8].split(";"))) for line in lines]


def exons_of(path, number=1):
    """Annotation of the exons of a transcript, in the order of the file."""
    ending = f".t{number}"
    return [
        (int(line[3]) - 1, int(line[4]), line[8]["annotated"])
        for line in lines_of(path)
        if line[2] == "exon" and line[8]["Parent"].endswith(ending)
    ]


@pytest.fixture(scope="module")
def strong(tmp_path_factory):
    """Transcripts where just the annotated sites are strong."""
    tracks = {gene.id: annotated_sites(gene) for gene in GENES}
    return written(tmp_path_factory.mktemp("strong"), GENES, tracks, head=["one", "two"])


def test_best_transcripts_are_read_back_as_genes_on_both_strands(strong):
    found = {gene.id: gene for gene in read_gene_models(strong)}
    assert found.keys() == {gene.id for gene in GENES}
    for gene in GENES:
        again = found[gene.id]
        assert again[2:6] == gene[2:6]
        best = next(t for t in again.transcripts if t.id == f"{gene.id}.t1")
        assert best.exons == gene.transcripts[0].exons


def test_parts_of_annotated_transcripts_are_annotated(strong):
    best = [line for line in lines_of(strong) if line[8].get("rank") == "1"]
    assert len(best) == len(GENES)
    assert {line[8]["annotated"] for line in best} == {"yes"}
    assert all(float(line[5]) > 0.9 for line in best)
    assert {line[2] for line in best if line[8]["coding"] == "no"} <= {"transcript"}


def test_lines_are_those_of_gff3_in_order(strong):
    text = strong.read_text()
    assert text.startswith("##gff-version 3\n# one\n# two\n")
    lines = lines_of(strong)
    assert all(re.fullmatch(r"[\w.:^*$@!+?|%-]+", line[0]) for line in lines)
    places = [(line[0], int(line[3])) for line in lines]
    assert places == sorted(places)
    assert all(int(line[3]) <= int(line[4]) for line in lines)
    assert {line[2] for line in lines} <= {"gene", "mRNA", "transcript", "exon", "intron", "CDS"}
    seen = set()
    for line in lines:
        assert line[8].get("Parent") in {None, *seen}
        assert (line[7] in "012") == (line[2] == "CDS")
        seen.add(line[8].get("ID"))


def test_exon_that_nobody_annotated_is_told(tmp_path):
    for gene, span in ((GENES[0], (1000, 1150)), (GENES[2], (850, 1000))):
        tracks = annotated_sites(gene)
        start, end = (
            (span[0] - 100, span[1] - 100)
            if gene.strand == "+"
            else (1900 - span[1], 1900 - span[0])
        )
        tracks[1, start] = tracks[0, end - 1] = 0.98
        path = written(tmp_path, [gene], {gene.id: tracks})
        known = [(*exon, "yes") for exon in gene.transcripts[0].exons]
        assert exons_of(path) == sorted([*known, (*span, "no")])
        lines = [line for line in lines_of(path) if line[8].get("rank") == "1"]
        assert lines[0][8]["annotated"] == "no"
        introns = [line[8]["annotated"] for line in lines_of(path) if line[2] == "intron"]
        assert sorted(introns)[:2] == ["no", "no"]


def test_chains_of_less_posterior_are_left_out(tmp_path):
    gene = GENES[0]
    tracks = annotated_sites(gene)
    weak = [sites[place] for sites, place in zip(splice_sites(gene), (1, 0), strict=True)]
    tracks[[0, 1], weak] *= 0.03  # both sites of the second exon, which may be left out
    many, few, best = (
        [
            line
            for line in lines_of(written(tmp_path, [gene], {gene.id: tracks}, drawing))
            if "rank" in line[8]
        ]
        for drawing in (Drawing(200), Drawing(200, 0.2), Drawing(0, 0))
    )
    assert [len(lines) for lines in (many, few, best)] == [2, 1, 1]
    assert float(many[1][8]["posterior"]) >= 0.05
    assert sum(float(line[8]["drawn_share"]) for line in many) == pytest.approx(1, abs=0.05)
    assert "drawn_share" not in best[0][8]
    for line in many:
        assert float(line[8]["drawn_share"]) == pytest.approx(float(line[8]["posterior"]), abs=0.15)


def test_transcripts_depend_on_no_other_gene(strong, tmp_path):
    for gene in GENES:
        alone = written(tmp_path, [gene], {gene.id: annotated_sites(gene)}, head=["one", "two"])
        assert set(alone.read_text().splitlines()) <= set(strong.read_text().splitlines())


def test_coding_sequences_translate_on_both_strands(tmp_path):
    genes = [GENES[0], GENES[2]]
    rng = np.random.default_rng(4)
    coding = 0
    for number in range(3):
        contigs = {name: made_codes(2000, number) for name in CONTIGS}
        tracks = {gene.id: annotated_sites(gene, 0.5) for gene in genes}
        for track in tracks.values():
            track += (
                (rng.random(track.shape) < 0.01) * rng.random(track.shape).astype(np.float32) / 2
            )
        path = written(tmp_path, genes, tracks, Drawing(40, 0), contigs)
        fasta, parts, partial = HeldFasta(contigs), defaultdict(list), set()
        for line in lines_of(path):
            if line[2] == "CDS":
                parts[line[8]["Parent"]].append(line)
            if line[8].get("partial"):
                partial.add(line[8]["ID"])
        for name, lines in parts.items():
            strand = lines[0][6]
            lines = lines if strand == "+" else lines[::-1]
            names = {"chr%201%25": "chr 1%"}
            pieces = [
                fasta.fetch(names.get(line[0], line[0]), int(line[3]) - 1, int(line[4]), strand)
                for line in lines
            ]
            phases = [int(line[7]) for line in lines]
            letters = "".join("ACGTN"[code] for piece in pieces for code in piece)[phases[0] :]
            codons = [letters[place : place + 3] for place in range(0, len(letters) - 2, 3)]
            assert not {"TAA", "TAG", "TGA"}.intersection(codons[:-1])
            if name not in partial:
                assert codons[0] == "ATG"
                assert codons[-1] in {"TAA", "TAG", "TGA"}
                assert len(letters) % 3 == 0
            sizes = np.cumsum([len(piece) for piece in pieces])[:-1] - phases[0]
            assert phases[1:] == [-size % 3 for size in sizes.tolist()]
            coding += 1
    assert coding > 10


def test_gene_without_scores_is_one_exon(tmp_path):
    none = np.zeros((2, GENES[0].length), np.float32)
    path = written(tmp_path, GENES[:1], {GENES[0].id: none})
    assert exons_of(path) == [(100, 1900, "no")]
    gene, whole, exon = lines_of(path)
    assert [line[2] for line in (gene, whole, exon)] == ["gene", "transcript", "exon"]
    assert whole[8]["posterior"] == exon[8]["posterior"] == whole[8]["drawn_share"] == "1"
    assert whole[8]["annotated"] == "no"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_open_ends_are_marked_as_ncbi_does(tmp_path, strand):
    gene = made_gene(0, 60_000, strand, "long", "long", [((0, 60_000),)])
    tracks = np.zeros((2, gene.length), np.float32)
    # No exon is so long that it could reach to an end of the gene.
    tracks[0, 29_999] = tracks[1, 31_000] = 1
    path = written(tmp_path, [gene], {"long": tracks}, contigs={"long": made_codes(60_000)})
    (facts,) = (line[8] for line in lines_of(path) if line[8].get("rank") == "1")
    (low, _, _), (_, high, _) = exons_of(path)
    assert 0 < low < high < 60_000
    wanted = {"partial": "true", "start_range": f".,{low + 1}", "end_range": f"{high},."}
    assert {key: facts[key] for key in wanted} == wanted


def test_odds_of_sites_are_those_against_chance_sites_as_dense_as_the_others():
    shares = np.array([0, 0.001, 0.5, 0.99, 1], np.float32)
    dense, sparse, none = (against_chance(shares, others, 0) for others in (1 / 1_500, 1e-6, 0))
    np.testing.assert_array_equal(sparse, none)
    np.testing.assert_allclose(none, shares)
    assert (dense[0], dense[-1]) == (0, 1)
    odds, weighed = (share[1:-1] / (1 - share[1:-1]) for share in (shares, dense))
    np.testing.assert_allclose(weighed, odds / 10, rtol=1e-4)  # one other site in 1,500 of 15,000


def test_each_site_that_the_model_scored_costs():
    weighed = against_chance(np.float32([0.9, 0.9]), np.zeros(2), np.array([0, np.log(3)]))
    np.testing.assert_allclose(weighed / (1 - weighed), [9, 3], rtol=1e-4)


@pytest.mark.parametrize(("rows", "odds"), [([], []), ([300], [9]), ([300, 700], [1, 1])])
def test_a_site_is_not_weighed_against_itself(rows, odds):
    """The odds of .9 are 9. Another such site in 1,500 nt is as dense as 9 in 15,000 nt."""
    gene = made_gene(0, 1_500)
    values = np.zeros((1_500, 3), np.float32)
    values[rows, 0] = 0.9
    donors, acceptors = strong_positions(gene, lambda start, stop: values[start:stop])
    assert donors[0].tolist() == rows
    np.testing.assert_allclose(donors[1] / (1 - donors[1]), odds, rtol=1e-4)
    assert len(acceptors[0]) == 0


@pytest.mark.parametrize(
    "exons",
    [((0, 30), (130, 600)), ((0, 60), (360, 1_500)), ((0, 60), (360, 700), (800, 1_500))],
)
def test_few_introns_of_a_short_gene_are_found(exons, tmp_path):
    gene = made_gene(0, exons[-1][1], "+", "short", "short", [exons])
    tracks = {"short": annotated_sites(gene, 0.9)}
    contigs = {"short": made_codes(gene.length)}
    path = written(tmp_path, [gene], tracks, contigs=contigs, rescored=True)
    assert exons_of(path) == [(*exon, "yes") for exon in exons]


def test_exons_count_by_their_ends_at_introns():
    known = Annotated([Transcript("t", ((0, 10), (20, 30), (40, 50))), Transcript("u", ((5, 60),))])
    introns = [(10, 20), (30, 40)]
    assert known.has_exon((20, 30), introns)
    assert known.has_exon((4, 10), introns)
    assert known.has_exon((40, 99), introns)
    assert not known.has_exon((4, 12), [(12, 20)])
    assert not known.has_exon((38, 99), [(30, 38)])
    assert not known.has_exon((20, 31), [(10, 20), (31, 40)])
    assert known.has_exon((0, 60), [])
    assert not Annotated([]).has_exon((0, 60), [])
