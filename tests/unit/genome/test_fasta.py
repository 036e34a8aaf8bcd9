"""Sequences in transcript orientation, and the error for each wrong FASTA file."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pysam
import pytest

from genebatch.genome import fasta_index as module
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import Gene
from genebatch.io.files import InputError

TEXT = ">chr20 of a genome\nACGTN\nacgtR\nGG\n>chrM\nTTA\n"


@pytest.fixture
def file(tmp_path):
    def write(content=TEXT, name="genome.fa"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def bgzip(file, tmp_path):
    def write(content=TEXT):
        packed = tmp_path / "genome.fa.gz"
        pysam.tabix_compress(str(file(content)), str(packed), force=True)
        return packed

    return write


def codes(path, *place):
    with Fasta(path) as fasta:
        return fasta.fetch(*place).tolist()


def test_plus_strand_codes_are_alphabetical_and_soft_masked_bases_count_in_full(file):
    assert codes(file(), "chr20", 0, 12, "+") == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 2, 2]


def test_minus_strand_is_the_reverse_complement(file):
    assert codes(file(), "chr20", 5, 12, "-") == [1, 1, 4, 0, 1, 2, 3]


@pytest.mark.parametrize("strand", "+-")
def test_rna_is_read_as_dna(file, strand):
    text = ">a\nACGTacgtNRUu\n"
    rna = codes(file(text.replace("T", "U").replace("t", "u"), "rna.fa"), "a", 0, 12, strand)
    assert rna == codes(file(text.replace("U", "T")), "a", 0, 12, strand)


@pytest.mark.parametrize(
    ("header", "name"),
    [(">chr20 a b", "chr20"), ("> chr20", "chr20"), (">chr20\tx", "chr20"), (">chr20 ", "chr20")],
)
def test_a_name_ends_at_the_first_blank(file, header, name):
    assert codes(file(f"{header}\nACGT  \nAC\n"), name, 0, 6, "+") == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("letter", ["E", "*", "1", ".", " ", "\t"])
def test_what_is_no_nucleotide_is_refused_where_it_is_read(file, letter):
    path = file(f">a\nAC{letter}T\nAC{letter}T\n")
    with pytest.raises(InputError, match=re.escape(f"holds {letter!r} at a:3; wanted DNA")):
        codes(path, "a", 0, 4, "+")


def test_empty_sequences_before_the_last_are_left_out(file):
    with Fasta(file(">a\n>b\nACGT\n")) as fasta:
        assert fasta.contigs == {"b": 4}


@pytest.mark.parametrize("content", ["x\n", "chr20\t12\n", "chr20\ta\tb\tc\td\n"])
def test_what_is_no_index_is_named(file, content):
    path = file()
    Path(f"{path}.fai").write_text(content)
    with pytest.raises(InputError, match=r"genome\.fa\.fai is no index of a FASTA .* delete it"):
        Fasta(path)
    Path(f"{path}.fai").unlink()
    Fasta(path).close()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (-2, 2, [4, 4, 0, 1]),
        (10, 14, [2, 2, 4, 4]),
        (-1, 13, [4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 2, 2, 4]),
        (-5, -2, [4, 4, 4]),
        (12, 14, [4, 4]),
        (3, 3, []),
    ],
)
def test_outside_of_the_contig_is_unknown_on_both_strands(file, start, end, expected):
    assert codes(file(), "chr20", start, end, "+") == expected
    mirrored = [3 - code if code < 4 else 4 for code in reversed(expected)]
    assert codes(file(), "chr20", start, end, "-") == mirrored


def test_bgzip_and_windows_ends_are_read_alike(file, bgzip):
    wanted = codes(file(), "chr20", 0, 12, "+")
    assert codes(bgzip(), "chr20", 0, 12, "+") == wanted
    assert codes(file(TEXT.replace("\n", "\r\n"), "crlf.fa"), "chr20", 0, 12, "+") == wanted


@pytest.mark.parametrize("name", ["-o genome.fa", "it's [1] $(x).fa", "data:genome.fa"])
def test_names_of_files_are_no_options_patterns_or_addresses(file, monkeypatch, name):
    monkeypatch.chdir(file(name=name).parent)
    assert codes(name, "chr20", 0, 12, "+") == codes(file(), "chr20", 0, 12, "+")
    assert Path(f"{name}.fai").exists()


def test_modules_of_the_users_folder_are_not_imported_to_index(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pysam", "random"):
        Path(f"{name}.py").write_text("raise SystemExit('a module of the user')")
    assert codes(file(), "chrM", 0, 3, "+") == [3, 3, 0]


def test_contigs_have_their_lengths_and_other_names(file):
    with Fasta(file()) as fasta:
        assert fasta.contigs == {"chr20": 12, "chrM": 3}
        assert [fasta.name_of(name) for name in ("chr20", "20", "MT")] == ["chr20", "chr20", "chrM"]
    assert codes(file(), "MT", 0, 3, "+") == [3, 3, 0]


def test_an_unknown_chromosome_lists_those_of_the_file(file):
    with Fasta(file()) as fasta, pytest.raises(InputError) as error:
        fasta.name_of("NC_000020.11")
    assert str(error.value) == (
        f"{file()} has no sequence 'NC_000020.11' or 'chrNC_000020.11' (it has 'chr20', 'chrM'); "
        "wanted "
        "the genome of the gene models; set sequence.fasta"
    )


def gene(chrom, end):
    return Gene("G", "G", chrom, "+", 0, end, "", ())


def test_letters_of_proteins_are_named_with_their_place(file):
    with (
        Fasta(file(">P1\nACGT\nMEEP\n")) as fasta,
        pytest.raises(InputError, match=r"genome.fa holds 'E' at P1:6; wanted DNA"),
    ):
        fasta.fetch("P1", 2, 8, "-")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "",
            "is empty; wanted a genome as FASTA, plain or compressed by bgzip; set sequence.fasta",
        ),
        (
            gzip.compress(TEXT.encode(), mtime=0),
            "is compressed by gzip, which .* `gunzip -c genome.fa . bgz",
        ),
        (gzip.compress(b"chr1\tx\texon", mtime=0), "does not begin with '>'"),
        ("\ufeff" + TEXT, "begins with a byte order mark; take it off"),
        ("@r1\nACGT\n+\nIIII\n", "does not begin with '>'; wanted a genome as FASTA"),
        ("chr1\tx\texon\t1\t9\t.\t+\t.\t.\n", "does not begin with '>'"),
        (TEXT + ">b\nA\n>chr20\nA\n", "line 9: the sequence 'chr20' is there before"),
        (
            ">a\nGG\nGGGG\n",
            "Different line length in sequence 'a' at line 3; wanted lines of",
        ),
        (">a\nACGT\nAC\nACGT\n", "is not a whole FASTA file: .* at line 4; wanted lines of one"),
        (">a\nACGT\n\nACGT\n", "is not a whole FASTA file: .* at line 4"),
        (">", "its last sequence '' is empty; take out that line"),
        (">a\nACGT\n>b of c\n\n", "its last sequence 'b' is empty; take out that line"),
        (">a\rACGT\rACGT\r>b\rAC\r", r"lines that end in CR alone.*`tr '.r' '.n'`"),
        (">a\nACGT\n>b\rACGT\r", "lines that end in CR alone"),
        (">caf\xe9\nACGT\n".encode("latin1"), "has a name that is not UTF-8 text; convert"),
    ],
)
def test_every_wrong_file_is_named_with_what_was_wanted(file, content, message, capfd):
    path = file(content)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}"):
        Fasta(path)
    assert b"caf" in path.read_bytes() or not list(path.parent.glob("*.fai"))
    assert capfd.readouterr().err == ""


def test_a_repeated_name_in_bgzip_has_the_line_of_the_text(bgzip):
    text = "".join(f">s{n}\n" + ("ACGT" * 20 + "\n") * 400 for n in range(5))
    with pytest.raises(InputError, match="line 2,006: the sequence 's2' is there before"):
        Fasta(bgzip(text + ">s2\nA\n"))


def test_a_missing_file_names_the_key(tmp_path):
    with pytest.raises(InputError, match=r"absent.fa does not exist; .*; set call\.fasta"):
        Fasta(tmp_path / "absent.fa", key="call.fasta")


def test_a_truncated_bgzip_file_is_not_taken_for_a_short_genome(bgzip):
    path = bgzip(">a\n" + "ACGT" * 50_000 + "\n")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"lacks the end of a bgzip file .truncated"):
        Fasta(path)


def test_a_plain_file_shorter_than_its_index_is_truncated(file):
    path = file()
    Fasta(path).close()
    modified = path.stat().st_mtime
    for cut in (1, 2, 20):
        path.write_text(TEXT[: -1 - cut])
        os.utime(path, (modified, modified))
        with pytest.raises(InputError, match=r"ends inside of chr.*as its index .*truncated"):
            Fasta(path)
    path.write_text(TEXT.rstrip())
    os.utime(path, (modified, modified))
    assert codes(path, "chrM", 0, 3, "+") == [3, 3, 0]


def test_the_index_is_written_beside_the_file_once(file, bgzip):
    for path, count in ((file(), 1), (bgzip(), 2)):
        Fasta(path).close()
        indices = [part for part in (Path(f"{path}.fai"), Path(f"{path}.gzi")) if part.exists()]
        assert len(indices) == count
        times = [part.stat().st_mtime_ns for part in indices]
        Fasta(path).close()
        assert [part.stat().st_mtime_ns for part in indices] == times


def test_an_index_older_than_its_file_is_made_anew(file):
    Fasta(file()).close()
    path = file(">other\nCCC\n")
    modified = path.stat().st_mtime + 10
    os.utime(path, (modified, modified))
    assert codes(path, "other", 0, 3, "+") == [1, 1, 1]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        ">chr20 of a genome\nACGTNA\ncgtRGG\n>chrM\nTTA\n",  # lines of another length
        ">chrM\nTTA\n>chr20 of a genome\nACGTN\nacgtR\nGG\n",  # another order
        ">chr20 of the genome\nACGTN\nacgtR\nGG\n>chrM\nTTA\n",  # two letters more
        ">chr2O of a genome\nACGTN\nacgtR\nGG\n>chrM\nTTA\n",  # another name
    ],
)
def test_an_index_of_another_file_is_made_anew_whatever_the_times(file, bgzip, packed, text):
    path = bgzip() if packed else file()
    Fasta(path).close()
    indexed = Path(f"{path}.fai")
    later = indexed.stat().st_mtime - 10
    _ = bgzip(text) if packed else file(text)
    os.utime(path, (later, later))
    name = text[1:].split()[0]
    with Fasta(path) as fasta:
        assert list(fasta.contigs) == [
            line[1:].split()[0] for line in text.split("\n") if ">" in line
        ]
        bases = "".join(text.partition(">" + name)[2].partition("\n")[2].partition(">")[0].split())
        wanted = ["ACGT".find(base) % 5 for base in bases.upper()]
        assert [min(code, 4) for code in fasta.fetch(name, 0, len(bases), "+")] == wanted


BASES = "".join(np.random.default_rng(3).choice([*"ACGT"], 130))


def wrapped(bases, width, name="chr1", end="\n"):
    lines = [bases[start : start + width] for start in range(0, len(bases), width)]
    return f">{name}{end}" + end.join(lines) + end


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (wrapped(BASES[:65], 60), wrapped(BASES, 60)),  # longer
        (wrapped(BASES[:65], 60), wrapped(BASES[:66], 60)),  # one letter more
        (wrapped(BASES[:60], 60), wrapped(BASES, 60)),  # a further line
        (wrapped(BASES, 60), wrapped(BASES, 61)),  # lines of another length, as many bytes
        (wrapped(BASES, 60), wrapped(BASES, 130)),  # one line
        (wrapped(BASES, 130), wrapped(BASES, 60)),
        (wrapped(BASES[:65], 60), wrapped(BASES[:65], 60) + wrapped(BASES, 60, "chr2")),
        (wrapped(BASES[:65], 60), wrapped(BASES[:61], 60) + "\n" * 4),  # blank lines for letters
        (
            wrapped("A", 60, "x") + wrapped(BASES[:65], 60),
            wrapped("A", 60, "x") + wrapped(BASES, 61),
        ),
        (wrapped(BASES, 60), wrapped(BASES, 60, end="\r\n")),
    ],
)
def test_a_change_behind_the_last_name_is_seen_whatever_the_times(
    file, bgzip, packed, before, after
):
    write = bgzip if packed else file
    path = write(before)
    Fasta(path).close()
    earlier = Path(f"{path}.fai").stat().st_mtime - 10
    write(after)
    os.utime(path, (earlier, earlier))
    with Fasta(path) as fasta:
        for text in after.split(">")[1:]:
            name, *lines = text.split()
            assert fasta.contigs[name] == len("".join(lines))
            wanted = ["ACGT".index(base) for base in "".join(lines)]
            assert fasta.fetch(name, 0, len(wanted), "+").tolist() == wanted


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        wrapped(BASES, 60),
        wrapped(BASES, 65),  # the last line is full
        wrapped(BASES.lower(), 60),
        wrapped(BASES, 60, end="\r\n"),
        wrapped(BASES, 65, end="\r\n"),
        wrapped(BASES, 130),  # one line
        wrapped(BASES, 130, end="\r\n"),
        wrapped(BASES, 60) + "\n\n",
        wrapped(BASES, 60, end="\r\n") + "\r\n\r\n",
        wrapped(BASES, 60) + "\n" + wrapped(BASES, 70, "chr2"),
        wrapped(BASES, 60).rstrip(),
        wrapped(BASES, 65, end="\r\n").rstrip(),
        wrapped(BASES, 130).rstrip(),
        wrapped(BASES[:2], 60) + wrapped(BASES[:1], 60, "chr2").rstrip(),
        ">empty\n" + wrapped(BASES, 60),
        ">chr1\nACGT  \nAC \n",
    ],
)
def test_an_index_of_the_file_stays_however_the_file_ends(file, bgzip, packed, text):
    path = (bgzip if packed else file)(text)
    Fasta(path).close()
    indexed = Path(f"{path}.fai").stat()
    Fasta(path).close()
    assert Path(f"{path}.fai").stat() == indexed


def test_a_long_line_is_not_read_whole(file, monkeypatch):
    path = file(wrapped("ACGT" * 100_000, 400_000))
    Fasta(path).close()
    monkeypatch.setattr(module, "HEADER_BYTES", 1_000)
    indexed = Path(f"{path}.fai").stat()
    Fasta(path).close()
    assert Path(f"{path}.fai").stat() == indexed


def test_blocks_behind_those_of_the_index_are_seen(bgzip):
    text = wrapped("A" * (2 * 65_280 - 7), 2 * 65_280)  # fills two blocks
    path = bgzip(text)
    Fasta(path).close()
    earlier = Path(f"{path}.fai").stat().st_mtime - 10
    bgzip(text + wrapped("ACGT", 60, "chr2"))
    os.utime(path, (earlier, earlier))
    with Fasta(path) as fasta:
        assert list(fasta.contigs) == ["chr1", "chr2"]


def test_an_empty_index_is_made_anew(file):
    path = file()
    Path(f"{path}.fai").write_text("")
    with Fasta(path) as fasta:
        assert fasta.contigs == {"chr20": 12, "chrM": 3}


def test_an_index_of_a_larger_bgzip_file_is_known_by_its_blocks(bgzip):
    rng = np.random.default_rng(1)
    texts = [
        "".join(
            f">c{number}\n"
            + "\n".join("".join(rng.choice([*"ACGT"], 60)) for _ in range(400))
            + "\n"
            for number in range(12)
        )
        for _ in range(2)
    ]
    path = bgzip(texts[0])
    Fasta(path).close()
    times = [Path(f"{path}.{kind}").stat().st_mtime_ns for kind in ("fai", "gzi")]
    Fasta(path).close()
    assert [Path(f"{path}.{kind}").stat().st_mtime_ns for kind in ("fai", "gzi")] == times
    bgzip(texts[1])
    os.utime(path, ns=(times[0] - 10**9, times[0] - 10**9))
    wanted = ["ACGT".index(base) for base in texts[1].split("\n")[1]]
    assert codes(path, "c0", 0, 60, "+") == wanted


def test_a_folder_that_cannot_be_written_gets_no_index_and_none_is_left(
    bgzip, monkeypatch, tmp_path
):
    path = bgzip()
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with Fasta(path) as fasta:
        assert fasta.fetch("chr20", 0, 4, "+").tolist() == [0, 1, 2, 3]
        assert len(list((tmp_path / "scratch").glob("*/index.*"))) == 2
    assert not list((tmp_path / "scratch").iterdir())
    assert not list(tmp_path.glob("*.fai"))
