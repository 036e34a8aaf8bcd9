"""Gene and transcript ids that stand at several places of a genome."""

import pytest

from genebatch.genome.genes import (
    foreign_sites,
    genomic_positions,
    overlap_groups,
    read_gene_models,
    splice_sites,
)
from genebatch.io.files import InputError

THREE = ((201, 300), (501, 600), (901, 1000))
FAR = tuple((start + 9000, end + 9000) for start, end in THREE)
MID = ((4001, 4200), (4501, 4700))


@pytest.fixture
def read(tmp_path):
    def read_lines(*lines, name="genes.gtf"):
        path = tmp_path / name
        path.write_text("".join(lines))
        return read_gene_models(path)

    return read_lines


def gtf(kind, gene, transcript, start, end, strand="+", chrom="chr1", extra=""):
    name = f'gene_id "{gene}"; transcript_id "{transcript}";{extra}'
    return f"{chrom}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{name}\n"


def exons(gene, transcript, spans, strand="+", chrom="chr1", numbered=True):
    ordered = spans if strand == "+" else spans[::-1]
    return "".join(
        gtf(
            *("exon", gene, transcript, start, end, strand, chrom),
            extra=f' exon_number "{number}";' if numbered else "",
        )
        for number, (start, end) in enumerate(ordered, start=1)
    )


def gff(kind, start, end, attributes, strand="+", chrom="chr1"):
    return f"{chrom}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def sites(genes):
    """Donors and acceptors of each gene, 1-based."""
    return {
        gene.id: tuple(
            (genomic_positions(gene, found) + 1).tolist() for found in splice_sites(gene)
        )
        for gene in genes
    }


NEAR_SITES, FAR_SITES = ([300, 600], [501, 901]), ([9300, 9600], [9501, 9901])
MID_SITES = ([4200], [4501])
COPIES = {"DUP": NEAR_SITES, "MID": MID_SITES, "DUP@chr1:9201-10000": FAR_SITES}
LINES = gtf("transcript", "DUP", "t", 201, 1000), gtf("transcript", "DUP", "t", 9201, 10000)
SAME_ID = {
    "numbers begin again": [exons("DUP", "t", THREE), exons("DUP", "t", FAR)],
    "numbers fall": [
        gtf("exon", "DUP", "t", *span, extra=f' exon_number "{3 - n % 3}";')
        for n, span in enumerate(THREE + FAR)
    ],
    "transcript lines": [
        LINES[0] + exons("DUP", "t", THREE, numbered=False),
        LINES[1] + exons("DUP", "t", FAR, numbered=False),
    ],
    "transcript lines first": [*LINES, exons("DUP", "t", THREE + FAR, numbered=False)],
    "pattern of lengths": [exons("DUP", "t", THREE + FAR, numbered=False)],
    "other transcript id": [exons("DUP", "t", THREE), exons("DUP", "t_2", FAR)],
}


@pytest.mark.parametrize("name", SAME_ID)
def test_one_id_at_two_loci_is_two_genes_of_one_group(read, caplog, name):
    numbered = "numbers" in name
    genes = read(*SAME_ID[name], exons("MID", "m", MID, numbered=numbered))
    assert sites(genes) == COPIES
    assert [len(gene.transcripts) for gene in genes] == [1, 1, 1]
    groups = overlap_groups(genes)
    assert groups["DUP"] == groups["DUP@chr1:9201-10000"] != groups["MID"]
    assert all(not found.size for found in foreign_sites(genes).values())
    assert "their 1 further copies are called DUP@chr1:9201-10000" in caplog.text


def test_a_second_block_of_lines_is_a_second_locus_in_a_file_of_blocks(read):
    # Three lengths differ, so only the order of the lines tells.
    far = ((9201, 9250), (9501, 9600), (9901, 10000))
    others = [
        exons(f"G{n}", f"g{n}", ((n, n + 90), (n + 200, n + 300)), numbered=False)
        for n in range(20_001, 30_001, 500)
    ]
    lines = [
        *others[10:],
        exons("DUP", "t", THREE, numbered=False),
        *others[:10],
        exons("DUP", "t", far, numbered=False),
    ]
    found = sites(read(*lines))
    assert found["DUP"] == NEAR_SITES
    assert found["DUP@chr1:9201-10000"] == ([9250, 9600], [9501, 9901])
    assert len(found) == 22


