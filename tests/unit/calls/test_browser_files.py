"""BED and bigWig files: coordinates checked by hand on both strands, read by other libraries."""

from urllib.parse import unquote

import numpy as np
import polars as pl
import pybigtools
import pytest

from genebatch.calls import browser_files
from genebatch.calls.browser_files import windows, write_bed, write_bigwigs
from genebatch.calls.positions_file import Positions, write_positions
from genebatch.report.figures import style
from tests.builders.held_genome import made_gene

CLASSES = ("neither", "donor", "acceptor")
LIMITS = {"donor": 0.5, "acceptor": 0.3}
# `b` lies inside `a` on the same strand, `c` across their end on the other one.
GENES = [
    made_gene(100, 110, "+", "a", "chr1"),
    made_gene(103, 106, "+", "b", "chr1"),
    made_gene(108, 114, "-", "c", "chr1"),
    made_gene(0, 4, "-", "d", "chr2"),
]
SIZES = {"chr1": 200, "chr2": 4}
# Probabilities by gene position; everything else is 0.01.
DONORS = {"a": {2: 0.9, 4: 0.2}, "b": {1: 0.5}, "c": {0: 0.6, 5: 0.8}, "d": {3: 1.0}}
ACCEPTORS = {"a": {9: 0.3}, "b": {}, "c": {1: 0.7}, "d": {3: 0.31}}
TRACKS = [(name, strand) for name in ("donor", "acceptor") for strand in "+-"]
BED = ["chrom", "start", "end", "name", "score", "strand", "thick_start", "thick_end", "colour"]


def track(gene, sites):
    values = np.full(gene.length, 0.01, np.float32)
    values[list(sites[gene.id])] = list(sites[gene.id].values())
    return values


@pytest.fixture
def positions(tmp_path):
    """The four genes in answers of three genes and of one."""
    answers = []
    for genes in (GENES[:3], GENES[3:]):
        columns = [np.concatenate([track(g, s) for g in genes]) for s in (DONORS, ACCEPTORS)]
        values = np.column_stack([np.ones(len(columns[0])), *columns]).astype(np.float32)
        stretches = [(gene, 0, gene.length) for gene in genes]
        answers.append(Positions(stretches, values, values, values, np.ones(len(values), bool)))
    write_positions(tmp_path / "positions.parquet", answers, CLASSES, {})
    return tmp_path / "positions.parquet"


def read_bed(path):
    kinds = {"chrom": pl.String, "name": pl.String, "strand": pl.String}
    return pl.read_csv(
        path,
        separator="\t",
        has_header=False,
        comment_prefix="#",
        new_columns=BED,
        schema_overrides=kinds,
    )


def by_hand(sites, strand, chrom, size):
    """The largest value of the genes of a strand at every position, NaN outside of genes."""
    wanted = np.full(size, np.nan, np.float32)
    for gene in GENES:
        if (gene.chrom, gene.strand) == (chrom, strand):
            values = track(gene, sites)
            for position, value in enumerate(values):
                place = gene.start + position if strand == "+" else gene.end - 1 - position
                wanted[place] = np.fmax(wanted[place], value)
    return wanted


@pytest.mark.parametrize("window", [1, 3, 262_144])
def test_calls_stand_where_the_sites_are(positions, tmp_path, window, monkeypatch):
    monkeypatch.setattr(browser_files, "WINDOW", window)
    write_bed(tmp_path / "calls.bed", positions, GENES, LIMITS, {})
    # Gene position 2 of a is 100 + 2; 0 of c is the last of 108 .. 113, 1 the one before.
    found = read_bed(tmp_path / "calls.bed").select(BED[:6])
    assert list(found.iter_rows()) == [
        ("chr1", 102, 103, "a:donor", 900, "+"),
        ("chr1", 104, 105, "b:donor", 500, "+"),
        ("chr1", 108, 109, "c:donor", 800, "-"),
        ("chr1", 109, 110, "a:acceptor", 300, "+"),
        ("chr1", 112, 113, "c:acceptor", 700, "-"),
        ("chr1", 113, 114, "c:donor", 600, "-"),
        ("chr2", 0, 1, "d:donor", 1000, "-"),
        ("chr2", 0, 1, "d:acceptor", 310, "-"),
    ]


def test_bed_begins_with_comments_that_say_the_thresholds(positions, tmp_path):
    write_bed(tmp_path / "calls.bed", positions, GENES, LIMITS, {"made": "by hand"})
    lines = (tmp_path / "calls.bed").read_text().splitlines()
    assert lines[:2] == ["# probability of donor >= 0.5, acceptor >= 0.3", "# made by hand"]
    assert all(line.count("\t") == 8 for line in lines[2:])


def test_an_item_has_the_colour_of_its_class_all_over(positions, tmp_path):
    write_bed(tmp_path / "calls.bed", positions, GENES, LIMITS, {})
    found = read_bed(tmp_path / "calls.bed")
    assert found["thick_start"].equals(found["start"])
    assert found["thick_end"].equals(found["end"])
    kinds = found["name"].str.split(":").list.last()
    pairs = set(zip(kinds, found["colour"], strict=True))
    assert pairs == {("donor", "0,114,178"), ("acceptor", "213,94,0")}


def test_colours_are_those_of_the_figures():
    """They are of a palette that the colour blind tell apart."""
    codes = [
        f"#{int(r):02X}{int(g):02X}{int(b):02X}"
        for r, g, b in (colour.split(",") for colour in browser_files.COLOURS.values())
    ]
    assert codes == list(style.COLOURS[:2])


