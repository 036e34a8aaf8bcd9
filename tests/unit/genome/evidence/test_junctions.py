"""Junctions at the positions of splice sites, and the lines that are refused."""

import gzip

import numpy as np
import pytest

from genebatch.genome.evidence.tracks import count_use
from genebatch.genome.genes import splice_sites
from genebatch.io.files import InputError
from tests.builders.evidence import bed_line, opened, star_line
from tests.builders.held_genome import made_gene

# The intron is bases 111 to 120 of the file, which counts from 1: 110 to 119 from 0.
EXONS = [[(100, 110), (120, 130)]]
PLUS = made_gene(100, 130, "+", "p", "chr1", EXONS)
MINUS = made_gene(100, 130, "-", "m", "chr1", EXONS)
BLOCKS = [(104, 110), (120, 126)]
MEASURES = ("unique", "all", "junctions")


def track(tmp_path, *lines, name="SJ.out.tab"):
    path = tmp_path / name
    data = "".join(lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return {"j": {"kind": "junctions", "file": str(path)}}


def found(section, gene, genes=()):
    """Position to the values that are not zero, of donors and of acceptors."""
    positions = np.arange(gene.length)
    with opened(section, genes or [gene]) as ((_, data),):
        values = data.reads(gene, positions)
    assert values.dtype == np.uint32
    return [
        {int(at): tuple(part[:, at].tolist()) for at in np.flatnonzero(part.any(axis=0))}
        for part in (values[:3], values[3:])
    ]


@pytest.mark.parametrize(("gene", "code", "sign"), [(PLUS, 1, "+"), (MINUS, 2, "-")])
@pytest.mark.parametrize("name", ["SJ.out.tab", "SJ.out.tab.gz", "j.bed", "j.bed.gz"])
def test_reads_lie_on_the_donor_and_acceptor_of_the_gene_models(tmp_path, gene, code, sign, name):
    star = star_line("chr1", 111, 120, code, unique=7, multi=2)
    bed = bed_line("chr1", 104, BLOCKS, sign, score=7)
    section = track(tmp_path, bed if "bed" in name else star, name=name)
    donors, acceptors = found(section, gene)
    values = (7, 7, 1) if "bed" in name else (7, 9, 1)
    assert (donors, acceptors) == ({9: values}, {20: values})
    sites = splice_sites(gene)
    assert [list(donors), list(acceptors)] == [site.tolist() for site in sites]


def test_reads_of_a_site_are_added_up_over_its_junctions_and_of_a_junction_over_lines(tmp_path):
    lines = [
        star_line("chr1", 111, 120, 1, unique=7, multi=2),
        star_line("chr1", 111, 125, 1, unique=1, multi=1),
        star_line("chr1", 111, 120, 1, unique=3, multi=0),  # of another sample
    ]
    donors, acceptors = found(track(tmp_path, *lines), PLUS)
    assert donors == {9: (11, 14, 2)}
    assert acceptors == {20: (10, 12, 1), 25: (1, 2, 1)}


def test_every_gap_between_blocks_is_an_intron(tmp_path):
    line = bed_line("chr1", 104, [(104, 110), (120, 122), (125, 128)], "+", score=4)
    donors, acceptors = found(track(tmp_path, "track name=x\n", line), PLUS)
    assert donors == {9: (4, 4, 1), 21: (4, 4, 1)}
    assert acceptors == {20: (4, 4, 1), 25: (4, 4, 1)}


@pytest.mark.parametrize(
    ("motif", "strand"), [(0, ""), (1, "+"), (2, "-"), (3, "+"), (4, "-"), (5, "+"), (6, "-")]
)
def test_motif_tells_the_strand_where_the_file_does_not(tmp_path, motif, strand):
    section = track(tmp_path, star_line("chr1", 111, 120, 0, motif))
    assert found(section, PLUS)[0] == ({9: (1, 1, 1)} if strand == "+" else {})
    assert found(section, MINUS)[0] == ({9: (1, 1, 1)} if strand == "-" else {})


def test_gene_without_junctions_has_zeros(tmp_path):
    section = track(tmp_path, star_line("chr1", 111, 120, 1))
    assert found(section, made_gene(10, 40, "+", "g", "chr2")) == [{}, {}]
    assert found(section, MINUS) == [{}, {}]


def test_used_and_left_out_are_counted_by_their_reasons(tmp_path):
    lines = [
        star_line("chr1", 111, 120, 1, unique=1, multi=1),  # in the gene
        star_line("1", 111, 900, 1, unique=2),  # from it
        star_line("chr1", 111, 120, 2, unique=4),  # on the other strand
        star_line("chr1", 511, 520, 1, unique=8),  # in no gene
        star_line("chr1", 111, 120, 0, 0, unique=16),  # of no strand
        star_line("chrUn", 111, 120, 1, unique=32),  # of no chromosome
    ]
    with opened(track(tmp_path, *lines), [PLUS]) as sources:
        counts = count_use(sources, [PLUS])
    assert counts["count"].to_list() == [2, 1, 1, 1, 1]
    assert counts["reads"].to_list() == [4, 4, 8, 16, 32]
    assert counts["of"].unique().to_list() == [6]
    assert counts["measure"][1:].str.starts_with("left out: ").all()


def test_lines_without_an_intron_are_counted(tmp_path):
    lines = [bed_line("chr1", 104, BLOCKS, "+"), bed_line("chr1", 104, [(104, 110)], ".")]
    with opened(track(tmp_path, *lines), [PLUS]) as sources:
        counts = count_use(sources, [PLUS])
    assert counts.row(-1)[3:6] == ("left out: lines without an intron", 1, 2)


STAR = star_line("chr1", 111, 120, 1)
BED = bed_line("chr1", 104, BLOCKS, "+")


def changed(line, place, value):
    fields = line.rstrip("\n").split("\t")
    return "\t".join([*fields[:place], value, *fields[place + 1 :]]) + "\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([STAR, "chr1\t5\n"], r"line 2 has 2 columns; wanted 9 as in the first line"),
        (["chr1\t5\t9\tj\t1\t+\n"], r"line 1 has 6 columns \(BED without blocks .*BED12"),
        (["a b c\n"], r"line 1 has 1 columns; wanted splice junctions"),
        (["#\n"], r"has no line of data; wanted splice junctions"),
        ([STAR, changed(STAR, 1, "x")], r"line 2, column 2 \(intron start\): 'x'; wanted a whole"),
        ([changed(STAR, 2, "99")], r"line 1, column 3 \(intron end\): '99'; wanted an end that"),
        ([changed(STAR, 3, "+")], r"column 4 \(strand\): '\+'; wanted a whole number from 0 to 2"),
        ([changed(STAR, 4, "7")], r"column 5 \(motif\): '7'; wanted a whole number from 0 to 6"),
        ([changed(STAR, 6, "-1")], r"column 7 \(unique reads\): '-1'; wanted"),
        ([changed(STAR, 7, "1.5")], r"column 8 \(multi-mapping reads\): '1\.5'; wanted"),
        ([BED, changed(BED, 5, "1")], r"line 2, column 6 \(strand\): '1'; wanted \+, - or \."),
        ([changed(BED, 9, "3")], r"column 11 \(blockSizes\): '6,6'; wanted blockCount whole"),
        ([changed(BED, 10, "6,x")], r"column 11 \(blockSizes\): '6,x'; wanted blockCount whole"),
        ([changed(BED, 10, "6,0")], r"column 11 \(blockSizes\): '6,0'; wanted sizes from 1 on"),
        ([changed(BED, 11, "0,99")], r"column 12 \(blockStarts\): '0,99'; wanted blocks in order"),
        ([changed(BED, 11, "0,3")], r"column 12 \(blockStarts\): '0,3'; wanted blocks in order"),
        (
            [changed(STAR, 2, "1000")],
            r"line 1: the intron ends at 1,000 of chr1, but chr1 of .*1,000",
        ),
        ([changed(STAR, 0, "NC_1")], r"names are 'NC_1', those of the genome are 'chr1', 'chr2'"),
    ],
)
def test_wrong_line_is_refused_with_what_was_wanted(tmp_path, lines, message):
    with (
        pytest.raises(InputError, match=message + r".*set sequence\.tracks\.j\.file"),
        opened(track(tmp_path, *lines), [PLUS]),
    ):
        pass


def test_bigwig_in_place_of_junctions_is_refused(tmp_path):
    path = tmp_path / "x.tab"
    path.write_bytes(b"\x26\xfc\x8f\x88" + bytes(100))
    section = {"j": {"kind": "junctions", "file": str(path)}}
    with pytest.raises(InputError, match="is a bigWig file; wanted splice"), opened(section):
        pass
