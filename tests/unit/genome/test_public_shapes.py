"""Annotations in the shapes of public files: the sites are those of the models they come from."""

import gzip
import itertools

import pytest

from genebatch.genome.genes import Gene, genomic_positions, read_gene_models, splice_sites
from genebatch.io import text as text_module
from tests.builders.annotations import CODING, CODING_ALONE, MODELS, WHOLE, sites_of
from tests.builders.plain_parser import plain_sites

SHAPES = WHOLE | CODING_ALONE


def read_sites(genes: list[Gene]):
    """Sites as the builders give them: 1-based, by chromosome and strand."""
    sites = {}
    for gene in genes:
        both = sites.setdefault((gene.chrom, gene.strand), (set(), set()))
        for found, positions in zip(both, splice_sites(gene), strict=True):
            found.update((genomic_positions(gene, positions) + 1).tolist())
    return {place: both for place, both in sites.items() if both[0]}


@pytest.mark.parametrize("name", SHAPES)
def test_sites_are_those_of_the_models_and_of_a_second_parser(tmp_path, name):
    path, text = tmp_path / name, SHAPES[name]()
    path.write_text(text)
    wanted = sites_of(MODELS if name in WHOLE else CODING)
    assert plain_sites(text) == wanted
    assert read_sites(read_gene_models(path)) == wanted


@pytest.mark.parametrize("name", WHOLE)
def test_genes_have_the_ids_and_spans_of_the_models(tmp_path, name):
    path = tmp_path / name
    path.write_text(WHOLE[name]())
    found = [(gene.chrom, gene.strand, gene.start, gene.end) for gene in read_gene_models(path)]
    spans = []
    for model in MODELS:
        ends = [(exons[0][0], exons[-1][1]) for exons in model.transcripts]
        start, end = min(ends)[0] - 1, max(end for _, end in ends)
        spans.append((model.chrom, model.strand, start, end))
    assert found == spans


@pytest.mark.parametrize(("end", "name"), list(zip(itertools.cycle(["\r\n", "\r"]), SHAPES)))
def test_neither_line_ends_nor_gzip_nor_small_blocks_change_a_gene(
    tmp_path, monkeypatch, name, end
):
    text = SHAPES[name]()
    plain, changed = tmp_path / name, tmp_path / "genes.txt"
    plain.write_text(text)
    changed.write_bytes(gzip.compress(("\ufeff" + text.replace("\n", end)).encode()))
    genes = read_gene_models(plain)
    monkeypatch.setattr(text_module, "BLOCK_BYTES", 1500)
    assert read_gene_models(changed) == genes


@pytest.mark.parametrize("name", ["ensembl.gtf", "ensembl.gff3", "refseq.gff3", "refseq.gtf"])
def test_names_keep_their_semicolons(tmp_path, name):
    path = tmp_path / name
    path.write_text(SHAPES[name]())
    names = {gene.id: gene.name for gene in read_gene_models(path)}
    assert names["G4"] == "LNC;4"


def test_a_file_in_the_order_of_coordinates_has_the_same_genes(tmp_path):
    for name in ("ensembl.gtf", "braker.gtf", "flybase.gff"):
        text = SHAPES[name]()
        lines = [line for line in text.splitlines(keepends=True) if "\t" in line]
        head = "".join(line for line in text.splitlines(keepends=True) if "\t" not in line)
        place = sorted(lines, key=lambda line: (line.split("\t")[0], int(line.split("\t")[3])))
        as_text = sorted(lines)
        original, ordered = tmp_path / name, tmp_path / f"sorted_{name}"
        original.write_text(text)
        for mixed in (place, as_text):
            ordered.write_text(head + "".join(mixed))
            assert read_gene_models(ordered) == read_gene_models(original)
