"""Tests of calls.bigbed: what is written is what other libraries read, also nothing at all."""

import pybigtools
import pyBigWig
import pytest

from genebatch.calls.bigbed import (
    CALLS,
    CHAINS,
    items_of_bed,
    items_of_genes,
    items_of_transcripts,
    write_bigbed,
)
from genebatch.genome.genes import Transcript
from tests.builders.held_genome import made_gene

CONTIGS = {"chr2": 50, "chr1|odd:1": 1000}
BED = [
    "# a comment\n",
    "chr2\t4\t5\ta:donor\t900\t+\t4\t5\t0,114,178\n",
    "chr1|odd:1\t0\t1\tb:acceptor\t5\t-\t0\t1\t213,94,0\n",
    "chr1|odd:1\t999\t1000\tb:donor\t1000\t-\t999\t1000\t0,114,178\n",
]
# `g` has two transcripts; `h` begins inside of it and has no coding sequence.
GFF3 = """\
##gff-version 3
c%202	x	gene	11	60	.	+	.	ID=gene:g;gene_id=g
c%202	x	mRNA	11	60	0.75	+	.	ID=transcript:g.t1;Parent=gene:g;rank=1;posterior=0.75
c%202	x	exon	11	20	0.9	+	.	Parent=transcript:g.t1;posterior=0.9
c%202	x	CDS	16	20	.	+	0	ID=CDS:g.t1;Parent=transcript:g.t1
c%202	x	mRNA	11	60	0.1	+	.	ID=transcript:g.t2;Parent=gene:g;rank=2;posterior=0.1
c%202	x	exon	11	60	0.1	+	.	Parent=transcript:g.t2;posterior=0.1
c%202	x	intron	21	50	0.9	+	.	Parent=transcript:g.t1;posterior=0.9
c%202	x	gene	31	40	.	-	.	ID=gene:h;gene_id=h
c%202	x	transcript	31	40	1	-	.	ID=transcript:h%20.t1;Parent=gene:h;rank=1;posterior=1
c%202	x	exon	31	40	1	-	.	Parent=transcript:h%20.t1;posterior=1
c%202	x	exon	51	60	0.9	+	.	Parent=transcript:g.t1;posterior=0.9
c%202	x	CDS	51	55	.	+	1	ID=CDS:g.t1;Parent=transcript:g.t1
c3	x	gene	1	2	.	+	.	ID=gene:g;gene_id=g
c3	x	transcript	1	2	1	+	.	ID=transcript:i.t1;Parent=gene:i;rank=1;posterior=1
c3	x	exon	1	2	1	+	.	Parent=transcript:i.t1;posterior=1
"""


@pytest.fixture
def path(tmp_path):
    """The items of `BED`."""
    write_bigbed(tmp_path / "x.bb", items_of_bed(BED), CONTIGS, CALLS, "a test")
    return str(tmp_path / "x.bb")


def test_items_are_read_as_they_were_written(path):
    wanted = [line.rstrip("\n").split("\t", 3) for line in BED[1:]]
    with pyBigWig.open(path) as file:
        assert file.isBigBed()
        found = [
            [chrom, str(start), str(end), rest]
            for chrom, size in CONTIGS.items()
            for start, end, rest in file.entries(chrom, 0, size)
        ]
    assert found == wanted


def test_the_file_names_its_columns(path):
    with pyBigWig.open(path) as file:
        sql = file.SQL().decode()
    assert sql.count(";") == CALLS
    assert 'uint reserved; "Colour"' in sql


def test_a_file_without_items_opens_everywhere(tmp_path):
    path = str(tmp_path / "empty.bb")
    write_bigbed(tmp_path / "empty.bb", [], CONTIGS, CALLS, "a test")
    with pyBigWig.open(path) as file:
        assert file.isBigBed()
        assert file.entries("chr2", 0, 50) in (None, [])
        assert file.SQL().decode().count(";") == CALLS
    with pybigtools.open(path) as file:
        assert list(file.records("chr2")) == []
        assert file.info()["summary"]["basesCovered"] == 0


def test_a_transcript_is_drawn_with_its_exons_and_coding_part():
    found = list(items_of_transcripts(GFF3.splitlines(keepends=True)))
    assert found == [
        ("c 2", 10, 60, "g.t1\t750\t+\t15\t55\t0,0,0\t2\t10,10\t0,40"),
        ("c 2", 10, 60, "g.t2\t100\t+\t10\t10\t0,0,0\t1\t50\t0"),
        ("c 2", 30, 40, "h%20.t1\t1000\t-\t30\t30\t0,0,0\t1\t10\t0"),
        ("c3", 0, 2, "i.t1\t1000\t+\t0\t0\t0,0,0\t1\t2\t0"),
    ]


def test_all_transcripts_of_a_gene_on_its_chromosome_are_items():
    on = [Transcript("t1", ((5, 8), (10, 20))), Transcript("t2", ((2, 20),))]
    beyond = Transcript("t3", ((5, 101),))
    gene = made_gene(5, 20, "-", "g", "c")
    gene = gene._replace(transcripts=(on[0],), others=(on[1], beyond))
    assert items_of_genes([gene], {"c": 100}) == [
        ("c", 2, 20, "t2\t0\t-\t2\t20\t0,0,0\t1\t18\t0"),
        ("c", 5, 20, "t1\t0\t-\t5\t20\t0,0,0\t2\t3,10\t0,5"),
    ]


def test_transcripts_become_bigbed_too(tmp_path):
    items = items_of_transcripts(GFF3.splitlines(keepends=True))
    path = tmp_path / "t.bb"
    write_bigbed(path, items, {"c 2": 100, "c3": 2}, CHAINS, "a test")
    with pybigtools.open(str(path)) as file:
        starts = [(record[0], record[2]) for record in file.records("c 2")]
    assert starts == [(10, "g.t1"), (10, "g.t2"), (30, "h%20.t1")]
