"""The simulated evidence tells of sites as far as it should, and leaves the genome as it is."""

import builtins

import numpy as np
import pysam
import pytest

from genebatch.genome.evidence.junction_lines import read_junctions
from genebatch.genome.evidence.tracks import count_use
from genebatch.genome.genes import read_gene_models, splice_sites
from genebatch.io.files import InputError
from genebatch.simulation.evidence import CONSERVATION, JUNCTIONS, NOISE
from genebatch.simulation.genome import simulate_genome
from tests.builders.evidence import opened

SMALL = {"n_genes": 24, "n_chromosomes": 2}
FILES = (CONSERVATION, NOISE, JUNCTIONS)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return simulate_genome(tmp_path_factory.mktemp("genome"), **SMALL, tracks=True)


@pytest.fixture(scope="module")
def genes(genome):
    return read_gene_models(genome / "genes.gtf")


@pytest.fixture(scope="module")
def sources(genome, genes):
    with pysam.FastaFile(str(genome / "genome.fa")) as file:
        contigs = dict(zip(file.references, file.lengths, strict=True))
    section = {
        "good": {"kind": "number", "file": str(genome / CONSERVATION)},
        "noise": {"kind": "number", "file": str(genome / NOISE)},
        "reads": {"kind": "junctions", "file": str(genome / JUNCTIONS)},
    }
    with opened(section, genes, contigs) as found:
        yield found


def values(source, genes):
    """Values at all sites, and at all positions of genes."""
    sites, everywhere = [], []
    for gene in genes:
        track = source.data.values(gene, 0, gene.length)
        sites.append(track[np.concatenate(splice_sites(gene))])
        everywhere.append(track)
    return np.concatenate(sites), np.concatenate(everywhere)


def test_genome_and_genes_are_those_without_evidence(genome, tmp_path):
    plain = simulate_genome(tmp_path, **SMALL)
    for name in ("genome.fa", "genes.gtf"):
        assert (genome / name).read_bytes() == (plain / name).read_bytes()
    assert not any((plain / name).exists() for name in FILES)


def test_same_arguments_give_the_same_evidence(genome, tmp_path):
    again = simulate_genome(tmp_path, **SMALL, tracks=True)
    for name in FILES:
        assert (genome / name).read_bytes() == (again / name).read_bytes()


def test_conservation_is_two_at_sites_and_noise_is_nothing(sources, genes):
    for source, mean in zip(sources[:2], (2, 0), strict=True):
        at_sites, everywhere = values(source, genes)
        assert np.nanmean(at_sites) == pytest.approx(mean, abs=0.2)
        assert np.nanstd(at_sites) == pytest.approx(1, abs=0.2)
        # A sixth is missing, at sites as often as elsewhere.
        assert np.isnan(everywhere).mean() == pytest.approx(0.14, abs=0.03)
        assert np.isnan(at_sites).mean() == pytest.approx(0.14, abs=0.08)
    assert np.nanmean(everywhere) == pytest.approx(0, abs=0.02)


def test_most_sites_have_reads_and_few_other_positions_have_some(sources, genes):
    with_reads = sites = others = 0
    for gene in genes:
        reads = sources[2].data.reads(gene, np.arange(gene.length))
        for used, own in zip((reads[1] > 0, reads[4] > 0), splice_sites(gene), strict=True):
            sites += len(own)
            with_reads += int(used[own].sum())
            others += int(used.sum() - used[own].sum())
    assert 0.6 < with_reads / sites < 0.95
    assert 0.1 < others / sites < 1.5


def test_every_junction_has_the_bases_of_its_motif(genome):
    table = read_junctions(genome / JUNCTIONS, "key").table
    ends = {"+": ("GT", "AG"), "-": ("CT", "AC")}
    seen = set()
    with pysam.FastaFile(str(genome / "genome.fa")) as file:
        for chrom, strand, left, right in table.select("chrom", "strand", "left", "right").rows():
            bases = file.fetch(chrom, left + 1, left + 3), file.fetch(chrom, right - 2, right)
            seen.add(strand)
            if strand:
                assert tuple(text.upper() for text in bases) == ends[strand]
    assert seen == {"+", "-", ""}


def test_files_fit_the_genome_and_their_use_is_counted(sources, genes):
    counts = count_use(sources, genes)
    used = counts.filter(track="reads")
    assert used["count"].sum() == used["of"][0]
    assert (used["count"][:4] > 0).all()
    assert used["count"][4] == 0


def test_evidence_without_pybigwig_is_refused(monkeypatch, tmp_path):
    known = builtins.__import__

    def absent(name, *more, **named):
        if name == "pyBigWig":
            raise ImportError(name)
        return known(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"the simulated evidence needs pyBigWig"):
        simulate_genome(tmp_path, **SMALL, tracks=True)
    assert not list(tmp_path.glob("*"))