def test_a_long_intron_is_an_intron(read):
    lines = [exons("A", "a", THREE[:2] + FAR[:2]), exons("MID", "m", MID)]
    bare = [exons("A", "a", THREE[:2] + FAR[:2], numbered=False), exons("MID", "m", MID)]
    for text in (lines, bare):
        assert sites(read(*text))["A"] == ([300, 600, 9300], [501, 9201, 9501])


def test_copies_of_one_exon_have_no_site(read):
    spans = ((201, 268), (3201, 3268), (9201, 9268))
    lines = [gtf("exon", "MIR", "m", *span, extra=' exon_number "1";') for span in spans]
    genes = read(*lines, exons("MID", "m", MID))
    assert {name: both for name, both in sites(genes).items() if name != "MID"} == {
        "MIR": ([], []),
        "MIR@chr1:3201-3268": ([], []),
        "MIR@chr1:9201-9268": ([], []),
    }


def test_exon_numbers_that_are_all_alike_tell_nothing(read):
    lines = [gtf("exon", "A", "a", *span, extra=' exon_number "1";') for span in THREE]
    lines += [gtf("exon", "B", "b", *span, "-", extra=' exon_number "1";') for span in MID]
    assert sites(read(*lines)) == {"A": NEAR_SITES, "B": ([4501], [4200])}


FOUR = ((101, 200), (301, 400), (501, 600), (701, 800))
MY_LINE = gtf("transcript", "MY", "m", 101, 800)


def numbered(numbers, spans=FOUR, kind="exon", strand="+"):
    """Exons of a gene MY with these numbers, beside a gene whose numbers are in order."""
    own = [
        gtf(kind, "MY", "m", *span, strand, extra=f' exon_number "{number}";')
        for span, number in zip(spans, numbers, strict=True)
    ]
    return [*own, exons("MID", "o", MID)]


def unlabelled(genes, name="MY"):
    gene = next(gene for gene in genes if gene.id == name)
    return (genomic_positions(gene, foreign_sites(genes)[name]) + 1).tolist()


@pytest.mark.parametrize("kind", ["exon", "CDS"])
@pytest.mark.parametrize("line", [MY_LINE, ""])
def test_numbers_of_a_transcript_that_are_all_alike_tell_nothing(read, kind, line):
    genes = read(line, *numbered("1111", kind=kind))
    assert sites(genes) == {"MY": ([200, 400, 600], [301, 501, 701]), "MID": MID_SITES}
    assert len(genes[0].transcripts) == 1
    assert unlabelled(genes) == []


def test_a_transcript_line_over_all_exons_is_one_locus_though_their_numbers_are_alike(read):
    spans = ((101, 200), (20_001, 20_100), (50_001, 50_100))
    line = gtf("transcript", "MY", "m", 101, 50_100)
    found = sites(read(line, *numbered("111", spans)))
    assert found["MY"] == ([200, 20_100], [20_001, 50_001])


PARTS = {  # numbers, donors, acceptors, and the ends of exons that become no rows
    "1223": ([200, 600], [301, 701], [101, 400, 501, 800]),
    "1122": ([400], [501], [101, 200, 301, 600, 701, 800]),
    "1212": ([200, 600], [301, 701], [101, 400, 501, 800]),
}


@pytest.mark.parametrize("line", [MY_LINE, ""])
@pytest.mark.parametrize("numbers", PARTS)
def test_ends_between_exons_of_repeated_numbers_at_one_locus_become_no_rows(
    read, caplog, numbers, line
):
    genes = read(line, *numbered(numbers))
    donors, acceptors, unsure = PARTS[numbers]
    assert sites(genes)["MY"] == (donors, acceptors)
    assert unlabelled(genes) == unsure
    assert "1 transcripts may be one or several" in caplog.text


def test_numbers_on_the_minus_strand_repeat_in_either_order_of_lines(read):
    for numbers, spans in (("3221", FOUR), ("1223", FOUR[::-1])):
        genes = read(*numbered(numbers, spans, strand="-"))
        assert sites(genes)["MY"] == ([701, 301], [600, 200])


def test_numbers_that_repeat_without_an_order_at_one_locus_are_left_out_and_named(read, caplog):
    genes = read(exons("HOST", "h", ((1, 50), (951, 1000))), *numbered("1213"))
    assert set(sites(genes)) == {"HOST", "MID"}
    assert unlabelled(genes, "HOST") == sorted(end for span in FOUR for end in span)
    assert "left out: 1 transcripts that have exon numbers that repeat at one locus" in caplog.text


