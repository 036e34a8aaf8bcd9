"""Scores from bigWig files that are written here value by value."""

import builtins
import re

import numpy as np
import pytest

from genebatch.genome.genes import Gene
from genebatch.genome.scores import bigwig as bigwig_module
from genebatch.genome.scores.tracks import open_scores
from genebatch.io.files import InputError

pyBigWig = pytest.importorskip("pyBigWig")  # noqa: N816

CONTIGS = [("chr1", 1000), ("chrM", 50)]


def gene(name, start, end, strand="+", chrom="chr1"):
    return Gene(name, name, chrom, strand, start, end, "", ())


PLUS, MINUS = gene("p", 100, 110), gene("m", 105, 115, "-")


def bigwig(path, values, contigs=CONTIGS):
    """Write position to value of the first contig."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(contigs)
        starts = sorted(values)
        if starts:
            names = [contigs[0][0]] * len(starts)
            ends = [start + 1 for start in starts]
            file.addEntries(names, starts, ends=ends, values=[float(values[s]) for s in starts])
    return path


@pytest.fixture
def four(tmp_path):
    """Write the four files, give the mapping; a track may be replaced by keyword."""

    def write(contigs=CONTIGS, **changes):
        values = {
            "plus_donor": {100: 0.5, 109: 0.25, 110: 0.125, 112: np.nan},
            "plus_acceptor": {100: 0.25, 99: 1},
            "minus_donor": {105: 0.5, 114: 0.75},
            "minus_acceptor": {106: 1},
        } | changes
        paths = {
            name: bigwig(tmp_path / f"{name}.bw", track, contigs) for name, track in values.items()
        }
        return {
            strand: {kind: paths[f"{strand}_{kind}"] for kind in ("donor", "acceptor")}
            for strand in ("plus", "minus")
        }

    return write


def test_plus_genes_read_upwards_and_minus_genes_downwards(four):
    with open_scores(four(), [PLUS, MINUS]) as tracks:
        plus, minus = tracks.fetch(PLUS, 0, 10), tracks.fetch(MINUS, 0, 10)
    assert plus.dtype == np.float32
    assert plus[0].tolist() == [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.25]
    assert plus[1].tolist() == [0.25, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    # Genomic 114 is gene position 0, 106 is 8, 105 is 9.
    assert minus[0].tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert minus[1].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("one", [PLUS, MINUS])
def test_blocks_are_cut_from_the_whole_and_the_outside_is_zero(four, one):
    with open_scores(four(), [one]) as tracks:
        padded = np.pad(tracks.fetch(one, 0, 10), ((0, 0), (3, 3)))
        for start in range(-3, 12):
            for end in range(start, 14):
                found = tracks.fetch(one, start, end)
                assert np.array_equal(found, padded[:, start + 3 : end + 3])


def test_nan_is_no_score(four):
    silent = gene("nan", 111, 120)
    with open_scores(four(), [PLUS, silent], unscored="zero") as tracks:
        assert not np.any(tracks.fetch(silent, 0, 9))


def dense(path, values, how):
    """Write every position of chr1, NaN but for `values`, as other programs do."""
    whole = np.full(1000, np.nan, np.float32)
    whole[list(values)] = list(values.values())
    starts = np.arange(1000)
    if how == "bigtools":
        library = pytest.importorskip("pybigtools")
        entries = (("chr1", int(at), int(at) + 1, float(whole[at])) for at in starts)
        library.open(str(path), "w").write(dict(CONTIGS), entries)
        return path
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(CONTIGS, maxZooms=0 if how == "no zoom levels" else 10)
        if how == "intervals":
            file.addEntries(["chr1"] * 1000, starts, ends=starts + 1, values=whole)
        elif how == "variable steps":
            file.addEntries("chr1", starts, values=whole, span=1)
        elif how == "fixed steps with gaps":  # NaN at one position of ten, none at the others
            for at in sorted({*values, *range(0, 1000, 10)}):
                file.addEntries("chr1", [int(at)], values=[float(whole[at])], span=1)
        else:
            file.addEntries("chr1", 0, values=whole, span=1, step=1)
    return path


WRITERS = ("intervals", "variable steps", "fixed steps", "fixed steps with gaps")
WRITERS += ("no zoom levels", "bigtools")


@pytest.mark.parametrize("how", WRITERS)
def test_nan_stored_between_values_is_no_score_whoever_wrote_it(tmp_path, how):
    tracks = {
        "plus": {"donor": {105: 0.5}, "acceptor": {}},
        "minus": {"donor": {}, "acceptor": {109: 0.25}},
    }
    files = {
        strand: {
            kind: dense(tmp_path / f"{strand}_{kind}.bw", values, how)
            for kind, values in kinds.items()
        }
        for strand, kinds in tracks.items()
    }
    with open_scores(files, [PLUS, MINUS]) as scores:
        plus, minus = scores.fetch(PLUS, 0, 10), scores.fetch(MINUS, 0, 10)
    assert plus.tolist() == [[0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0], [0] * 10]
    assert minus.tolist() == [[0] * 10, [0, 0, 0, 0, 0, 0.25, 0, 0, 0, 0]]
    silent = gene("s", 500, 600)
    with pytest.raises(InputError, match="has no score of 1 of 2 genes: s; score them"):
        open_scores(files, [PLUS, silent])


def test_a_value_far_into_a_long_gene_is_found(four, monkeypatch):
    monkeypatch.setattr(bigwig_module, "BLOCK", 7)
    long = gene("long", 0, 111)
    with open_scores(four(plus_donor={109: 0.25}, plus_acceptor={}), [long]) as tracks:
        assert np.flatnonzero(tracks.fetch(long, 0, 111)[0]).tolist() == [109]


def test_rounding_beyond_0_and_1_is_cut_off(four):
    files = four(minus_donor={106: 1.0000001, 107: -1e-9}, minus_acceptor={107: 1})
    with open_scores(files, [MINUS]) as tracks:
        scores = tracks.fetch(MINUS, 0, 10)
    assert scores[:, 8].tolist() == [1, 0]
    assert scores[:, 7].tolist() == [0, 1]


def test_chromosomes_are_found_under_other_names(four):
    renamed = PLUS._replace(chrom="1")
    with open_scores(four(), [renamed]) as tracks:
        assert tracks.fetch(renamed, 0, 1).tolist() == [[0.5], [0.25]]


def test_genes_without_values_are_an_error_unless_they_count_as_zero(four):
    # A value just beside the gene is none of its own.
    silent = [gene("s", 200, 300), gene("beside", 107, 114, "-"), gene("t", 0, 9, chrom="chr7")]
    with pytest.raises(InputError, match=r"no score of 3 of 4 genes: s, beside, t; score them"):
        open_scores(four(), [PLUS, *silent])
    with open_scores(four(), [PLUS, *silent], unscored="zero") as tracks:
        assert not any(tracks.fetch(one, 0, one.length).any() for one in silent)


def test_files_of_another_genome_are_refused(four):
    with pytest.raises(InputError, match=r"plus_donor.bw has none of the chromosomes .* chr1 or 1"):
        open_scores(four(contigs=[("NC_1", 1000)]), [PLUS], unscored="zero")
    with pytest.raises(InputError, match=r"gene far ends at 1,001 but chr1 of .* has 1,000 nt"):
        open_scores(four(), [gene("far", 990, 1001)], unscored="zero")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"minus_donor": {106: -0.5}},
            r"minus_donor\.bw has -0\.5 at position 8 of gene 'm'; wanted",
        ),
        ({"minus_acceptor": {106: 1.5}}, r"minus_acceptor\.bw has 1\.5 at position 8 of gene 'm'"),
        ({"minus_acceptor": {106: 1.00001}}, r"has 1\.00001 at position 8 of gene 'm'; wanted"),
        ({"minus_acceptor": {106: -1e-5}}, r"has -1e-05 at position 8 of gene 'm'"),
        ({"minus_acceptor": {106: np.inf}}, "has inf at position 8 of gene 'm'; wanted"),
        ({"minus_acceptor": {106: -np.inf}}, "has -inf at position 8 of gene 'm'; wanted"),
        (
            {"minus_donor": {106: 0.75}, "minus_acceptor": {106: 0.5}},
            r"minus_donor\.bw and .*minus_acceptor\.bw sum to 1\.25 at position 8 of gene 'm'",
        ),
    ],
)
def test_values_that_are_no_probabilities_are_refused(four, changes, message):
    with open_scores(four(**changes), [MINUS]) as tracks, pytest.raises(InputError, match=message):
        tracks.fetch(MINUS, 2, 10)


def test_a_file_without_a_value_is_zero_throughout(four):
    with open_scores(four(plus_acceptor={}), [PLUS]) as tracks:
        assert tracks.fetch(PLUS, 0, 1).tolist() == [[0.5], [0]]


def test_every_track_must_be_named_once(four):
    mapping = four()
    for broken in ({"plus": mapping["plus"]}, mapping | {"minus": None}):
        with pytest.raises(InputError, match=r"sequence\.scores\.minus\.donor is not set"):
            open_scores(broken, [PLUS])
    twice = {"plus": mapping["plus"], "minus": mapping["plus"]}
    with pytest.raises(InputError, match=r"names .*plus_donor\.bw twice; wanted a file of its own"):
        open_scores(twice, [PLUS])


def test_what_is_no_bigwig_is_named(four, tmp_path):
    mapping = four()
    mapping["plus"]["donor"] = tmp_path / "absent.bw"
    with pytest.raises(
        InputError, match=r"absent\.bw does not exist; wanted a bigWig file; set seq"
    ):
        open_scores(mapping, [PLUS])
    mapping["plus"]["donor"].write_text("chr1\t0\t10\t0.5\n")
    with pytest.raises(InputError, match=r"absent\.bw is not a bigWig file, or is damaged"):
        open_scores(mapping, [PLUS])


def test_without_pybigwig_the_message_says_what_to_install(four, monkeypatch):
    mapping, importing = four(), builtins.__import__

    def refuse(name, *rest):
        if name == "pyBigWig":
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    wanted = re.escape("not installed: `pip install genebatch[genomics]`")
    with pytest.raises(InputError, match=wanted):
        open_scores(mapping, [PLUS])
