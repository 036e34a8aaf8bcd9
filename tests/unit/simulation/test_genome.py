"""The files of the simulated genome are what their readers expect, and the same every time."""

import pytest

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import read_gene_models
from genebatch.io.files import InputError
from genebatch.simulation import genome as simulated_genome
from genebatch.simulation.genome import simulate_genome
from genebatch.simulation.locus import plan_contigs
from genebatch.simulation.sequence import paint

SMALL = {"n_genes": 16, "n_chromosomes": 3}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return simulate_genome(tmp_path_factory.mktemp("genome"), **SMALL)


@pytest.fixture(scope="module")
def contigs():
    return plan_contigs(**SMALL, seed=7)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("gen*"))}


def test_gtf_gives_the_planned_genes(genome, contigs):
    planned = [gene for contig in contigs for gene in contig.genes]
    assert read_gene_models(genome / "genes.gtf") == planned


def test_gtf_has_a_line_per_gene_transcript_and_exon(genome, contigs):
    genes = [gene for contig in contigs for gene in contig.genes]
    transcripts = [transcript for gene in genes for transcript in gene.transcripts]
    rows = [line.split("\t") for line in (genome / "genes.gtf").read_text().splitlines()]
    features = [row[2] for row in rows]
    assert features.count("gene") == len(genes)
    assert features.count("transcript") == len(transcripts) > len(genes)
    assert features.count("exon") == sum(len(transcript.exons) for transcript in transcripts)
    assert all('gene_biotype "' in row[8] for row in rows)


def test_exons_are_numbered_along_the_transcript(genome):
    rows = [line.split("\t") for line in (genome / "genes.gtf").read_text().splitlines()]
    transcripts = {transcript_of(row): row for row in rows if row[2] == "transcript"}
    first = [row for row in rows if 'exon_number "1"' in row[8]]
    assert len(first) == len(transcripts)
    assert {row[6] for row in first} == {"+", "-"}
    for row in first:
        edge = 3 if row[6] == "+" else 4
        assert row[edge] == transcripts[transcript_of(row)][edge]


def transcript_of(row):
    return row[8].partition('transcript_id "')[2].partition('"')[0]


def test_coding_lines_give_an_open_frame_along_the_first_transcript(genome, contigs):
    """Read as by a user: CDS lines in transcript order, with phases, the stop codon behind them."""
    rows = [line.split("\t") for line in (genome / "genes.gtf").read_text().splitlines()]
    coding = {gene.id: gene for contig in contigs for gene in contig.genes}
    coding = {name: gene for name, gene in coding.items() if gene.kind == "protein_coding"}
    pieces = {f"{name}.1": [] for name in coding}
    with Fasta(genome / "genome.fa") as fasta:
        for chrom, _, feature, start, end, _, strand, phase, facts in rows:
            if feature in ("CDS", "start_codon", "stop_codon"):
                codes = fasta.fetch(chrom, int(start) - 1, int(end), strand)
                text = "".join("ACGT"[code] for code in codes)
                name = facts.partition('transcript_id "')[2].partition('"')[0]
                pieces[name].append((feature, phase, text))
    for of_transcript in pieces.values():
        *cds, start, stop = of_transcript
        text = ""
        for feature, phase, piece in cds:
            assert feature == "CDS"
            assert (len(text) + int(phase)) % 3 == 0
            text += piece
        codons = [text[at : at + 3] for at in range(0, len(text), 3)]
        assert len(text) % 3 == 0
        assert start == ("start_codon", "0", codons[0]) == ("start_codon", "0", "ATG")
        assert stop[:2] == ("stop_codon", "0")
        assert stop[2] in ("TAA", "TAG", "TGA")
        assert not {"TAA", "TAG", "TGA"} & set(codons)
    assert {gene.strand for gene in coding.values()} == {"+", "-"}
    assert max(map(len, pieces.values())) > 5


def test_log_counts_the_frames(tmp_path, caplog):
    with caplog.at_level("INFO"):
        simulate_genome(tmp_path, **SMALL)
    gtf = (tmp_path / "genes.gtf").read_text()
    n = gtf.count("\tstart_codon\t")
    assert f"{n} of {n} protein-coding genes have a reading frame" in caplog.text


def test_fasta_gives_the_painted_contigs(genome, contigs):
    with Fasta(genome / "genome.fa") as fasta:
        assert fasta.contigs == {contig.name: contig.length for contig in contigs}
        for contig in contigs:
            found = fasta.fetch(contig.name, 0, contig.length, "+")
            assert (found == paint(contig, 7).codes).all()


def test_fasta_has_lines_of_60_in_upper_and_lower_case_with_unknown_bases(genome):
    lines = (genome / "genome.fa").read_text().splitlines()
    widths = [len(line) for line in lines if not line.startswith(">")]
    assert max(widths) == 60
    assert sum(width < 60 for width in widths) <= SMALL["n_chromosomes"]
    letters = set("".join(line for line in lines if not line.startswith(">")))
    assert set("ACGTNacgt") <= letters <= set("ACGTNacgtn")


def test_same_seed_gives_equal_bytes_and_another_does_not(genome, tmp_path):
    again = simulate_genome(tmp_path / "again", **SMALL)
    other = simulate_genome(tmp_path / "other", **SMALL, seed=8)
    for name in ("genome.fa", "genes.gtf"):
        assert (again / name).read_bytes() == (genome / name).read_bytes()
        assert (other / name).read_bytes() != (genome / name).read_bytes()


def test_index_of_an_earlier_genome_does_not_stay(tmp_path):
    simulate_genome(tmp_path, **SMALL)
    with Fasta(tmp_path / "genome.fa"):
        assert (tmp_path / "genome.fa.fai").exists()
    simulate_genome(tmp_path, **SMALL, seed=8)
    assert set(contents(tmp_path)) == {"genome.fa", "genes.gtf"}


def test_failed_run_leaves_the_earlier_files_alone(tmp_path, monkeypatch):
    simulate_genome(tmp_path, **SMALL)
    before = contents(tmp_path)

    def fail_on_the_second(contig, seed):
        if contig.name == "chr2":
            raise OSError("disk full")
        return paint(contig, seed)

    monkeypatch.setattr(simulated_genome, "paint", fail_on_the_second)
    with pytest.raises(OSError, match="disk full"):
        simulate_genome(tmp_path, **SMALL, seed=8)
    assert contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == len(before)


def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="at least 8 genes"):
        simulate_genome(tmp_path, n_genes=3)
    assert not list(tmp_path.iterdir())