def test_loci_whose_exon_numbers_differ_are_named_and_their_ends_become_no_rows(read, caplog):
    genes = read(exons("DUP", "t", THREE), exons("DUP", "t", FAR[:2]), exons("MID", "m", MID))
    assert sites(genes) == {
        "DUP": NEAR_SITES,
        "MID": MID_SITES,
        "DUP@chr1:9201-9600": ([9300], [9501]),
    }
    assert unlabelled(genes, "DUP") == [201, 1000]
    assert "1 transcripts may be one or several" in caplog.text


def test_numbered_copies_are_told_in_any_order_of_their_lines(read):
    lines = (exons("DUP", "t", THREE) + exons("DUP", "t", FAR)).splitlines(keepends=True)
    for order in ((0, 3, 1, 4, 2, 5), (5, 0, 4, 1, 3, 2)):
        found = sites(read(*(lines[n] for n in order), exons("MID", "m", MID)))
        assert sorted(map(str, found.values())) == sorted(map(str, COPIES.values()))


def test_a_gene_on_both_strands_is_a_gene_per_strand(read):
    lines = [exons("OR", "t1", THREE), exons("OR", "t2", MID, "-")]
    genes = read(*lines)
    assert sites(genes) == {"OR": NEAR_SITES, "OR@chr1:4001-4700": ([4501], [4200])}
    assert len(set(overlap_groups(genes).values())) == 1


def test_one_transcript_id_on_two_strands_or_chromosomes_is_a_copy_on_each(read):
    lines = [exons("A", "t", THREE), exons("A", "t", THREE, "-", "chr2"), exons("A", "t", FAR, "-")]
    genes = read(*lines)
    assert {(gene.id, gene.chrom, gene.strand) for gene in genes} == {
        ("A", "chr1", "+"),
        ("A@chr2", "chr2", "-"),
        ("A@chr1:9201-10000", "chr1", "-"),
    }
    assert len(set(overlap_groups(genes).values())) == 1


def test_two_copies_of_one_span_on_both_strands_have_names_of_their_own(read):
    spans = THREE, FAR
    lines = [exons("A", f"t{n}", span, s) for n, span in enumerate(spans) for s in "+-"]
    assert {gene.id for gene in read(*lines)} == {
        "A",
        "A@chr1:201-1000",
        "A@chr1:9201-10000(+)",
        "A@chr1:9201-10000(-)",
    }


def test_transcripts_near_each_other_or_in_one_gene_line_are_one_gene(read, caplog):
    near = [exons("A", "t", THREE), exons("A", "u", ((1201, 1300), (1501, 1600)))]
    (gene,) = read(*near)
    assert (gene.start, gene.end, len(gene.transcripts)) == (200, 1600, 2)
    line = gtf("gene", "A", "", 201, 10000)
    (gene,) = read(line, exons("A", "t", THREE), exons("A", "u", FAR))
    assert (gene.start, gene.end, len(gene.transcripts)) == (200, 10000, 2)
    assert "1 genes have transcripts that lie apart, near or in one gene line: A" in caplog.text


# GFF3


def rna(identity, spans, parent="", line=True, kind="mRNA"):
    above = f";Parent={parent}" if parent else ""
    head = gff(kind, spans[0][0], spans[-1][1], f"ID={identity}{above}") if line else ""
    return head + "".join(gff("exon", *span, f"Parent={identity}") for span in spans)


def test_a_repeated_gff3_id_is_a_locus_for_each_line(read):
    spans = ((201, 272), (3201, 3272), (9201, 9272))
    genes = read(*(rna("tRNA-Ala", [span], kind="tRNA") for span in spans), name="genes.gff3")
    assert sites(genes) == {
        "tRNA-Ala": ([], []),
        "tRNA-Ala@chr1:3201-3272": ([], []),
        "tRNA-Ala@chr1:9201-9272": ([], []),
    }
    assert len(set(overlap_groups(genes).values())) == 1


def test_a_transcript_id_under_two_genes_is_a_transcript_of_each(read):
    genes = read(
        *(gff("gene", 201, 1000, "ID=g1"), rna("m", THREE, "g1")),
        *(gff("gene", 9201, 10000, "ID=g2"), rna("m", FAR, "g2")),
        name="genes.gff3",
    )
    assert sites(genes) == {"g1": NEAR_SITES, "g2": FAR_SITES}


