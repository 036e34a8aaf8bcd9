"""Genome, genes, scores and features agree with a real table that was made elsewhere."""

import gzip
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.landscape import COLUMNS as LANDSCAPE
from genebatch.features.positions import FAMILIES, Spec
from genebatch.features.sampling import Strata
from genebatch.features.structure.columns import COLUMNS as STRUCTURE
from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import (
    SITES,
    genomic_positions,
    overlap_groups,
    read_gene_models,
    splice_sites,
)
from genebatch.genome.scores.tracks import open_scores
from genebatch.steps.sequence import build_dataset
from tests.builders.annotations import READING

pytestmark = pytest.mark.real

# Every score as it is: the other table knows no floor.
SPEC = Spec(families=FAMILIES, floor=0.0)
N_GENES = 48
# Its assembly gap of 50,000 N tells how unknown bases count.
GAPPED = "DLGAP4"
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


@pytest.fixture(scope="module")
def human(real_data):
    return real_data / "human"


@pytest.fixture(scope="module")
def score_file(human):
    """Scores of the mouse-trained model, the base scores of the table."""
    return human / "raw/base_scores_mouse.dev.parquet"


@pytest.fixture(scope="module")
def other(human):
    """The table that was made elsewhere."""
    return pl.read_parquet(human / "mouse/*.parquet")


@pytest.fixture(scope="module")
def genes(human):
    # Eight gaps of one to three bases are introns in the real table.
    return read_gene_models(human / "raw/genes.dev.gtf.gz", min_intron=1)


