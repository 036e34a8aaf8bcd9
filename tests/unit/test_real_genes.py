"""Genome, gene models and scores as read here agree with a real table made without this code."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genebatch.fasta import Fasta
from genebatch.gene_models import genomic_positions, read_gene_models, splice_sites
from genebatch.score_tracks import open_scores

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).parents[2]
KINDS = ("donor", "acceptor")


@pytest.fixture(scope="module")
def human() -> Path:
    """Folder of the real human data, beside the repository or named by GENEBATCH_REAL_DATA."""
    folder = Path(os.environ.get("GENEBATCH_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set GENEBATCH_REAL_DATA")
    return folder / "human"


@pytest.fixture(scope="module")
def genes(human):
    return read_gene_models(human / "raw" / "genes.dev.gtf.gz")


def test_sites_are_the_labels_of_the_real_table(human, genes):
    table = pl.scan_parquet(human / "mouse" / "*.parquet").filter(
        pl.col("splice_type") != "neither"
    )
    columns = ("gene_id", "chrom", "strand", "splice_type", "position", "genomic_position")
    rows = set(table.select(columns).collect().iter_rows())
    found = {
        (gene.id, gene.chrom, gene.strand, kind, position, genomic)
        for gene in genes
        for kind, positions in zip(KINDS, splice_sites(gene), strict=True)
        for position, genomic in zip(
            positions.tolist(), genomic_positions(gene, positions).tolist(), strict=True
        )
    }
    assert len(genes) == 622
    assert found == rows


@pytest.fixture(scope="module")
def windows(human, tmp_path_factory):
    """The real windows as a FASTA file of its own, and the genomic start of each."""
    path = tmp_path_factory.mktemp("windows") / "windows.fa"
    with gzip.open(human / "raw" / "genes_flank5000.dev.fa.gz", "rt") as stream:
        text = stream.read()
    path.write_text(text)
    headers = re.findall(r"^>(\S+) \w+:(\d+)-", text, flags=re.MULTILINE)
    return path, {name: int(start) for name, start in headers}


@pytest.mark.parametrize("strand", ["+", "-"])
def test_introns_of_real_genes_begin_with_gt_and_end_with_ag(genes, windows, strand):
    path, starts = windows
    introns = {kind: [] for kind in KINDS}
    with Fasta(path) as fasta:
        for gene in (gene for gene in genes if gene.strand == strand):
            offset = starts[gene.id]
            codes = fasta.fetch(gene.id, gene.start - offset, gene.end - offset, strand)
            donors, acceptors = splice_sites(gene)
            introns["donor"] += codes[donors[:, None] + [1, 2]].tolist()
            introns["acceptor"] += codes[acceptors[:, None] + [-2, -1]].tolist()
    for kind, wanted in (("donor", [2, 3]), ("acceptor", [0, 2])):
        assert len(introns[kind]) > 2500
        assert np.mean([dinucleotide == wanted for dinucleotide in introns[kind]]) > 0.98


@pytest.mark.parametrize("shuffled", [False, True])
def test_tracks_are_the_rows_of_the_real_score_table(human, genes, tmp_path, shuffled):
    path = human / "raw" / "base_scores_mouse.dev.parquet"
    table = pl.read_parquet(path).with_columns(pl.col("gene_id").cast(pl.String))
    if shuffled:
        path = tmp_path / "shuffled.parquet"
        table.sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    wanted = {name: rows for (name,), rows in table.group_by("gene_id")}
    with open_scores(path, genes) as tracks:
        for gene in genes[::10]:
            rows = wanted[gene.id]
            dense = np.zeros((2, gene.length), dtype=np.float32)
            dense[:, rows["position"].to_numpy()] = rows.select(KINDS).to_numpy().T
            assert np.array_equal(tracks.fetch(gene, 0, gene.length), dense)
