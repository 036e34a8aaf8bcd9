"""Length distributions: what they weigh, how they are fitted, read and refused."""

import gzip
import math

import numpy as np
import pytest
import yaml

from genebatch.features.structure.files import read_lengths, write_lengths
from genebatch.features.structure.fitting import fit_lengths
from genebatch.features.structure.lengths import FLAT, KINDS, Lengths, LogNormal
from genebatch.genome.genes import Gene, Transcript
from genebatch.io.files import InputError


def test_weight_is_the_density_over_the_flat_one():
    lengths = Lengths(first=(LogNormal(1.0, math.log(100), 1.0),))
    expected = math.log(1 / (100 * math.sqrt(2 * math.pi)) * FLAT)
    assert lengths.log_weight("first", np.array([100]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_densities_sum_to_nearly_one(kind):
    nt = np.arange(1, 1_500_000)
    total = np.exp(Lengths().log_weight(kind, nt)).sum() / FLAT
    assert 0.97 < total < 1.001


def test_lengths_beyond_the_limits_are_impossible():
    lengths = Lengths(longest_exon=500, shortest_intron=60, longest_intron=9_000)
    assert np.isinf(lengths.log_weight("inner", np.array([-3, 0, 501]))).all()
    assert np.isinf(lengths.log_weight("intron", np.array([59, 9_001]))).all()
    assert np.isfinite(lengths.log_weight("intron", np.array([60, 9_000]))).all()
    assert np.isfinite(lengths.log_weight("inner", np.array([1, 500]))).all()


def test_median_is_that_of_the_mixture():
    lengths = Lengths(first=(LogNormal(1.0, math.log(100), 1.0),))
    assert lengths.median("first") == 100
    assert 100 < Lengths().median("inner") < 140


def drawn_genes(n: int, strand: str) -> list[Gene]:
    """Genes with a first exon of about 200 nt, a last of 1,000, inner of 100, introns of 60."""
    rng = np.random.default_rng(1)
    genes = []
    for number in range(n):
        sizes = [int(rng.lognormal(np.log(200), 0.3))]
        for _ in range(4):
            sizes += [int(rng.lognormal(np.log(60), 0.1)), int(rng.lognormal(np.log(100), 0.3))]
        sizes += [int(rng.lognormal(np.log(60), 0.1)), int(rng.lognormal(np.log(1_000), 0.3))]
        sizes = sizes if strand == "+" else sizes[::-1]
        edges = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        exons = tuple(zip(edges[::2], edges[1::2], strict=True))
        twice = (Transcript("a", exons), Transcript("b", exons))
        genes.append(Gene(f"g{number}", "", "c", strand, 0, edges[-1], "", twice))
    return genes


@pytest.mark.parametrize("strand", "+-")
def test_fitted_lengths_are_those_of_the_genes(strand):
    lengths = fit_lengths(drawn_genes(100, strand))
    ((_, first, _),), ((_, last, _),) = lengths.first, lengths.last
    assert first == pytest.approx(math.log(200), abs=0.1)
    assert last == pytest.approx(math.log(1_000), abs=0.1)
    introns = np.exp(lengths.log_weight("intron", np.arange(1, 500)))
    assert 55 < introns.argmax() + 1 < 65
    assert 40 < lengths.shortest_intron < 60
    assert lengths.longest_intron < 150
    assert all(math.isclose(sum(p.share for p in getattr(lengths, kind)), 1) for kind in KINDS)


def test_too_few_lengths_are_refused():
    with pytest.raises(InputError, match=r"8 lengths of the kind 'inner' .*wanted at least 60"):
        fit_lengths(drawn_genes(2, "+"))


def test_fitted_lengths_survive_their_file(tmp_path):
    fitted = fit_lengths(drawn_genes(30, "+"))
    write_lengths(tmp_path / "lengths.yaml", fitted)
    assert read_lengths(tmp_path / "lengths.yaml") == fitted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": [[0.5, 4.8, 0.5]]}, "shares sum to another number"),
        ({"first": [[1, 4.8, 0]]}, "no log-normal"),
        ({"last": [[1, 4.8]]}, "wanted share, mean and sd"),
        ({"longest_exon": -1}, "wanted a length in nt"),
        ({"shortest_intron": 2_000_000}, "is above"),
        ({"longest": 3}, "'longest' is unknown or missing"),
    ],
)
def test_impossible_lengths_name_the_file_the_key_and_the_remedy(tmp_path, change, message):
    path = tmp_path / "lengths.yaml"
    path.write_text(yaml.safe_dump(Lengths().plain() | change))
    with pytest.raises(InputError, match=message) as error:
        read_lengths(path)
    assert str(path) in str(error.value)
    assert "features.structure.lengths" in str(error.value)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "# none", "a: 2001-99-99", "? {a: b}"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "lengths.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="no length distributions"):
        read_lengths(path)


def test_lengths_are_read_as_other_texts_are(tmp_path):
    path = tmp_path / "lengths.yaml"
    write_lengths(path, Lengths())
    plain = path.read_bytes()
    for data in (gzip.compress(plain), b"\xef\xbb\xbf" + plain, plain.replace(b"\n", b"\r\n")):
        path.write_bytes(data)
        assert read_lengths(path) == Lengths()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("# \u00e8\n".encode("latin-1"), "line 1: not UTF-8 text"),
        ("a: b\n".encode("utf-16"), "is UTF-16 text; wanted length distributions"),
        (b"", "is empty; wanted length distributions"),
    ],
)
def test_what_is_no_text_of_lengths_is_refused_with_what_was_wanted(tmp_path, data, message):
    path = tmp_path / "lengths.yaml"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"lengths.yaml.*{message}"):
        read_lengths(path)
