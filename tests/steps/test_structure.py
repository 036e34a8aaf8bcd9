"""Files of what is known of gene structure: written, read back, refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from genebatch.cli import main
from genebatch.features.structure.coding import CodonPairs
from genebatch.features.structure.files import read_lengths, read_pairs, read_structure, write_pairs
from genebatch.features.structure.lengths import Lengths
from genebatch.features.structure.model import StructureModel
from genebatch.io.files import InputError
from tests.builders.finished_run import Data
from tests.builders.held_genome import write_gtf
from tests.unit.features.structure.test_lengths import drawn_genes

SCORES = np.round(np.random.default_rng(0).normal(size=CodonPairs.SHAPE), 3)


@pytest.fixture
def table(tmp_path):
    write_pairs(tmp_path / "pairs.tsv", CodonPairs(SCORES))
    return tmp_path / "pairs.tsv"


def test_lengths_of_gene_models_are_those_that_a_build_reads(tmp_path, capsys):
    gtf = write_gtf(tmp_path / "genes.gtf", drawn_genes(60, "+"))
    path = tmp_path / "lengths.yaml"
    assert main(["structure-lengths", str(gtf), "-o", str(path)]) == 0
    assert "introns of" in capsys.readouterr().out
    assert read_structure("free", lengths=path).lengths == read_lengths(path) != Lengths()


def test_lengths_of_canonical_transcripts_need_tags(tmp_path, capsys):
    gtf = write_gtf(tmp_path / "genes.gtf", drawn_genes(60, "+"))
    command = ["structure-lengths", str(gtf), "-o", str(tmp_path / "lengths.yaml")]
    assert main([*command, "--transcripts", "canonical"]) == 1
    assert "set sequence.transcripts or --transcripts to longest" in capsys.readouterr().err
    assert main([*command, "--biotypes", "protein_coding"]) == 1
    assert "no gene has a biotype" in capsys.readouterr().err
    tagged = [f'{line} gene_type "protein_coding"; tag "basic";' for line in gtf.open()]
    gtf.write_text("\n".join(line.replace("\n", "") for line in tagged) + "\n")
    options = ["--transcripts", "canonical", "--biotypes", "protein_coding"]
    assert main([*command, *options]) == 0


def test_gene_models_without_introns_are_refused(tmp_path, capsys):
    (tmp_path / "genes.gtf").write_text(
        'c\tm\texon\t1\t90\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
    )
    path = tmp_path / "lengths.yaml"
    assert main(["structure-lengths", str(tmp_path / "genes.gtf"), "-o", str(path)]) == 1
    assert "give gene models with more spliced transcripts" in capsys.readouterr().err
    assert not path.exists()


def test_pairs_survive_their_file(table):
    assert np.array_equal(read_pairs(table).scores, SCORES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[:-1], "1 of 4,096 pairs of codons have no score"),
        (lambda frame: pl.concat([frame, frame[:1]]), "line 4,098: .*each pair once"),
        (lambda frame: frame.with_columns(codon=pl.lit("AAN")), "line 2: 'AAA', 'AAN'"),
        (lambda frame: frame.with_columns(score=pl.lit("much")), "'much'"),
        (lambda frame: frame.drop("before"), "before"),
    ],
)
def test_broken_pairs_name_file_line_and_key(table, change, message):
    change(pl.read_csv(table, separator="\t")).write_csv(table, separator="\t")
    with pytest.raises(InputError, match=message) as error:
        read_pairs(table)
    assert str(table) in str(error.value)
    assert "features.structure.coding" in str(error.value)


def test_pairs_of_a_model_are_written(tmp_path, capsys):
    data = Data(tmp_path, final="ensemble")
    out = tmp_path / "pairs.tsv"
    assert main(["codon-pairs", str(data.model), "-o", str(out)]) == 1
    assert "train with features.structure.coding: learned" in capsys.readouterr().err
    model = load_model(data.model)
    known = StructureModel(pairs=CodonPairs(SCORES)).plain()
    path = tmp_path / "with_pairs.gbm"
    replace(model, facts=model.facts | {"sequence": {"features": {}, "structure": known}}).save(
        path
    )
    assert main(["codon-pairs", str(path), "-o", str(out)]) == 0
    assert np.array_equal(read_pairs(out).scores, SCORES)
