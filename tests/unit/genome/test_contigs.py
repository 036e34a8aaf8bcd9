import pytest

from genebatch.genome.contigs import find_contig


@pytest.mark.parametrize(
    ("chrom", "contigs", "found"),
    [
        ("chr20", ["chr2", "chr20"], "chr20"),
        ("chr20", ["2", "20"], "20"),
        ("20", ["chr2", "chr20"], "chr20"),
        ("chrM", ["1", "MT"], "MT"),
        ("MT", ["chr1", "chrM"], "chrM"),
        ("chrX", ["X", "chrX"], "chrX"),
        ("chr2", ["chr20", "20"], None),
        ("chr20", ["NC_000020.11"], None),
    ],
)
def test_a_chromosome_is_found_under_the_names_of_ensembl_and_ucsc(chrom, contigs, found):
    assert find_contig(chrom, contigs) == found
