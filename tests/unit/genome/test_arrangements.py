"""The order of the lines of a file never turns a splice site into a row without one."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genebatch.genome.genes import (
    foreign_sites,
    genomic_positions,
    overlap_groups,
    read_gene_models,
    splice_sites,
)

# A gene: its id, its strand, and the exons of its transcripts, 1-based with both ends.
HOST = ("HOST", "+", (((1001, 1100), (1201, 1300), (4001, 4100), (4201, 4300)),))
NEST = ("NEST", "-", (((2001, 2100), (2301, 2400)),))
SAME = ("NEST", "+", (((2001, 2100), (2301, 2400)),))
PLAIN = tuple(
    (f"P{n}", "+-"[n % 2], (((start, start + 99), (start + 300, start + 399)),))
    for n, start in enumerate(range(20_001, 40_001, 1000))
)
BEFORE = ("M", "-", (((101, 200), (301, 400)),))


def gff3(gene):
    name, _, transcripts = gene
    yield "gene", transcripts[0][0][0], max(t[-1][1] for t in transcripts), f"ID={name}"
    for number, exons in enumerate(transcripts):
        yield "mRNA", exons[0][0], exons[-1][1], f"ID={name}.{number};Parent={name}"
        yield from (("exon", *span, f"Parent={name}.{number}") for span in exons)


def gtf(gene, lines=False, number=None):
    name, strand, transcripts = gene
    for n, exons in enumerate(transcripts):
        names = f'gene_id "{name}"; transcript_id "{name}.{n}";'
        if lines:
            yield "transcript", exons[0][0], exons[-1][1], names
        for place, span in enumerate(exons if strand == "+" else exons[::-1], start=1):
            yield "exon", *span, names + (f' exon_number "{number(place)}";' if number else "")


def odd_numbers(number, lines):
    """A writer of ordinary genes with exon numbers, and of others with other ones."""
    return lambda gene: gtf(gene, lines, number if gene[0][0] != "P" else int)


FORMS = {
    "GFF3": gff3,
    "GTF of exons": gtf,
    "GTF with transcripts": lambda gene: gtf(gene, lines=True),
    "GTF with numbers": lambda gene: gtf(gene, number=int),
}
REPEATING = {
    "all are 1": lambda place: 1,
    "each twice": lambda place: (place + 1) // 2,
    "the second twice": lambda place: place - (place > 2),
    "the first again": lambda place: place % 3 + 1,
}
ODD_FORMS = {
    f"{name}{', with transcripts' if lines else ''}": odd_numbers(number, lines)
    for name, number in REPEATING.items()
    for lines in (False, True)
}


def by_start(lines):
    return sorted(lines, key=lambda line: (line[2], -line[3]))


def flat(blocks):
    return list(itertools.chain(*blocks))


# Each takes the lines of each gene.
ORDERS = {
    "genes": flat,
    "genes in another order": lambda blocks: flat(blocks[1::2] + blocks[::2]),
    "sorted": lambda blocks: by_start(flat(blocks)),
    "sorted on each strand": lambda blocks: sorted(
        by_start(flat(blocks)), key=lambda line: line[0]
    ),
    "two sorted files": lambda blocks: by_start(flat(blocks[::2])) + by_start(flat(blocks[1::2])),
    "sorted downwards on the minus strand": lambda blocks: (
        by_start(line for line in flat(blocks) if line[0] == "+")
        + by_start(line for line in flat(blocks) if line[0] == "-")[::-1]
    ),
}


def moved(blocks):
    """Genes in another order, the last line of the last gene before all others."""
    *others, last = blocks
    return [last[-1], *flat(others[1::2] + others[::2]), *last[:-1]]


def written(genes, form, order):
    """The text of a file."""
    blocks = [[(gene[1], *line) for line in (FORMS | ODD_FORMS)[form](gene)] for gene in genes]
    return ("##gff-version 3\n" if form == "GFF3" else "") + "".join(
        f"chr1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{names}\n"
        for strand, kind, start, end, names in order(blocks)
    )


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "genes.txt"
        path.write_text(text)
        return read_gene_models(path)

    return read_text


def sites(gene):
    """Donors and acceptors, 1-based."""
    return tuple((genomic_positions(gene, found) + 1).tolist() for found in splice_sites(gene))


def true_sites(genes):
    """Strand and place of all sites, 1-based."""
    return {
        (strand, place)
        for _, strand, transcripts in genes
        for exons in transcripts
        for (_, end), (start, _) in itertools.pairwise(exons)
        for place in (end, start)
    }


def lost(genes, wanted):
    """Sites of the file that are rows of a gene but neither a site there nor unlabelled."""
    unlabelled = foreign_sites(genes)
    found = []
    for gene in genes:
        known = set(itertools.chain(*sites(gene)))
        known |= set((genomic_positions(gene, unlabelled[gene.id]) + 1).tolist())
        here = {p for strand, p in wanted if strand == gene.strand and gene.start < p <= gene.end}
        found += [(gene.id, place) for place in sorted(here - known)]
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nested", [NEST, SAME], ids=["other strand", "same strand"])
def test_a_gene_with_another_in_its_intron_has_all_its_sites_in_any_order(
    read, form, order, nested
):
    genes = read(written([*PLAIN, HOST, BEFORE, nested], form, ORDERS[order]))
    (host,) = [gene for gene in genes if gene.id.startswith("HOST")]
    assert sites(host) == ([1100, 1300, 4100], [1201, 4001, 4201])
    assert len(host.transcripts) == 1
    groups = overlap_groups(genes)
    assert groups["HOST"] == groups["NEST"]


def test_exon_lines_of_two_genes_cut_neither(read):
    line = "chr1\tx\t{}\t{}\t{}\t.\t+\t.\t{}\n".format
    shared = [
        *(line("gene", 1001, 4300, f"ID={name}") for name in "AB"),
        *(line("mRNA", 1001, 4300, f"ID={name}.1;Parent={name}") for name in "AB"),
        line("exon", 1001, 1100, "Parent=A.1,B.1"),
        line("exon", 2001, 2100, "Parent=A.1"),
        line("exon", 4201, 4300, "Parent=A.1,B.1"),
    ]
    text = written(PLAIN, "GFF3", ORDERS["genes in another order"]) + "".join(shared)
    found = {gene.id: sites(gene) for gene in read(text) if gene.id in "AB"}
    assert found == {"A": ([1100, 2100], [2001, 4201]), "B": ([1100], [4201])}


def test_parts_that_may_be_one_transcript_or_two_are_named_and_their_ends_become_no_rows(
    read, caplog
):
    far = ("FAR", "+", (((1001, 1100), (1201, 1300), (9001, 9100)),))
    nested = ("NEST", "+", (((8901, 9300),),))
    genes = read(written([*PLAIN, nested, far], "GTF of exons", moved))
    assert {gene.id: sites(gene) for gene in genes if gene.id[0] != "P"} == {
        "FAR@chr1:1001-1300": ([1100], [1201]),
        "NEST": ([], []),
        "FAR": ([], []),
    }
    assert not lost(genes, true_sites([far]))
    assert "1 transcripts may be one or several" in caplog.text
    assert "'FAR.0' (line 1)" in caplog.text


def test_a_line_at_another_place_is_of_its_transcript_if_that_is_near_or_has_a_line(read):
    near = ("NEAR", "+", (((1001, 1100), (1201, 1300), (1401, 1500)),))
    for gene, form in ((near, "GTF of exons"), (HOST, "GTF with transcripts")):
        found = read(written([*PLAIN, gene], form, moved))[0]
        assert len(found.transcripts) == 1
        assert found.transcripts[0].exons == tuple((a - 1, b) for a, b in gene[2][0])


@st.composite
def crowded(draw):
    """Genes that may overlap, lie in each other, and have several transcripts."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        steps = st.tuples(st.integers(20, 200), st.integers(10, 4000))
        place = 20_001 + draw(st.integers(0, 8000))
        exons = []
        for length, gap in draw(st.lists(steps, min_size=2, max_size=5)):
            exons.append((place, place + length - 1))
            place += length + gap
        transcripts = [tuple(exons)]
        if len(exons) > 2 and draw(st.booleans()):
            transcripts.append(tuple(exons[::2]))
        made.append((f"C{number}", draw(st.sampled_from("+-")), tuple(transcripts)))
    return made


@pytest.mark.parametrize("form", FORMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(genes=crowded(), order=st.sampled_from([*ORDERS.values(), moved]))
def test_no_site_is_lost_by_the_order_of_the_lines(read, form, genes, order):
    genes = [*PLAIN, *genes]
    assert not lost(read(written(genes, form, order)), true_sites(genes))


@pytest.mark.parametrize("form", ODD_FORMS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(genes=crowded(), order=st.sampled_from([*ORDERS.values(), moved]))
def test_no_site_is_lost_by_exon_numbers_that_repeat(read, form, genes, order):
    genes = [*PLAIN, *genes]
    assert not lost(read(written(genes, form, order)), true_sites(genes))
