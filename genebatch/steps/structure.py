"""Writes what is known of gene structure: length distributions, scores of codon pairs."""

from genebatch.calls.calling import structure_model
from genebatch.config.settings import Reading
from genebatch.features.structure.files import write_lengths, write_pairs
from genebatch.features.structure.fitting import fit_lengths
from genebatch.features.structure.lengths import Lengths
from genebatch.genome.genes import read_gene_models
from genebatch.io.files import InputError
from genebatch.model.archive import load_model


def structure_lengths(
    *,
    genes: str,
    reading: Reading,
    output: str,
) -> Lengths:
    """Fit the lengths of exons and introns of gene models, and write them as YAML.

    Parameters
    ----------
    genes
        The gene models.
    reading
        How they are read, see `genes.read_gene_models`.
    output
        File to write, for `features.structure.lengths`.

    Raises
    ------
    InputError
        If the gene models cannot be read, or have too few spliced transcripts.
    """
    models = read_gene_models(genes, **reading.plain())
    lengths = fit_lengths(models)
    write_lengths(output, lengths)
    return lengths


def codon_pairs(*, model: str, output: str) -> None:
    """Write the scores of codon pairs that a model was trained with, as TSV.

    Parameters
    ----------
    model
        Model file or results folder.
    output
        File to write, for `features.structure.coding`.

    Raises
    ------
    InputError
        If the model was trained without scores of codon pairs.
    """
    pairs = structure_model(load_model(model).facts.get("sequence") or {}).pairs
    if pairs is None:
        raise InputError(
            f"{model} has no scores of codon pairs; train with features.structure.coding: learned"
        )
    write_pairs(output, pairs)
