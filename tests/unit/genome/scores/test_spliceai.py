"""Tests of SpliceAI scores: orientation, unknown bases, blocks, the floor, stopped runs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import read_gene_models
from genebatch.genome.scores import spliceai as module
from genebatch.genome.scores.sparse_file import SCHEMA
from genebatch.genome.scores.spliceai import (
    FLANK,
    SpliceModel,
    gene_scores,
    one_hot,
    published_model,
    score_genes,
)
from genebatch.io.files import InputError
from tests.builders.held_genome import HeldFasta, made_codes, made_gene, write_genome

CONTIG = made_codes(900)


def ends_and_centre(bases):
    """A network of which the donor knows the base and the acceptor the two outermost bases."""
    digits = bases @ np.array([1, 2, 3, 4], np.float32)
    n = len(bases) - 2 * FLANK
    centre, left, right = digits[FLANK : FLANK + n], digits[:n], digits[2 * FLANK :]
    return np.stack([np.full(n, 0.5), (5 * left + right) / 100, centre / 10], axis=1, dtype="f4")


TOY = SpliceModel("toy", ends_and_centre)


def expected(contig, gene):
    """Donor and acceptor of the toy network, base by base from the plus strand."""
    step = 1 if gene.strand == "+" else -1
    first = gene.start if gene.strand == "+" else gene.end - 1

    def digit(place):
        code = contig[place] if 0 <= place < len(contig) else 4
        return 0 if code == 4 else (code if step == 1 else 3 - code) + 1

    places = [first + step * position for position in range(gene.length)]
    donor = [digit(place) / 10 for place in places]
    ends = [(digit(place - step * FLANK), digit(place + step * FLANK)) for place in places]
    return np.array([donor, [(5 * left + right) / 100 for left, right in ends]], dtype="f4")


def whole(contig, gene, model=TOY, block=1000):
    return np.hstack([part.scores for part in gene_scores(HeldFasta(contig), gene, model, block)])


def score(fasta, gtf, out, model=TOY, **options):
    """Write the scores of all genes, sorted by id; gives the number of rows."""
    genes = sorted(read_gene_models(gtf), key=lambda gene: gene.id)
    with Fasta(fasta) as reader:
        return score_genes(reader, genes, model, out, **options)


@pytest.fixture
def three_genes(tmp_path):
    """Genes b, c, a along one contig."""
    text = "".join("ACGTN"[code] for code in CONTIG)
    genes = {"b": ("1", "+", 10, 60), "c": ("1", "-", 50, 90), "a": ("1", "-", 200, 270)}
    return write_genome(tmp_path, {"1": text}, genes)


def test_bases_are_encoded_in_the_order_of_the_networks():
    assert one_hot(np.array([0, 1, 2, 3], np.uint8)).tolist() == np.eye(4).tolist()


def test_unknown_bases_are_rows_of_zeros():
    assert not one_hot(np.array([4], np.uint8)).any()


def test_second_output_is_the_acceptor_and_third_the_donor():
    model = SpliceModel("", lambda bases: np.tile([0.7, 0.2, 0.1], (len(bases) - 2 * FLANK, 1)))
    assert whole({"c": CONTIG}, made_gene(5, 8), model).tolist() == [[0.1] * 3, [0.2] * 3]


def test_a_network_sees_5000_bases_on_either_side():
    # Known are the position and the two bases at distance 5,000: A before, G after.
    contig = np.full(10_001, 4, np.uint8)
    contig[[0, 5000, 10_000]] = 0, 3, 2
    scores = whole({"c": contig}, made_gene(5000, 5001))
    assert scores[:, 0] == pytest.approx([0.4, (5 * 1 + 3) / 100])


def test_minus_gene_is_seen_as_its_reverse_complement():
    # The same bases read from the other end: C before, A, T after.
    contig = np.full(10_001, 4, np.uint8)
    contig[[0, 5000, 10_000]] = 0, 3, 2
    scores = whole({"c": contig}, made_gene(5000, 5001, "-"))
    assert scores[:, 0] == pytest.approx([0.1, (5 * 2 + 4) / 100])


@settings(max_examples=30)
@given(
    strand=st.sampled_from("+-"),
    block=st.integers(20, 900),
    span=st.tuples(st.integers(0, 300), st.integers(1, 900)),
    shift=st.integers(0, 5200),
)
def test_scores_are_those_of_each_position_whatever_the_blocks(strand, block, span, shift):
    # Genes near both ends of a contig that is shorter or longer than what a position sees.
    contig = np.concatenate([CONTIG[:300], np.zeros(shift, np.uint8), CONTIG])
    gene = made_gene(span[0], min(sum(span), len(contig)), strand)
    assert np.array_equal(whole({"c": contig}, gene, block=block), expected(contig, gene))


def test_a_gene_of_any_length_is_seen_block_by_block():
    seen = []

    def predict(bases):
        seen.append(len(bases))
        return ends_and_centre(bases)

    whole({"c": np.zeros(50_000, np.uint8)}, made_gene(0, 50_000), SpliceModel("", predict), 20_000)
    assert seen == [30_000, 30_000, 20_000]


def test_positions_that_reach_the_floor_are_kept_with_both_scores(tmp_path):
    rows = np.array([[1, 9e-6, 9e-6], [1, 9e-6, 1e-5], [0.7, 0.3, 0], [1, 0, 0]], np.float32)
    fasta, gtf = write_genome(tmp_path, {"1": "ACGTACGT"}, {"g": ("1", "-", 2, 6)})
    out = tmp_path / "scores.parquet"
    assert score(fasta, gtf, out, SpliceModel("", lambda _: rows)) == 2
    assert pq.read_schema(out).equals(SCHEMA)
    assert pl.read_parquet(out).select("position", "donor", "acceptor").rows() == [
        (1, np.float32(1e-5), np.float32(9e-6)),
        (2, 0, np.float32(0.3)),
    ]


def test_parts_are_joined_in_the_order_of_genes_and_positions(tmp_path, three_genes):
    out = tmp_path / "scores.parquet"
    rows = score(*three_genes, out, part=100)
    assert rows == pq.read_metadata(out).num_rows
    found = pl.read_parquet(out).with_columns(pl.col("gene_id").cast(pl.String))
    assert found.equals(found.sort("gene_id", "position"))
    gene = made_gene(200, 270, "-")
    scores = expected(CONTIG, gene)
    kept = np.flatnonzero(scores.max(axis=0) > 0)
    table = found.filter(pl.col("gene_id") == "a")
    assert table["position"].to_list() == kept.tolist()
    assert np.array_equal(table.select("donor", "acceptor").to_numpy().T, scores[:, kept])
    assert not Path(f"{out}.parts").exists()


def stopping(calls):
    """The toy network, which stops after so many calls and notes each."""
    seen = []

    def predict(bases):
        if len(seen) == calls:
            raise KeyboardInterrupt
        seen.append(len(bases))
        return ends_and_centre(bases)

    return SpliceModel("toy", predict), seen


def test_a_stopped_run_goes_on_with_the_genes_that_are_not_saved(tmp_path, three_genes):
    score(*three_genes, tmp_path / "at_once.parquet", part=1)
    out = tmp_path / "scores.parquet"
    with pytest.raises(KeyboardInterrupt):
        score(*three_genes, out, stopping(2)[0], part=1)
    assert not out.exists()
    model, seen = stopping(10)
    score(*three_genes, out, model, part=1)
    assert seen == [40 + 2 * FLANK]  # c alone; a and b were saved
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "at_once.parquet"))


@pytest.mark.parametrize("change", ["bases", "model", "span"])
def test_saved_scores_of_something_else_are_not_used(tmp_path, three_genes, change):
    fasta, gtf = three_genes
    out = tmp_path / "scores.parquet"
    with pytest.raises(KeyboardInterrupt):
        score(fasta, gtf, out, stopping(1)[0], part=1)
    model, seen = stopping(10)
    if change == "bases":
        fasta.write_text(fasta.read_text()[:-2] + "NN\n")
        Path(f"{fasta}.fai").unlink()
    elif change == "model":
        model = model._replace(identity="another")
    else:
        gtf.write_text(gtf.read_text().replace("\t270\t", "\t271\t"))
    score(fasta, gtf, out, model, part=1)
    assert len(seen) == 3


def test_without_tensorflow_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    wanted = r"lacks tensorflow, keras, spliceai; run `pip install 'genebatch\[spliceai\]'`"
    with pytest.raises(InputError, match=wanted):
        published_model()


@pytest.mark.real
@pytest.mark.skipif(
    find_spec("tensorflow") is None or find_spec("spliceai") is None,
    reason="TensorFlow and spliceai are not installed (extra spliceai)",
)
def test_published_networks_agree_with_those_of_others_on_real_genes(real_data, tmp_path):
    folder = real_data / "human/raw"
    strands = {"NOP56": "+", "IDH3B": "-"}
    records = pysam.FastxFile(str(folder / "genes_flank5000.dev.fa.gz"))
    texts = {record.name: record.sequence for record in records if record.name in strands}
    spans = {name: (name, strands[name], FLANK, len(text) - FLANK) for name, text in texts.items()}
    out = tmp_path / "scores.parquet"
    score(*write_genome(tmp_path, texts, spans), out, published_model())
    other = pl.read_parquet(folder / "base_scores_mane.dev.parquet")
    for name, (_, _, start, end) in spans.items():
        tracks = np.zeros((2, 2, end - start))
        for track, table in zip(tracks, (pl.read_parquet(out), other), strict=True):
            rows = table.filter(pl.col("gene_id").cast(pl.String) == name)
            track[:, rows["position"]] = rows.select("donor", "acceptor").to_numpy().T
        for ours, theirs in zip(*tracks, strict=True):
            assert np.corrcoef(ours, theirs)[0, 1] > 0.9
