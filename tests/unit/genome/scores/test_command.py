"""Tests of what a scorer of the user's reads and writes, and of the recipe for OpenSpliceAI."""

import io
import runpy

import numpy as np
import pytest

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import Gene, Transcript
from genebatch.genome.scores.command import LINE, write_gene_sequences
from genebatch.io.files import InputError
from tests.builders import REPOSITORY

#            0         1         2
CONTIG = "AACCGGTTACGTACGTNNACCT"


def gene(name, strand, start, end):
    exons = (Transcript(f"{name}.1", ((start, end),)),)
    return Gene(name, name, "chr1", strand, start, end, "", exons)


@pytest.fixture
def written(tmp_path):
    """Write the sequences of some genes of the contig; gives the records by their headers."""
    (tmp_path / "genome.fa").write_text(f">chr1\n{CONTIG}\n")

    def write(genes, flank):
        with Fasta(tmp_path / "genome.fa") as genome:
            write_gene_sequences(genome, genes, flank, tmp_path / "genes.fa")
        parts = (tmp_path / "genes.fa").read_text().split(">")[1:]
        return {head: lines for head, _, lines in (part.partition("\n") for part in parts)}

    return write


def test_a_record_is_the_gene_in_the_direction_of_transcription_with_its_flanks(written):
    found = written([gene("A", "+", 4, 8), gene("B", "-", 4, 8)], 2)
    assert found == {
        "A length=4 flank=2": "CCGGTTAC\n",
        "B length=4 flank=2": "GTAACCGG\n",
    }


def test_bases_beyond_the_contig_are_unknown(written):
    assert written([gene("A", "+", 1, 3)], 3) == {"A length=2 flank=3": "NNAACCGG\n"}
    assert written([gene("B", "-", 19, 22)], 2) == {"B length=3 flank=2": "NNAGGTN\n"}


def test_long_records_have_lines_of_one_length(written):
    (lines,) = written([gene("A", "+", 0, 22)], 100).values()
    assert [len(line) for line in lines.splitlines()] == [LINE] * 3 + [222 - 3 * LINE]


def test_an_id_with_blanks_is_refused_before_anything_is_written(written, tmp_path):
    with pytest.raises(InputError, match=r"'A b' has blanks .*sequence\.scores"):
        written([gene("A b", "+", 4, 8)], 2)
    assert not (tmp_path / "genes.fa").exists()


# The recipe for OpenSpliceAI


@pytest.fixture(scope="module")
def recipe():
    return runpy.run_path(str(REPOSITORY / "recipes/openspliceai.py"))


def center(bases, context):
    """A network that calls the first base of GT a donor, by the bases of the position itself."""
    middle = bases[:, context : bases.shape[1] - context]
    after = bases[:, context + 1 : bases.shape[1] - context + 1]
    donor = middle[2] * after[3]
    return np.stack([1 - donor, 0 * donor, donor])


@pytest.mark.parametrize("flank", [0, 1, 3, 7])
def test_a_position_counts_from_the_first_base_of_the_gene(recipe, written, tmp_path, flank):
    written([gene("A", "+", 4, 16), gene("B", "-", 4, 16)], flank)
    records = list(recipe["records"](io.StringIO((tmp_path / "genes.fa").read_text())))
    assert [record.gene_id for record in records] == ["A", "B"]
    for record in records:
        found = list(recipe["scored"](record, 3, lambda bases: center(bases, 3)))
        # A: GGTTACGTACGT from 4; B: its reverse complement ACGTACGTAACC
        assert (
            found
            == {"A": [(1, 1, 0), (6, 1, 0), (10, 1, 0)], "B": [(2, 1, 0), (6, 1, 0)]}[
                record.gene_id
            ]
        )


def test_a_long_gene_is_scored_block_by_block(recipe):
    sequence = "GT" + "A" * (recipe["BLOCK"] - 3) + "GT" + "A" * 7
    record = recipe["Record"]("A", 0, sequence)
    found = list(recipe["scored"](record, 5, lambda bases: center(bases, 5)))
    assert found == [(0, 1, 0), (recipe["BLOCK"] - 1, 1, 0)]
