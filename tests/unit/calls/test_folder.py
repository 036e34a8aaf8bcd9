"""Tests of calls.folder: the files for genome browsers agree with the calls and open anywhere."""

import shutil
import sys
from xml.etree import ElementTree

import polars as pl
import pyBigWig
import pysam
import pytest

from genebatch.calls.calling import call
from genebatch.calls.folder import ALL_NAMES, first_called
from genebatch.calls.tabix import TBI_END, check_reach
from genebatch.calls.ucsc import Hub
from genebatch.cli import main
from genebatch.io.files import InputError
from tests.builders.called_genome import make
from tests.builders.held_genome import made_gene

BIGWIGS = {f"{site}.{strand}.bw" for site in ("donor", "acceptor") for strand in ("plus", "minus")}
PLAIN = {
    *("positions.parquet", "calls.bed", "coverage.tsv", "calls_ucsc.bed", "calls_igv.xml"),
    *BIGWIGS,
    "transcripts.gff3",
}
OWN = Hub("own", "me@example.org")
HUB, HUB_FILES = Hub("hg38", "me@example.org"), {"calls_hub.txt", "calls.bb", "transcripts.bb"}
LOW, HIGH = {"donor": 0.05, "acceptor": 0.05}, {"donor": 1.0, "acceptor": 1.0}
# The made genome names its chromosomes as the gene models do, chr1; here as Ensembl does.
CHROMS = {"chr1": "1", "chr2": "2"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The made genome in a folder whose name XML has to escape, with contigs 1 and 2."""
    folder = tmp_path_factory.mktemp("made") / "R&D <new>"
    folder.mkdir()
    made = make(folder)
    text = (folder / "genome.fa").read_text().replace(">chr", ">")
    (folder / "genome.fa.fai").unlink()
    (folder / "genome.fa").write_text(text)
    return made


@pytest.fixture(scope="module")
def called(made):
    """A folder beside the genome with every file."""
    options = {"bigwig": True, "transcripts": 20, "bgzip": "tbi", "hub": HUB, "thresholds": LOW}
    return call(*made.files, made.folder / "calls", mode="base", **options).folder


@pytest.fixture(scope="module")
def silent(made, tmp_path_factory):
    """The files of a call of which no probability reaches the threshold."""
    out = tmp_path_factory.mktemp("silent")
    options = {"bigwig": True, "transcripts": 0, "bgzip": "csi", "hub": HUB, "thresholds": HIGH}
    return call(*made.files, out, mode="base", **options).folder


def lines(path):
    """Lines that are no comments."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def opened(path, index):
    """A compressed file with its index; pysam does not look for a .csi by itself."""
    return pysam.TabixFile(str(path), index=f"{path}.{index}")


def bed(folder):
    """Columns of the calls."""
    return [line.split("\t") for line in lines(folder / "calls.bed")]


def test_the_folder_has_the_files_that_were_asked_for(called, silent):
    texts = ("calls.bed", "transcripts.gff3")
    for folder, index in ((called, "tbi"), (silent, "csi")):
        compressed = {f"{name}.gz{part}" for name in texts for part in ("", f".{index}")}
        wanted = PLAIN | HUB_FILES | compressed
        assert {path.name for path in folder.iterdir()} == wanted
        assert wanted <= ALL_NAMES


def test_a_call_is_where_the_positions_reach_the_threshold(called):
    positions = pl.read_parquet(called / "positions.parquet")
    wanted = {
        (CHROMS[chrom], str(place), f"{gene}:{name}", strand)
        for name, limit in LOW.items()
        for chrom, place, gene, strand in positions.filter(pl.col(f"probability_{name}") >= limit)
        .select(pl.col("chrom", "genomic_position", "gene_id", "strand").cast(pl.String))
        .iter_rows()
    }
    found = [(chrom, start, name, strand) for chrom, start, _, name, _, strand, *_ in bed(called)]
    assert len(found) > 10
    assert {strand for *_, strand in found} == {"+", "-"}
    assert sorted(found) == sorted(wanted)


def test_files_along_the_genome_name_its_chromosomes_as_the_fasta_does(called):
    """The gene models say chr1, which the tables keep."""
    for name in ("calls.bed", "transcripts.gff3"):
        assert {line.split("\t")[0] for line in lines(called / name)} == {"1", "2"}
    for name in BIGWIGS:
        with pyBigWig.open(str(called / name)) as file:
            assert file.chroms() == {"1": 1500, "2": 500}
    for table in (
        pl.read_csv(called / "coverage.tsv", separator="\t"),
        pl.read_parquet(called / "positions.parquet"),
    ):
        assert set(table["chrom"]) == {"chr1", "chr2"}


def test_the_bigwigs_have_the_score_of_each_call(called):
    sides = {"+": "plus", "-": "minus"}
    for chrom, start, end, name, score, strand, *_ in bed(called):
        path = called / f"{name.rpartition(':')[2]}.{sides[strand]}.bw"
        with pyBigWig.open(str(path)) as file:
            (value,) = file.values(chrom, int(start), int(end))
        # Where genes of a strand overlap, the bigWig has the larger of the two.
        assert round(1000 * value) >= int(score)


@pytest.mark.parametrize("name", ["calls.bed", "transcripts.gff3"])
@pytest.mark.parametrize(
    "region", [("1", 0, 1500), ("1", 219, 301), ("2", 59, 60), ("2", 300, 400)]
)
def test_a_query_by_tabix_is_a_filter_of_the_plain_file(called, name, region):
    chrom, low, high = region
    first = 0 if name == "transcripts.gff3" else 1  # GFF3 counts from 1, BED from 0
    columns = slice(3, 5) if name == "transcripts.gff3" else slice(1, 3)
    wanted = []
    for line in lines(called / name):
        start, end = map(int, line.split("\t")[columns])
        if line.split("\t")[0] == chrom and start - 1 + first < high and end > low:
            wanted.append(line)
    with opened(called / f"{name}.gz", "tbi") as file:
        assert list(file.fetch(chrom, low, high)) == wanted
        assert list(file.header) == [
            line for line in (called / name).read_text().splitlines() if line.startswith("#")
        ]


def test_a_call_without_calls_has_valid_files(silent):
    assert bed(silent) == []
    assert lines(silent / "calls_ucsc.bed")[1].startswith("track ")
    assert len(lines(silent / "calls_ucsc.bed")) == 2
    with opened(silent / "calls.bed.gz", "csi") as file:
        assert file.contigs == []
        assert len(list(file.header)) == 2
    # The best chain of every gene is written all the same.
    with opened(silent / "transcripts.gff3.gz", "csi") as file:
        assert list(file.fetch()) == lines(silent / "transcripts.gff3")
    assert ElementTree.parse(silent / "calls_igv.xml").getroot().get("locus") == "1:101-1000"


def test_the_custom_track_has_the_calls_under_a_track_line(called):
    position, track, *rest = (called / "calls_ucsc.bed").read_text().splitlines()
    assert position == "browser position 1:101-1000"
    assert track.startswith('track name="genebatch calls" ')
    assert 'itemRgb="On"' in track
    assert rest == lines(called / "calls.bed")


def session(folder):
    return ElementTree.parse(folder / "calls_igv.xml").getroot()


def test_the_session_names_files_by_paths_that_lead_there(called, made):
    root = session(called)
    paths = [element.get("path") for element in root.iter("Resource")]
    assert root.get("genome") == "../genome.fa"
    assert paths[-1] == "../genes.gtf"
    # Of a file and its compressed copy only the copy is shown, as it has an index.
    assert set(paths[:-1]) == BIGWIGS | {"calls.bed.gz", "transcripts.gff3.gz"}
    assert all((called / path).is_file() for path in [*paths, root.get("genome")])
    assert [element.get("id") for element in root.iter("Track")] == paths


def test_the_session_draws_probabilities_from_0_to_1(called):
    numbers = {
        t.get("id"): t for t in session(called).iter("Track") if t.find("DataRange") is not None
    }
    assert set(numbers) == BIGWIGS
    for name, track in numbers.items():
        scale = track.find("DataRange")
        assert (scale.get("minimum"), scale.get("maximum")) == ("0.0", "1.0")
        assert track.get("color") == ("0,114,178" if "donor" in name else "213,94,0")


def test_the_session_of_a_linked_folder_leads_from_where_it_lies(made, tmp_path):
    """A program that opens it follows the link before it takes a step up."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    call(*made.files, tmp_path / "link" / "calls", mode="base", wanted=["tiny"])
    there = tmp_path / "far" / "away" / "calls"
    genome = session(there).get("genome")
    assert (there / genome).samefile(made.files[1])


def stanzas(folder):
    """Blocks of the hub, each a dictionary."""
    blocks = (folder / "calls_hub.txt").read_text().strip().split("\n\n")
    return [dict(line.split(" ", 1) for line in block.splitlines()) for block in blocks]


def test_the_hub_names_files_beside_it_under_labels_that_the_browser_shows(called):
    hub, genome, *tracks = stanzas(called)
    assert hub["useOneFile"] == "on"
    assert (genome["genome"], hub["email"]) == HUB
    files = [track["bigDataUrl"] for track in tracks]
    assert files[:2] == ["calls.bb", "transcripts.bb"]
    assert set(files[2:]) == BIGWIGS
    assert all((called / file).is_file() for file in files)
    names = [track["track"] for track in tracks]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() for name in names)
    assert all(len(block["shortLabel"]) <= 17 for block in (hub, *tracks))


def test_a_hub_of_an_own_genome_brings_it(made, tmp_path):
    call(*made.files, tmp_path, mode="base", wanted=["other"], hub=OWN, thresholds=LOW)
    genome = stanzas(tmp_path)[1]
    assert genome["genome"] == genome["organism"] == "genome"
    assert genome["defaultPos"] == "2:11-290"
    size = (tmp_path / genome["twoBitPath"]).stat().st_size
    # Two bits a base, and as much again for what stands around them.
    assert 2000 / 4 < size < 2 * 2000 / 4
    assert [track["bigDataUrl"] for track in stanzas(tmp_path)[2:]] == [
        "calls.bb",
        "calls_genes.bb",
    ]
    with pyBigWig.open(str(tmp_path / "calls_genes.bb")) as file:
        # Exons 11-60, 91-150 and 231-290.
        columns = "other.1\t0\t-\t10\t290\t0,0,0\t3\t50,60,60\t0,80,220"
        assert file.entries("2", 0, 500) == [(10, 290, columns)]
    call(*made.files, tmp_path, mode="base", wanted=["other"], hub=HUB)
    assert not (tmp_path / "calls_genome.2bit").exists()
    assert not (tmp_path / "calls_genes.bb").exists()


def test_the_hub_of_a_call_without_more_has_its_calls_alone(made, tmp_path):
    call(*made.files, tmp_path, mode="base", wanted=["tiny"], hub=HUB)
    assert [track["bigDataUrl"] for track in stanzas(tmp_path)[2:]] == ["calls.bb"]
    assert not (tmp_path / "transcripts.bb").exists()


def test_the_bigbed_has_the_calls(called, silent):
    for folder in (called, silent):
        with pyBigWig.open(str(folder / "calls.bb")) as file:
            found = [
                "\t".join([chrom, str(start), str(end), rest])
                for chrom, size in file.chroms().items()
                for start, end, rest in file.entries(chrom, 0, size) or ()
            ]
        assert found == lines(folder / "calls.bed")


def test_the_bigbed_of_transcripts_has_their_exons(called):
    wanted = {}
    for line in lines(called / "transcripts.gff3"):
        chrom, _, kind, start, end, *_, facts = line.split("\t")
        if kind == "exon":
            name = facts.split(";")[0].removeprefix("Parent=transcript:")
            wanted.setdefault((chrom, name), set()).add((int(start) - 1, int(end)))
    found = {}
    with pyBigWig.open(str(called / "transcripts.bb")) as file:
        for chrom, size in file.chroms().items():
            for start, _, rest in file.entries(chrom, 0, size):
                name, *_, sizes, starts = rest.split("\t")
                exons = zip(starts.split(","), sizes.split(","), strict=True)
                found[chrom, name] = {
                    (start + int(first), start + int(first) + int(size)) for first, size in exons
                }
    assert len(found) > 5
    assert found == wanted


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        (Hub("hg 38", "me@example.org"), "'hg 38' is no name of a genome at UCSC"),
        (Hub("hg38", "me"), "'me' is no email address"),
    ],
)
def test_a_hub_that_the_browser_would_not_open_is_refused(made, tmp_path, hub, message):
    with pytest.raises(InputError, match=message):
        call(*made.files, tmp_path / "out", mode="base", hub=hub)
    assert not (tmp_path / "out").exists()


def test_a_hub_without_its_library_is_refused_before_the_call(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    message = r"call\.hub or --hub needs pybigtools.*pip install genebatch\[genomics\]"
    with pytest.raises(InputError, match=message):
        call(*made.files, tmp_path / "out", mode="base", hub=HUB)


def test_the_command_writes_a_hub(made, tmp_path):
    model, fasta, genes, scores = map(str, made.files)
    given = ["--fasta", fasta, "--genes", genes, "--scores", scores, "--mode", "base"]
    options = ["--only", "tiny", "--hub", *HUB]
    assert main(["call", model, "-o", str(tmp_path), *given, *options]) == 0
    assert stanzas(tmp_path)[1] == {"genome": "hg38"}


def test_a_folder_may_move_together_with_its_genome(called, made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "moved")
    moved = tmp_path / "moved" / "calls"
    root = session(moved)
    for path in [root.get("genome"), *(e.get("path") for e in root.iter("Resource"))]:
        assert (moved / path).resolve().is_relative_to(tmp_path)
        assert (moved / path).is_file()


@pytest.mark.parametrize("letter", ["\x07", "\udcff"])  # a bell, and a byte that is no UTF-8
def test_a_path_that_xml_cannot_write_is_refused_before_the_call(made, tmp_path, letter):
    model, fasta, _, scores = made.files
    genes = tmp_path / f"genes{letter}.gtf"
    shutil.copy(made.files[2], genes)
    with pytest.raises(InputError, match=r"genes\\\w+\.gtf cannot stand in calls_igv\.xml"):
        call(model, fasta, genes, scores, tmp_path / "out", mode="base")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_longer_wanted_are_removed(made, tmp_path):
    options = {"bigwig": True, "transcripts": 0, "bgzip": "tbi", "hub": HUB}
    call(*made.files, tmp_path, mode="base", wanted=["tiny"], **options)
    call(*made.files, tmp_path, mode="base", wanted=["tiny"], bgzip="csi")
    left = PLAIN - BIGWIGS - {"transcripts.gff3"}
    assert {p.name for p in tmp_path.iterdir()} == left | {"calls.bed.gz", "calls.bed.gz.csi"}


def test_the_browser_opens_at_the_first_gene_with_a_call():
    genes = [made_gene(10, 20, "+", "a", "c"), made_gene(30, 45, "-", "b", "c")]
    coverage = pl.DataFrame({"donors": [0, 0], "acceptors": [0, 2]})
    assert first_called(genes, coverage) == "c:31-45"
    assert first_called(genes, coverage * 0) == "c:11-20"


def test_a_gene_beyond_the_reach_of_tbi_is_refused_with_the_remedy():
    at_end = made_gene(TBI_END - 10, TBI_END, "+", "wheat", "1A")
    check_reach([at_end], "tbi")
    beyond = at_end._replace(end=TBI_END + 1)
    check_reach([beyond], "csi")
    check_reach([beyond], "none")
    with pytest.raises(InputError, match=r"wheat ends at 536,870,913 of 1A.*--bgzip to csi"):
        check_reach([at_end, beyond], "tbi")


def test_the_command_indexes_by_tbi_unless_told_otherwise(made, tmp_path):
    model, fasta, genes, scores = map(str, made.files)
    given = ["--fasta", fasta, "--genes", genes, "--scores", scores, "--mode", "base"]
    for options, index in ((["--bgzip"], "tbi"), (["--bgzip", "csi"], "csi")):
        out = tmp_path / index
        assert main(["call", model, "-o", str(out), "--only", "tiny", *given, *options]) == 0
        assert (out / f"calls.bed.gz.{index}").is_file()
