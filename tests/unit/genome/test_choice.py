"""Which genes and transcripts give the labels, and what becomes of the sites of the others."""

import logging

import pytest

from genebatch.features.gene_rows import label_sites
from genebatch.genome.choice import canonical_transcript
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import foreign_sites, read_gene_models, splice_sites
from genebatch.genome.placing import genes_on_genome
from genebatch.io.files import InputError

# The main transcript has 60 exonic nt, the long one 140; they differ in one acceptor (on +).
MAIN = ((101, 120), (201, 220), (401, 420))
LONG = ((101, 120), (301, 420))
LOOKED_FOR = (
    r"looked for MANE_Select, Ensembl_canonical, RefSeq_Select, appris_principal, "
    r"appris_principal_1 to _5, gencode_primary, basic"
)


def gtf(gene, transcripts, strand="+", *, kind="", lines=("transcript", "exon")):
    """Lines of a gene; `transcripts` is id to exons and tags, a tag is an attribute of its own."""
    text = ""
    for name, (exons, tags) in transcripts.items():
        ids = f'gene_id "{gene}"; transcript_id "{name}";'
        ids += f' gene_biotype "{kind}";' if kind else ""
        marks = "".join(f' tag "{tag}";' for tag in tags)
        spans = {"transcript": [(exons[0][0], exons[-1][1])], "exon": exons}
        for type_ in lines:
            for start, end in spans[type_]:
                own = marks if type_ == lines[0] else ""
                text += f"chr1\tx\t{type_}\t{start}\t{end}\t.\t{strand}\t.\t{ids}{own}\n"
    return text


def gff3(gene, transcripts, strand="+", *, kind=""):
    start = min(exons[0][0] for exons, _ in transcripts.values())
    end = max(exons[-1][1] for exons, _ in transcripts.values())
    place = f"\t.\t{strand}\t.\t"
    biotype = f";gene_biotype={kind}" if kind else ""
    text = f"chr1\tx\tgene\t{start}\t{end}{place}ID=gene-{gene};gene_id={gene}{biotype}\n"
    for name, (exons, tags) in transcripts.items():
        own = f"ID=rna-{name};Parent=gene-{gene};transcript_id={name}"
        own += f";tag={','.join(tags)}" if tags else ""
        text += f"chr1\tx\tmRNA\t{exons[0][0]}\t{exons[-1][1]}{place}{own}\n"
        for first, last in exons:
            text += f"chr1\tx\texon\t{first}\t{last}{place}Parent=rna-{name}\n"
    return text


def only_exons(gene, transcripts, strand="+", *, kind=""):
    return gtf(gene, transcripts, strand, kind=kind, lines=("exon",))


FORMS = {"gtf": gtf, "exons": only_exons, "gff3": gff3}
ENSEMBL = ("basic", "Ensembl_canonical", "MANE_Select")
REFSEQ = ("MANE Select",)


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, *arguments, **options):
        path = tmp_path / "genes.txt"
        path.write_text(text)
        return read_gene_models(path, *arguments, **options)

    return write_and_read


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.mark.parametrize("tags", [ENSEMBL, REFSEQ, ("RefSeq Select",), ("appris_principal_1",)])
@pytest.mark.parametrize(
    ("strand", "sites", "other"),
    # From 100 on the plus strand, from 419 down on the minus strand.
    [("+", [[19, 119], [100, 300]], [200]), ("-", [[19, 219], [200, 300]], [119])],
)
def test_canonical_is_the_tagged_transcript_and_the_other_sites_are_no_labels(
    read, form, tags, strand, sites, other
):
    text = form("G", {"long": (LONG, ("CCDS",)), "main": (MAIN, tags)}, strand)
    (gene,) = read(text, "canonical")
    assert [transcript.id for transcript in gene.transcripts] == ["main"]
    assert [transcript.id for transcript in gene.others] == ["long"]
    assert [found.tolist() for found in splice_sites(gene)] == sites
    labels = label_sites(gene, foreign_sites([gene])["G"])
    assert [found.tolist() for found in labels] == [*sites, [], [], other]


def test_the_longest_leaves_the_sites_of_the_others_out_too(read, form):
    (gene,) = read(form("G", {"long": (LONG, ()), "main": (MAIN, ENSEMBL)}), "longest")
    labels = label_sites(gene, foreign_sites([gene])["G"])
    # Donor 219 and acceptor 200 are of the shorter transcript alone; 400 is inside an exon.
    assert [found.tolist() for found in labels] == [[19], [200], [], [], [100, 119, 300]]