@pytest.mark.parametrize("sorted_", [False, True])
def test_gene_and_transcript_of_one_id_twice_are_two_loci(read, sorted_):
    lines = [
        *(gff("gene", 201, 1000, "ID=g"), rna("m", THREE, "g")),
        *(gff("gene", 9201, 10000, "ID=g"), rna("m", FAR, "g")),
    ]
    if sorted_:
        lines = sorted("".join(lines).splitlines(keepends=True))
    assert sites(read(*lines, name="genes.gff3")) == {
        "g": NEAR_SITES,
        "g@chr1:9201-10000": FAR_SITES,
    }


def test_the_parts_of_one_feature_are_no_loci(read):
    parts = [gff("gene", *span, "ID=g") for span in THREE]
    own = [gff("exon", *span, "Parent=g") for span in THREE]
    assert sites(read(*parts, *own, name="genes.gff3")) == {"g": NEAR_SITES}


@pytest.mark.parametrize("kinds", [("pseudogene",) * 2, ("locus", "made_up"), ("Gene", "MRNA")])
def test_a_gene_is_told_by_its_children_and_not_by_its_type(read, kinds):
    lines = [
        gff(kinds[0], 201, 1000, "ID=g"),
        *(gff(kinds[1], 201, 1000, f"ID={name};Parent=g") for name in "tu"),
        *(gff("exon", *span, "Parent=t") for span in THREE),
        *(gff("exon", *span, "Parent=u") for span in (THREE[0], (701, 800), THREE[2])),
    ]
    genes = read(*lines, name="genes.gff3")
    assert sites(genes) == {"g": ([300, 600, 800], [501, 701, 901])}
    assert len(genes[0].transcripts) == 2


def test_operons_are_no_genes_even_if_genes_have_no_transcripts(read):
    lines = [
        gff("operon", 201, 10000, "ID=o"),
        gff("gene", 201, 1000, "ID=g;Parent=o"),
        gff("gene", 9201, 10000, "ID=h;Parent=o"),
        *(gff("CDS", *span, "ID=c;Parent=g") for span in THREE),
        *(gff("CDS", *span, "ID=d;Parent=h") for span in FAR),
    ]
    assert sites(read(*lines, name="genes.gff3")) == {"g": NEAR_SITES, "h": FAR_SITES}


OK = gff("gene", 4001, 4700, "ID=ok") + rna("r", MID, "ok")
TRANS = ";exception=trans-splicing"
SPLICED = {
    "gene lines": [
        gff("gene", 201, 300, f"ID=g{TRANS};part=1"),
        gff("gene", 9001, 9500, f"ID=g{TRANS};part=2"),
        *(gff("exon", *span, "Parent=g") for span in ((201, 300), (9001, 9100), (9401, 9500))),
    ],
    "escaped": [
        gff("gene", 201, 9500, "ID=g"),
        gff("mRNA", 201, 9500, "ID=t;Parent=g;exception=trans%2Dsplicing"),
        *(gff("exon", *span, "Parent=t") for span in ((201, 300), (9401, 9500))),
    ],
    "exon lines": [
        gff("gene", 201, 9500, "ID=g"),
        *(gff("exon", *span, f"Parent=g{TRANS}") for span in ((201, 300), (9401, 9500))),
    ],
    "two strands": [
        gff("gene", 201, 9500, "ID=g"),
        gff("exon", 201, 300, "Parent=g"),
        *(gff("exon", *span, "Parent=g", "-") for span in ((2001, 2100), (2401, 2500))),
    ],
}


@pytest.mark.parametrize("name", SPLICED)
def test_trans_spliced_genes_are_left_out_and_named(read, caplog, name):
    assert sites(read(OK, *SPLICED[name], name="genes.gff3")) == {"ok": MID_SITES}
    assert "trans-spliced" in caplog.text
    with pytest.raises(InputError, match="trans-spliced"):
        read(*SPLICED[name], name="genes.gff3")


def test_a_note_on_trans_splicing_is_no_flag(read):
    note = ";Note=receives SL1 by trans-splicing"
    lines = [gff("gene", 201, 1000, f"ID=g{note}"), rna("t", THREE, "g")]
    assert sites(read(*lines, name="genes.gff3")) == {"g": NEAR_SITES}


def test_every_trans_spliced_transcript_is_counted_and_the_gene_keeps_its_others(read, caplog):
    lines = [exons("g", "t", THREE, numbered=False)]
    for n in range(8):
        lines += [
            gtf("exon", "g", f"x{n}", 901, 1000),
            gtf("exon", "g", f"x{n}", 4001, 4100, "-"),
            gtf("exon", "g", f"x{n}", 501, 600),
        ]
    assert sites(read(*lines)) == {"g": NEAR_SITES}
    assert "left out: 8 transcripts that have exons on several strands" in caplog.text


