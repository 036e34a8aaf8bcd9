"""Numbers along the genome, from bigWig files that are written value by value."""

import math

import numpy as np
import pytest

from genebatch.genome.evidence.tracks import count_use
from genebatch.io.files import InputError
from tests.builders.evidence import opened, values_of, write_bigwig
from tests.builders.held_genome import made_gene

PLUS = made_gene(100, 106, "+", "p", "chr1")
MINUS = made_gene(100, 106, "-", "m", "chr1")
VALUES = values_of("chr1", 98, [0.5, 1, 2, 3, math.nan, 5, 6, 0])  # of 98 to 105


@pytest.fixture
def both(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", VALUES)
    return {"x": {"kind": "number", "file": path}}


def test_values_follow_the_gene_and_reach_outside_of_it(both):
    with opened(both, [PLUS, MINUS]) as ((_, data),):
        plus, minus = data.values(PLUS, -2, 7), data.values(MINUS, -2, 7)
    assert plus.dtype == np.float32
    np.testing.assert_array_equal(plus, [0.5, 1, 2, 3, np.nan, 5, 6, 0, np.nan])
    # Position 0 is base 105, so -2 is 107 and 6 is 99.
    np.testing.assert_array_equal(minus, [np.nan, np.nan, 0, 6, 5, np.nan, 3, 2, 1])


def test_a_value_of_zero_is_no_missing_value_and_nothing_is_beyond_the_chromosome(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"chr2": {0: 0, 499: 4}})
    first, last = made_gene(0, 5, "+", "a", "chr2"), made_gene(495, 500, "-", "b", "chr2")
    with opened({"x": {"kind": "number", "file": path}}, [first, last]) as ((_, data),):
        np.testing.assert_array_equal(data.values(first, -2, 2), [np.nan, np.nan, 0, np.nan])
        np.testing.assert_array_equal(data.values(last, -2, 2), [np.nan, np.nan, 4, np.nan])


def test_each_strand_may_have_a_file_of_its_own(tmp_path):
    files = {
        side: write_bigwig(tmp_path / f"{side}.bw", {"chr1": {102: number}})
        for side, number in (("plus", 1), ("minus", -1))
    }
    with opened({"x": {"kind": "number", "strands": files}}, [PLUS, MINUS]) as ((_, data),):
        assert data.values(PLUS, 2, 3).tolist() == [1]
        assert data.values(MINUS, 3, 4).tolist() == [-1]


def test_chr1_is_1(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"1": {102: 7}}, {"1": 1000})
    with opened({"x": {"kind": "number", "file": path}}, [PLUS]) as ((_, data),):
        assert data.values(PLUS, 2, 3).tolist() == [7]


def test_chromosome_that_the_file_lacks_has_no_value(both):
    gene = made_gene(10, 14, "+", "g", "chr2")
    with opened(both, [gene]) as sources:
        assert np.isnan(sources[0].data.values(gene, 0, 4)).all()
        counts = count_use(sources, [gene])
    assert counts["count"].to_list() == [0, 1]


def test_positions_with_a_value_are_counted(both):
    with opened(both, [PLUS, MINUS]) as sources:
        counts = count_use(sources, [PLUS, MINUS, made_gene(500, 600, "+", "q", "chr1")])
    assert counts.select("track", "kind", "role", "count", "of").rows() == [
        ("x", "number", "feature", 10, 112),  # 5 of 6 bases of each
        ("x", "number", "feature", 1, 3),
    ]


def test_other_chromosome_names_are_refused_with_those_of_both_sides(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"NC_1": {5: 1}}, {"NC_1": 1000})
    message = (
        r"x\.bw has no chromosome of genome\.fa: its names are 'NC_1', those of the genome are"
    )
    with (
        pytest.raises(
            InputError, match=message + r" 'chr1', 'chr2'; .* set sequence\.tracks\.x\.f"
        ),
        opened({"x": {"kind": "number", "file": path}}, [PLUS]),
    ):
        pass


def test_another_assembly_is_refused_with_both_sizes(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", VALUES, {"chr1": 1001, "chr2": 7})
    section = {"x": {"kind": "number", "strands": {"plus": path, "minus": path[:-4] + "y.bw"}}}
    message = r"chr1 of .*x\.bw has 1,001 nt, but chr1 of genome\.fa has 1,000; .*x\.strands\.plus"
    with pytest.raises(InputError, match=message), opened(section, [PLUS]):
        pass


def test_file_that_is_no_bigwig_is_refused(tmp_path):
    path = tmp_path / "x.bw"
    path.write_text("chr1\t1\t2\t3\n")
    message = r"x\.bw is not a bigWig file, or is damaged; set sequence\.tracks\.x\.file"
    with (
        pytest.raises(InputError, match=message),
        opened({"x": {"kind": "number", "file": str(path)}}, [PLUS]),
    ):
        pass


def test_infinite_value_is_refused_with_its_place(tmp_path):
    path = write_bigwig(tmp_path / "x.bw", {"chr1": {102: math.inf}})
    with (
        opened({"x": {"kind": "number", "file": path}}, [PLUS]) as ((_, data),),
        pytest.raises(InputError, match=r"an infinite value at chr1:103; .* sequence\.tracks\.x"),
    ):
        data.values(PLUS, 0, 6)