def test_a_name_never_ends_a_column_of_bed(tmp_path):
    gene = made_gene(2, 5, "+", "a b\tc%\n1", "chr1")
    values = np.ones((3, 3), np.float32)
    answer = Positions([(gene, 0, 3)], values, values, values, np.ones(3, bool))
    write_positions(tmp_path / "p.parquet", [answer], CLASSES, {})
    write_bed(tmp_path / "calls.bed", tmp_path / "p.parquet", [gene], LIMITS, {})
    first = (tmp_path / "calls.bed").read_text().splitlines()[1]
    assert first.split("\t")[3] == "a%20b%09c%25%0A1:donor"
    assert unquote("a%20b%09c%25%0A1") == gene.id


def test_chromosomes_are_in_the_order_of_their_names(positions, tmp_path):
    """As those of the genome, whose names may have another order than those of the genes."""
    names = {"chr1": "z1", "chr2": "a2"}
    renamed = [gene._replace(chrom=names[gene.chrom]) for gene in GENES]
    write_bed(tmp_path / "calls.bed", positions, renamed, LIMITS, {})
    assert read_bed(tmp_path / "calls.bed")["chrom"].unique(maintain_order=True).to_list() == [
        "a2",
        "z1",
    ]
    tracks = {("donor", "-"): tmp_path / "d.bw"}
    write_bigwigs(tracks, positions, renamed, {"z1": 200, "a2": 4})
    with pybigtools.open(str(tmp_path / "d.bw")) as file:
        assert list(file.chroms()) == ["a2", "z1"]
        for chrom, size in SIZES.items():
            found = file.values(names[chrom], 0, size, fillna=None)
            np.testing.assert_array_equal(found, by_hand(DONORS, "-", chrom, size))


def test_genes_under_two_names_of_a_chromosome_are_sorted_as_one(positions, tmp_path):
    """As they are if the gene models have chr1 and 1, and the genome has 1."""
    renamed = [*GENES[:2], GENES[2], GENES[3]._replace(chrom="chr1")]
    write_bed(tmp_path / "calls.bed", positions, renamed, LIMITS, {})
    starts = read_bed(tmp_path / "calls.bed")["start"].to_list()
    assert starts == sorted(starts)
    assert starts[:2] == [0, 0]


def test_notes_follow_the_other_comments(positions, tmp_path):
    write_bed(tmp_path / "calls.bed", positions, GENES, LIMITS, {"made": "by hand"}, ["mind this"])
    lines = (tmp_path / "calls.bed").read_text().splitlines()
    assert lines[1:3] == ["# made by hand", "# mind this"]
    assert not lines[3].startswith("#")


def test_bed_without_calls_has_comments_alone(positions, tmp_path):
    write_bed(tmp_path / "calls.bed", positions, GENES[:1], {"donor": 1.0, "acceptor": 1.0}, {})
    assert (tmp_path / "calls.bed").read_text() == "# probability of donor >= 1, acceptor >= 1\n"


@pytest.mark.parametrize("window", [1, 3, 262_144])
def test_bigwig_has_every_position_of_its_strand(positions, tmp_path, window, monkeypatch):
    monkeypatch.setattr(browser_files, "WINDOW", window)
    tracks = {(name, strand): tmp_path / f"{name}{strand}.bw" for name, strand in TRACKS}
    write_bigwigs(tracks, positions, GENES, SIZES)
    for (name, strand), path in tracks.items():
        with pybigtools.open(str(path)) as file:
            assert file.chroms() == SIZES
            for chrom, size in SIZES.items():
                found = file.values(chrom, 0, size, fillna=None)
                sites = DONORS if name == "donor" else ACCEPTORS
                np.testing.assert_array_equal(found, by_hand(sites, strand, chrom, size))


def test_overlapping_genes_of_a_strand_have_the_larger_value(positions, tmp_path):
    tracks = {(name, strand): tmp_path / f"{name}{strand}.bw" for name, strand in TRACKS}
    write_bigwigs(tracks, positions, GENES, SIZES)
    with pybigtools.open(str(tracks["donor", "+"])) as file:
        # At 104 gene a has 0.2 and gene b 0.5; c, on the other strand, has no part in it.
        assert file.values("chr1", 104, 105, fillna=None).tolist() == [0.5]
        assert np.isnan(file.values("chr1", 110, 111, fillna=None)).all()


def test_windows_read_only_what_they_hold(positions, monkeypatch):
    monkeypatch.setattr(browser_files, "WINDOW", 4)
    found = [
        (
            window.chrom,
            window.start,
            [(s.gene.id, s.start, len(s.values)) for s in window.stretches],
        )
        for window in windows(positions, GENES, ["probability_donor"])
    ]
    assert found == [
        ("chr1", 100, [("a", 100, 4), ("b", 103, 1)]),
        ("chr1", 104, [("a", 104, 4), ("b", 104, 2)]),
        ("chr1", 108, [("a", 108, 2), ("c", 108, 4)]),
        ("chr1", 112, [("c", 112, 2)]),
        ("chr2", 0, [("d", 0, 4)]),
    ]


def test_stretch_between_genes_is_not_a_window(tmp_path, monkeypatch):
    monkeypatch.setattr(browser_files, "WINDOW", 10)
    genes = [made_gene(3, 5, name="a"), made_gene(47, 48, "-", name="b")]
    values = np.zeros((3, 3), np.float32)
    answer = Positions([(genes[0], 0, 2), (genes[1], 0, 1)], *[values] * 3, np.zeros(3, bool))
    write_positions(tmp_path / "p.parquet", [answer], CLASSES, {})
    found = [window.start for window in windows(tmp_path / "p.parquet", genes, ["base_donor"])]
    assert found == [0, 40]