def test_all_takes_every_site_and_leaves_none_out(read, form):
    (gene,) = read(form("G", {"long": (LONG, ()), "main": (MAIN, ENSEMBL)}))
    labels = label_sites(gene, foreign_sites([gene])["G"])
    assert [found.tolist() for found in labels] == [[19, 119], [100, 200, 300], [], [], []]
    assert canonical_transcript(gene).id == "main"


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [
        # MANE comes before Ensembl's and RefSeq's choice, then APPRIS by its grades, then basic.
        ({"a": ["Ensembl_canonical"], "b": ["basic", "MANE_Select"]}, "b"),
        ({"a": ["RefSeq Select"], "b": ["MANE Select"]}, "b"),
        ({"a": ["appris_principal_1"], "b": ["Ensembl_canonical"]}, "b"),
        ({"a": ["appris_principal_2"], "b": ["appris_principal_1"]}, "b"),
        ({"a": ["basic"], "b": ["appris_principal_5"]}, "b"),
        ({"a": ["gencode_basic"], "b": ["gencode_primary"]}, "b"),
        ({"a": [], "b": ["gencode_basic"]}, "b"),
        # Tags that say something else do not count.
        ({"a": ["MANE_Plus_Clinical", "CCDS"], "b": ["basic"]}, "b"),
    ],
)
def test_tags_have_an_order(read, form, tags, chosen):
    # a is longer, so without the tags it would be taken.
    text = form("G", {"a": (LONG, tags["a"]), "b": (MAIN, tags["b"])})
    assert read(text, "canonical")[0].transcripts[0].id == chosen


def test_of_equal_tags_the_transcript_with_most_exonic_nt_is_taken_then_the_first_id(read, form):
    short = (MAIN, ["basic"])
    long = (LONG, ["basic"])
    (gene,) = read(form("G", {"a": short, "c": long, "b": long}), "canonical")
    assert gene.transcripts[0].id == "b"
    assert [transcript.id for transcript in gene.others] == ["a", "c"]


def test_a_gene_without_tags_falls_back_to_its_longest_transcript(read, form, caplog):
    tagged = form("T", {"t": (((1001, 1020), (1101, 1120)), ENSEMBL)})
    bare = form("B", {"long": (LONG, ()), "main": (MAIN, ())})
    with caplog.at_level(logging.INFO):
        genes = {gene.id: gene.transcripts[0].id for gene in read(tagged + bare, "canonical")}
    assert genes == {"B": "long", "T": "t"}
    assert "1 of 2 genes have no transcript with a tag" in caplog.text
    assert "their longest is taken: B" in caplog.text
    assert "canonical transcripts of genes by tag: MANE_Select 1" in caplog.text


def test_a_file_without_any_tag_is_refused(read, form, caplog):
    text = form("G", {"long": (LONG, ["CCDS"]), "main": (MAIN, ())})
    message = rf"no transcript has a tag of canonical ones \({LOOKED_FOR}\); set .* to longest"
    with pytest.raises(InputError, match=message):
        read(text, "canonical")
    (gene,) = read(text, "canonical", untagged="longest")
    assert gene.transcripts[0].id == "long"
    assert "the longest transcript of each gene is taken" in caplog.text


def test_a_tag_inside_of_a_quoted_value_is_none(read):
    note = ' note "x; tag MANE_Select; y";'
    text = gtf("G", {"long": (LONG, ["basic"]), "main": (MAIN, ())}).replace(
        'transcript_id "main";', f'transcript_id "main";{note}'
    )
    assert read(text, "canonical")[0].transcripts[0].id == "long"


def test_transcripts_whose_own_line_has_no_tag_take_that_of_their_exons(read):
    text = gtf("G", {"long": (LONG, ()), "main": (MAIN, ["basic"])}, lines=("exon", "transcript"))
    assert read(text, "canonical")[0].transcripts[0].id == "main"


def test_copies_of_a_transcript_on_two_chromosomes_have_its_tag(read):
    text = gtf("G", {"long": (LONG, ()), "main": (MAIN, ENSEMBL)})
    genes = read(text + text.replace("chr1\t", "chrY\t"), "canonical")
    assert [(gene.id, gene.transcripts[0].id) for gene in genes] == [
        ("G", "main"),
        ("G@chrY", "main"),
    ]