def test_a_gene_over_the_origin_of_a_circle_is_left_out(read, caplog):
    lines = [
        gff("region", 1, 3000, "ID=c;Is_circular=true", chrom="chrM"),
        gff("gene", 2801, 3200, "ID=gene-ND", chrom="chrM"),
        gff("exon", 2801, 3200, "Parent=gene-ND", chrom="chrM"),
    ]
    assert sites(read(OK, *lines, name="genes.gff3")) == {"ok": MID_SITES}
    assert "1 genes that go over the origin of a circular sequence: 'ND' (line 7)" in caplog.text


# Structure that stands in other lines than exons


def test_genes_and_transcripts_of_cds_lines_are_built_beside_exons(read, caplog):
    caplog.set_level("INFO")
    lines = [
        *(gff("gene", 201, 1000, "ID=a"), rna("ra", THREE, "a")),
        gff("mRNA", 201, 1000, "ID=rb;Parent=a"),
        *(gff("CDS", *span, "ID=cds;Parent=rb") for span in ((201, 340), (701, 1000))),
        gff("gene", 4001, 4700, "ID=b"),
        *(gff("CDS", *span, "ID=x;Parent=b") for span in MID),
    ]
    found = sites(read(*lines, name="genes.gff3"))
    assert found == {"a": ([300, 340, 600], [501, 701, 901]), "b": MID_SITES}
    assert "exons of 2 transcripts built from CDS and UTR" in caplog.text


UTR_TYPES = (
    *(("five_prime_UTR", "three_prime_UTR"), ("5UTR", "3UTR"), ("UTR", "UTR")),
    *(("five_prime_utr", "three_prime_utr"), ("5'-UTR", "3'-UTR")),
)


@pytest.mark.parametrize("types", UTR_TYPES)
def test_exons_are_built_from_cds_utr_and_codons(read, types):
    lines = [
        gtf(types[0], "A", "a", 201, 250),
        gtf("start_codon", "A", "a", 251, 253),
        gtf("CDS", "A", "a", 251, 300),
        gtf("CDS", "A", "a", 501, 597),
        gtf("stop_codon", "A", "a", 598, 600),
        gtf(types[1], "A", "a", 901, 1000),
    ]
    (gene,) = read(*lines)
    assert [(start + 1, end) for start, end in gene.transcripts[0].exons] == list(THREE)


EXON_TYPES = ("Exon", "EXON", "coding_exon", "noncoding_exon", "pseudogenic_exon", "internal-exon")


@pytest.mark.parametrize("kind", EXON_TYPES)
def test_exons_of_other_types_are_exons_beside_those_of_type_exon(read, kind):
    lines = [exons("B", "b", MID), *(gtf(kind, "A", "a", *span) for span in THREE)]
    assert sites(read(*lines)) == {"A": NEAR_SITES, "B": MID_SITES}
    mixed = [gtf("exon", "A", "a", *THREE[0]), *(gtf(kind, "A", "a", *s) for s in THREE[1:])]
    assert sites(read(exons("B", "b", MID), *mixed)) == {"A": NEAR_SITES, "B": MID_SITES}


def test_cds_outside_of_exons_are_named_and_their_ends_become_no_rows(read, caplog):
    lines = [exons("A", "a", THREE), gtf("CDS", "A", "a", 701, 800)]
    (gene,) = read(*lines)
    assert sites([gene]) == {"A": NEAR_SITES}
    assert gene.unsure == ((700, 701), (799, 800))
    assert "1 transcripts have CDS or UTR lines outside of their exons" in caplog.text


def test_positions_of_genes_without_any_structure_become_no_rows(read, caplog):
    lines = [exons("A", "a", THREE), gtf("gene", "B", "", 651, 670), gtf("gene", "C", "", 1, 9)]
    gene = next(gene for gene in read(*lines) if gene.id == "A")
    assert gene.unsure == ((650, 670),)
    assert foreign_sites([gene])["A"].tolist() == list(range(450, 470))
    assert "2 genes without exons, CDS and UTR left out" in caplog.text


def test_a_transcript_without_any_structure_hides_its_span_in_its_gene(read, caplog):
    lines = [
        *(gff("gene", 201, 1000, "ID=g"), rna("t", THREE, "g")),
        gff("mRNA", 301, 400, "ID=u;Parent=g"),
    ]
    (gene,) = read(*lines, name="genes.gff3")
    assert gene.unsure == ((300, 400),)
    assert "1 transcripts without exons, CDS and UTR left out" in caplog.text