@pytest.fixture(scope="module")
def chosen(genes):
    """Genes of both strands, half of them each, and one with a gap; not the longest, for time."""
    rng = np.random.default_rng(0)
    chosen = [gene for gene in genes if gene.name == GAPPED]
    for strand in "+-":
        here = [gene for gene in genes if gene.strand == strand and gene.length < 200_000]
        chosen += [here[place] for place in rng.choice(len(here), N_GENES // 2, replace=False)]
    return chosen


@pytest.fixture(scope="module")
def genome_file(human, tmp_path_factory):
    """Chromosomes from the plus-strand windows of genes, N between them, one line each."""
    windows = {}
    with gzip.open(human / "raw/genes_flank5000.dev.fa.gz", "rt") as stream:
        for record in stream.read().split("\n>"):
            header, _, lines = record.partition("\n")
            _, chrom, start, end = HEADER.match(">" + header.lstrip(">")).groups()
            windows.setdefault(chrom, []).append((int(start), int(end), lines.replace("\n", "")))
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    with path.open("wb") as stream:
        for chrom, parts in windows.items():
            sequence = np.full(max(end for _, end, _ in parts), ord("N"), np.uint8)
            for start, end, letters in parts:
                sequence[start:end] = np.frombuffer(letters.encode(), np.uint8)
            stream.write(f">chr{chrom}\n".encode() + sequence.tobytes() + b"\n")
    return path


def made_features(genome, gene, positions):
    """Features at ascending positions of a gene."""
    frames = []
    for block in gene_blocks(genome, gene):
        first, last = np.searchsorted(positions, (block.start, block.stop))
        if first < last:
            frames.append(block.features(positions[first:last]))
    return pl.concat(frames)


def test_sites_are_the_labels_of_the_real_table(other, genes):
    columns = ("gene_id", "chrom", "strand", "splice_type", "position", "genomic_position")
    rows = set(other.filter(pl.col("splice_type") != "neither").select(columns).iter_rows())
    found = {
        (gene.id, gene.chrom, gene.strand, kind, position, genomic)
        for gene in genes
        for kind, positions in zip(SITES, splice_sites(gene), strict=True)
        for position, genomic in zip(
            positions.tolist(), genomic_positions(gene, positions).tolist(), strict=True
        )
    }
    assert len(genes) == 622
    assert found == rows


@pytest.mark.parametrize("strand", ["+", "-"])
def test_introns_of_real_genes_begin_with_gt_and_end_with_ag(genes, genome_file, strand):
    introns = {kind: [] for kind in SITES}
    with Fasta(genome_file) as fasta:
        for gene in (gene for gene in genes if gene.strand == strand):
            codes = gene_codes(fasta, gene, 0, gene.length)
            donors, acceptors = splice_sites(gene)
            introns["donor"] += codes[donors[:, None] + [1, 2]].tolist()
            introns["acceptor"] += codes[acceptors[:, None] + [-2, -1]].tolist()
    for kind, wanted in (("donor", [2, 3]), ("acceptor", [0, 2])):
        assert len(introns[kind]) > 2500
        assert np.mean([dinucleotide == wanted for dinucleotide in introns[kind]]) > 0.98


@pytest.mark.parametrize("shuffled", [False, True])
def test_tracks_are_the_rows_of_the_real_score_table(score_file, genes, tmp_path, shuffled):
    path, table = score_file, pl.read_parquet(score_file)
    table = table.with_columns(pl.col("gene_id").cast(pl.String))
    if shuffled:
        path = tmp_path / "shuffled.parquet"
        table.sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    wanted = {name: rows for (name,), rows in table.group_by("gene_id")}
    with open_scores(path, genes) as tracks:
        for gene in genes[::10]:
            rows = wanted[gene.id]
            dense = np.zeros((2, gene.length), dtype=np.float32)
            dense[:, rows["position"].to_numpy()] = rows.select(SITES).to_numpy().T
            assert np.array_equal(tracks.fetch(gene, 0, gene.length), dense)


def test_every_column_that_both_tables_have_agrees(other, genome_file, score_file, chosen):
    shared = [name for name in SPEC.columns if name in other.columns]
    assert len(shared) == 1_150
    assert set(SPEC.columns) - set(shared) == {*LANDSCAPE, *STRUCTURE}
    compared = 0
    with Fasta(genome_file) as fasta, open_scores(score_file, chosen) as tracks:
        for gene in chosen:
            rows = other.filter(pl.col("gene_id") == gene.id).sort("position")
            found = made_features(Genome(fasta, tracks, SPEC), gene, rows["position"].to_numpy())
            np.testing.assert_allclose(
                *(table.select(shared).to_numpy() for table in (found, rows)),
                rtol=2e-7,
                err_msg=gene.id,
            )
            compared += rows.height
    assert compared > 5_000


def test_columns_that_are_not_made_are_annotation(other):
    metadata = other.columns[:10]
    lacking = [name for name in other.columns if name not in (*metadata, *SPEC.columns)]
    assert set(lacking) == set(NOT_MADE)


def test_built_table_has_the_same_sites_and_candidates(
    human, other, genes, genome_file, score_file, chosen, tmp_path
):
    groups = overlap_groups(genes)
    names = {gene.id for gene in chosen}
    # Genes that overlap them come too: their sites are neither rows here nor there.
    together = {groups[name] for name in names}
    with gzip.open(human / "raw/genes.dev.gtf.gz", "rt") as stream:
        lines = [line for line in stream if groups[line.split('"')[1]] in together]
    (tmp_path / "genes.gtf").write_text("".join(lines))
    spec = Spec(families=("scores", "composition"), floor=0.0)
    rest = [{"above": 1e-3, "fraction": 0.5}, {"above": 0, "fraction": 0.002}]
    shards = [str(tmp_path / f"part-{number}.parquet") for number in range(3)]
    build_dataset(
        fasta=str(genome_file),
        genes=str(tmp_path / "genes.gtf"),
        scores=str(score_file),
        reading=replace(READING, min_intron=1),
        unscored="error",
        n_shards=3,
        features=spec,
        sampling=Strata(0.05, tuple(rest), 7),
        shards=shards,
        table=str(tmp_path / "genes.tsv"),
    )
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