def test_the_chosen_transcript_sets_the_span_and_sites_beyond_it_are_not_lost(read, form):
    # On one strand A reaches to 900, but its canonical transcript ends at 420; B begins at 601.
    a = {"main": (MAIN, ENSEMBL), "reach": (((101, 120), (651, 700), (801, 900)), ())}
    b = {"b": (((601, 640), (761, 1000)), ENSEMBL)}
    first, second = read(form("A", a) + form("B", b), "canonical")
    assert (first.start, first.end) == (100, 420)
    labels = label_sites(second, foreign_sites([first, second])["B"])
    # Sites of A's other transcript in B: acceptors 650 and 800, donor 699; B starts at 600.
    assert [found.tolist() for found in labels] == [[39], [160], [], [50, 99, 200], []]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_donor_that_is_an_acceptor_of_another_transcript_has_no_label(read, form, strand):
    # 120 is the last nt of the main one's first exon and the first of the other's second.
    other = ((51, 60), (120, 130))
    (gene,) = read(form("G", {"main": (MAIN, ENSEMBL), "x": (other, ())}, strand), "canonical")
    labels = label_sites(gene, foreign_sites([gene])["G"])
    assert labels.ambiguous.tolist() == [19 if strand == "+" else 300]
    assert labels.other.tolist() == []


class TestBiotypes:
    def text(self, form, strand="+", guest_strand=None):
        host = {"h": (((101, 120), (401, 500)), ENSEMBL)}
        guest = {"g": (((201, 220), (251, 260)), ENSEMBL), "g2": (((201, 230), (251, 260)), ())}
        apart = {"p": (((901, 920), (951, 960)), ENSEMBL)}
        return (
            form("H", host, strand, kind="protein_coding")
            + form("L", guest, guest_strand or strand, kind="lncRNA")
            + form("P", apart, strand, kind="pseudogene")
        )

    @pytest.mark.parametrize("which", ["all", "longest", "canonical"])
    @pytest.mark.parametrize(
        ("strand", "foreign"), [("+", [119, 129, 150]), ("-", [249, 270, 280])]
    )
    def test_genes_of_other_biotypes_are_left_out_but_not_their_sites(
        self, read, form, caplog, which, strand, foreign
    ):
        with caplog.at_level(logging.INFO):
            (gene,) = read(self.text(form, strand), which, biotypes=["protein_coding"])
        assert gene.id == "H"
        assert foreign_sites([gene])["H"].tolist() == foreign
        assert (
            "2 of 3 genes left out because of their biotype: lncRNA 1, pseudogene 1; their splice "
            "sites become no rows of other genes"
        ) in caplog.text

    def test_sites_on_the_other_strand_do_not_count(self, read, form):
        text = self.text(form, "+", "-")
        (gene,) = read(text, biotypes=["protein_coding"])
        assert foreign_sites([gene])["H"].tolist() == []

    def test_several_biotypes_may_stay(self, read, form):
        genes = read(self.text(form), biotypes=["pseudogene", "lncRNA"])
        assert [gene.id for gene in genes] == ["L", "P"]

    def test_unknown_biotypes_are_refused_with_the_known_ones(self, read, form):
        message = (
            "no gene has the biotype 'mRNA', 'protein-coding'; known: lncRNA, protein_coding, "
            "pseudogene; set sequence.biotypes or --biotypes to some of these"
        )
        with pytest.raises(InputError, match=message):
            read(self.text(form), biotypes=["protein-coding", "lncRNA", "mRNA"])

    def test_a_file_without_biotypes_is_refused(self, read, form):
        text = form("G", {"main": (MAIN, ENSEMBL)})
        message = (
            r"no gene has a biotype \(gene_biotype, gene_type or biotype\), but sequence.biotypes "
            r"or --biotypes asks for protein_coding"
        )
        with pytest.raises(InputError, match=message):
            read(text, biotypes=["protein_coding"])

    def test_genes_without_a_biotype_are_left_out_and_counted(self, read, form, caplog):
        with caplog.at_level(logging.INFO):
            genes = read(
                self.text(form) + form("N", {"n": (((2001, 2100),), ())}),
                biotypes=["protein_coding", "lncRNA", "pseudogene"],
            )
        assert [gene.id for gene in genes] == ["H", "L", "P"]
        assert "1 of 4 genes left out because of their biotype: none 1" in caplog.text


def test_sites_of_all_transcripts_of_genes_beyond_their_chromosome_are_unsure(read, tmp_path):
    # B ends at 1,000 and the chromosome at 960; its transcript x has sites in A.
    a = {"main": (((101, 120), (401, 700)), ENSEMBL)}
    b = {"b": (((601, 640), (901, 1000)), ENSEMBL), "x": (((651, 660), (671, 680)), ())}
    genes = read(gtf("A", a) + gtf("B", b), "canonical")
    (tmp_path / "genome.fa").write_text(">chr1\n" + "A" * 960 + "\n")
    with Fasta(tmp_path / "genome.fa") as fasta:
        (kept,) = genes_on_genome(genes, fasta.contigs, "genes", fasta.path)
    assert set(foreign_sites([kept])["A"].tolist()) >= {559, 570}
