"""A call checks that sequence, gene models and scores fit together before it writes anything."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from genebatch.calls.calling import call
from genebatch.cli import main
from genebatch.genome.genes import splice_sites
from genebatch.io.files import InputError
from tests.builders.called_genome import make
from tests.builders.held_genome import made_gene, write_gtf

EXONS = [(100, 200), (400, 500), (800, 900)]
SIZE, SPACE = 1_000, 1_000
N_GENES = 24  # with two donors each, half of them on a strand
LETTERS = np.array(list("ACGT"))
THRESHOLDS = {"donor": 0.5, "acceptor": 0.5}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("model"))
    return made.folder / "model.gbm"


def gene_models(introns=True):
    genes = []
    for number in range(N_GENES):
        start = number * SPACE
        exons = [(start + a, start + b) for a, b in EXONS]
        if not introns:
            exons = [(exons[0][0], exons[-1][1])]
        genes.append(made_gene(*(exons[0][0], exons[-1][1]), "+-"[number % 2], f"g{number}",
                               "c", [exons]))  # fmt: skip
    return genes


def genome(genes, shift=0):
    """Text in which the introns of the genes are GT to AG, but `shift` nt further on."""
    text = np.random.default_rng(0).choice(LETTERS, N_GENES * SPACE + 10)
    for gene in genes:
        for (_, start), (end, _) in itertools.pairwise(EXONS):
            start, end = start + gene.start - EXONS[0][0], end + gene.start - EXONS[0][0]
            ends = ("GT", "AG") if gene.strand == "+" else ("CT", "AC")
            text[start + shift : start + shift + 2] = list(ends[0])
            text[end + shift - 2 : end + shift] = list(ends[1])
    return f">c\n{''.join(text)}\n"


def scores(genes, change):
    lines = ["gene_id\tposition\tdonor\tacceptor"]
    for gene in genes:
        track = np.zeros((2, gene.length))
        for row, places in zip(track, splice_sites(gene), strict=True):
            row[places] = 0.9
        track = change(track, gene)
        lines += [f"{gene.id}\t{at}\t{track[0, at]}\t{track[1, at]}"
                  for at in np.flatnonzero(track.any(axis=0))]  # fmt: skip
    return "\n".join(lines) + "\n"


def unchanged(track, gene):
    return track


def one_based(track, gene):
    return np.roll(track, 1, 1)


def swapped(track, gene):
    return track[::-1]


def genomic(track, gene):
    return track[:, ::-1] if gene.strand == "-" else track


@pytest.fixture
def written(tmp_path, model):
    """Write the inputs of a call, and give them in the order of its arguments."""

    def write(change=unchanged, shift=0, introns=True):
        genes = gene_models()
        (tmp_path / "genome.fa").write_text(genome(genes, shift))
        (tmp_path / "scores.tsv").write_text(scores(genes, change))
        write_gtf(tmp_path / "genes.gtf", gene_models(introns))
        names = ("genome.fa", "genes.gtf", "scores.tsv", "out")
        return (model, *(tmp_path / name for name in names))

    return write


def called(files, **options):
    return call(*files, mode="base", thresholds=THRESHOLDS, **options)


@pytest.mark.parametrize("introns", [True, False])
def test_what_fits_together_is_called_without_a_word(written, caplog, introns):
    coverage = called(written(introns=introns))
    assert coverage.table.select("donors", "acceptors").sum().row(0) == (48, 48)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("introns", [True, False])
@pytest.mark.parametrize(
    ("change", "shift", "looks"),
    [
        (one_based, 0, r"scores look shifted by \+1 \(counted from 1\?\)"),
        (swapped, 0, "donor and acceptor look swapped"),
        (genomic, 0, "scores of the minus strand look like they are in genomic order"),
        (unchanged, 7, "of (different assemblies|another sequence or assembly)"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    written, change, shift, looks, introns
):
    files = written(change, shift, introns)
    with pytest.raises(InputError, match=looks) as caught:
        called(files)
    assert str(caught.value).endswith(
        "; to call all the same, set call.misaligned or --misaligned to warning"
    )
    assert not files[-1].exists()


def test_the_way_round_works_and_the_files_repeat_the_warning(written, capsys):
    model, fasta, genes, table, out = map(str, written(one_based))
    arguments = ["call", model, "--fasta", fasta, "--genes", genes, "--scores", table, "-o", out]
    arguments += ["--mode", "base", "--threshold", "0.5", "0.5"]
    assert main(arguments) == 1
    assert "--misaligned" in capsys.readouterr().err
    assert main([*arguments, "--misaligned", "warning"]) == 0
    head = Path(out, "calls.bed").read_text().partition("\nc\t")[0]
    assert "# mean score of 24 donors on the plus strand is 0 in their own class" in head
    assert pq.ParquetFile(f"{out}/positions.parquet").metadata.num_rows == 24 * 800


def test_the_check_of_few_genes_is_a_warning(written, caplog):
    called(written(swapped), wanted=["g0", "g2"])
    assert "mean score of 4 donors on the plus strand is 0" in caplog.text


def test_an_unknown_treatment_lists_the_known_ones(written):
    with pytest.raises(InputError, match=r"--misaligned is 'no'; known: error, warning"):
        called(written(), misaligned="no")
