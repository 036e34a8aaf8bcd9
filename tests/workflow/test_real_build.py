"""The first stage on real genes beside a table that was made elsewhere from the same files."""

import gzip
import re

import numpy as np
import polars as pl
import pytest

from genebatch.fasta import Fasta
from genebatch.gene_models import overlap_groups, read_gene_models
from genebatch.genome import Genome, gene_blocks
from genebatch.landscape import COLUMNS as LANDSCAPE
from genebatch.score_tracks import open_scores
from genebatch.sequence import FAMILIES, Spec
from genebatch.training_table import build_dataset

pytestmark = pytest.mark.real

# Every score as it is: the other table knows no floor.
SPEC = Spec(families=FAMILIES, floor=0.0)
N_GENES = 32
# Columns of the other table that say where a gene lies or what is annotated in it.
NOT_MADE = {
    "num_overlaps": "genes that overlap: annotation",
    "chrom_code": "a place on the genome tells of genes, not of sites",
    "strand_code": "sequence and scores are in transcript orientation",
    "num_exons": "read off the labels",
    "total_exon_length": "read off the labels",
    "total_intron_length": "read off the labels",
    "avg_exon_length": "read off the labels",
}
HEADER = re.compile(r">(\S+) (\w+):(\d+)-(\d+)\(")


def write_genome(source, out):
    """Chromosomes from the plus-strand windows of genes, N between them, one line each."""
    windows = {}
    with gzip.open(source, "rt") as stream:
        for record in stream.read().split("\n>"):
            header, _, lines = record.partition("\n")
            _, chrom, start, end = HEADER.match(">" + header.lstrip(">")).groups()
            windows.setdefault(chrom, []).append((int(start), int(end), lines.replace("\n", "")))
    with out.open("wb") as stream:
        for chrom, parts in windows.items():
            sequence = np.full(max(end for _, end, _ in parts), ord("N"), np.uint8)
            for start, end, letters in parts:
                sequence[start:end] = np.frombuffer(letters.encode(), np.uint8)
            stream.write(f">chr{chrom}\n".encode() + sequence.tobytes() + b"\n")


def some_genes(genes, n, seed=0):
    """Genes of both strands, half of them, drawn by seed; without the longest, for time."""
    rng = np.random.default_rng(seed)
    chosen = []
    for strand in "+-":
        here = [gene for gene in genes if gene.strand == strand and gene.length < 200_000]
        chosen += [here[place] for place in rng.choice(len(here), n // 2, replace=False)]
    return chosen


def made_features(genome, gene, positions):
    """Features at ascending positions of a gene."""
    frames = []
    for block in gene_blocks(genome, gene):
        first, last = np.searchsorted(positions, (block.start, block.stop))
        if first < last:
            frames.append(block.features(positions[first:last]))
    return pl.concat(frames)


@pytest.fixture(scope="module")
def other(real_data):
    """The table that was made elsewhere, from scores of the mouse-trained model."""
    return pl.read_parquet(real_data / "human/mouse/*.parquet")


@pytest.fixture(scope="module")
def fasta_path(real_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    write_genome(real_data / "human/raw/genes_flank5000.dev.fa.gz", path)
    return path


@pytest.fixture(scope="module")
def chosen(real_data):
    return some_genes(read_gene_models(real_data / "human/raw/genes.dev.gtf.gz"), N_GENES)


def test_every_column_that_both_tables_have_agrees(real_data, other, fasta_path, chosen):
    shared = [name for name in SPEC.columns if name in other.columns]
    assert len(shared) == 1_150
    assert set(SPEC.columns) - set(shared) == set(LANDSCAPE)
    scores = open_scores(str(real_data / "human/raw/base_scores_mouse.dev.parquet"), chosen)
    differing = set()
    with Fasta(fasta_path) as fasta, scores as tracks:
        for gene in chosen:
            rows = other.filter(pl.col("gene_id") == gene.id).sort("position")
            found = made_features(Genome(fasta, tracks, SPEC), gene, rows["position"].to_numpy())
            for name in shared:
                close = np.isclose(found[name], rows[name], rtol=1e-6, atol=0)
                differing |= set() if close.all() else {name}
    assert differing == set()


def test_columns_that_are_not_made_are_annotation(other):
    metadata = other.columns[:10]
    lacking = [name for name in other.columns if name not in (*metadata, *SPEC.columns)]
    assert set(lacking) == set(NOT_MADE)


def test_built_table_has_the_same_sites_and_candidates(
    real_data, other, fasta_path, chosen, tmp_path
):
    models = real_data / "human/raw/genes.dev.gtf.gz"
    groups = overlap_groups(read_gene_models(models))
    names = {gene.id for gene in chosen}
    # Genes that overlap them come too: their sites are neither rows here nor there.
    together = {groups[name] for name in names}
    with gzip.open(models, "rt") as stream:
        lines = [line for line in stream if groups[line.split('"')[1]] in together]
    (tmp_path / "genes.gtf").write_text("".join(lines))
    spec = Spec(families=("scores", "composition"))
    rest = [{"above": 1e-3, "fraction": 0.5}, {"above": 0, "fraction": 0.002}]
    sequence = {
        "fasta": str(fasta_path),
        "genes": str(tmp_path / "genes.gtf"),
        "transcripts": "all",
        "groups": None,
        "scores": str(real_data / "human/raw/base_scores_mouse.dev.parquet"),
        "unscored": "error",
        "features": spec.to_json() | {"floor": 0.0},
        "sampling": {"candidates_above": 0.05, "rest": rest, "seed": 7},
    }
    shards = [tmp_path / f"part-{number}.parquet" for number in range(3)]
    build_dataset(sequence, shards, tmp_path / "genes.tsv")
    built = pl.read_parquet(shards).filter(pl.col("gene_id").is_in(names))
    key = ["gene_id", "position", "genomic_position", "splice_type", "row_source"]
    for source in ("site", "candidate"):
        mine, theirs = (
            table.filter(pl.col("row_source") == source)
            for table in (built, other.filter(pl.col("gene_id").is_in(names)))
        )
        order = ["gene_id", "position"]
        mine = mine.select(*key, *spec.columns).sort(order)
        assert mine.height > 100
        assert mine.equals(theirs.select(*mine.columns).sort(order))
    lengths = sum(gene.length for gene in chosen)
    assert built["sample_weight"].sum() == pytest.approx(lengths, rel=1e-3)
