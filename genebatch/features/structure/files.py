"""Reads and writes what is known of gene structure."""

from pathlib import Path

import numpy as np
import polars as pl
import yaml

from genebatch.features.structure.coding import CodonPairs
from genebatch.features.structure.codons import CODONS
from genebatch.features.structure.lengths import Lengths
from genebatch.features.structure.model import StructureModel
from genebatch.io.files import InputError, write_text, write_tsv
from genebatch.io.text import read_columns, whole_text

LENGTHS_KEY, CODING_KEY = "features.structure.lengths", "features.structure.coding"


def read_structure(
    ends: str, lengths: str | Path | None = None, coding: str | Path | None = None
) -> StructureModel:
    """Read what is known of gene structure from files, as far as there are some.

    Raises
    ------
    InputError
        If a file cannot be read or has impossible values.
    """
    distributions = Lengths() if lengths is None else read_lengths(lengths)
    return StructureModel(ends, distributions, None if coding is None else read_pairs(coding))


def read_lengths(path: str | Path) -> Lengths:
    """Read length distributions from a YAML file, plain or gzip, as `write_lengths` writes them."""
    text = whole_text(path, "length distributions as YAML", LENGTHS_KEY)
    try:
        values = yaml.safe_load(text)
        if not isinstance(values, dict):
            raise InputError("wanted a mapping")
        return Lengths.build(values)
    except (ValueError, TypeError, yaml.YAMLError) as error:  # such as an impossible date
        raise InputError(
            f"{path}: no length distributions ({error}); genebatch structure-lengths makes them; "
            f"set {LENGTHS_KEY}"
        ) from error


def write_lengths(path: str | Path, lengths: Lengths) -> None:
    """Write length distributions as YAML."""
    write_text(path, yaml.safe_dump(lengths.plain(), sort_keys=False))


def read_pairs(path: str | Path) -> CodonPairs:
    """Read scores of codon pairs, as `write_pairs` writes them.

    Raises
    ------
    InputError
        If a pair is missing, is there twice or has no finite score.
    """
    number = {codon: place for place, codon in enumerate(CODONS)}
    scores = np.full(CodonPairs.SHAPE, np.nan)
    wanted = "a table of before, codon and score"
    for table in read_columns(path, ("before", "codon", "score"), wanted, CODING_KEY):
        for line, before, codon, text in table.iter_rows():
            at = number.get(before.upper()), number.get(codon.upper())
            score = _number(text)
            if None in at or not np.isfinite(score) or np.isfinite(scores[at]):
                raise InputError(
                    f"{path}, line {line:,}: {before!r}, {codon!r}, {text!r}; wanted two codons of "
                    f"A, C, G and T, each pair once, and a finite score; set {CODING_KEY}"
                )
            scores[at] = score
    if missing := int(np.isnan(scores).sum()):
        raise InputError(
            f"{path}: {missing:,} of {scores.size:,} pairs of codons have no score; set "
            f"{CODING_KEY}"
        )
    return CodonPairs(scores)


def write_pairs(path: str | Path, pairs: CodonPairs) -> None:
    """Write scores of codon pairs as a TSV file with the columns before, codon, score."""
    n = len(CODONS)
    columns = {"before": np.repeat(CODONS, n), "codon": np.tile(CODONS, n)}
    write_tsv(path, pl.DataFrame(columns | {"score": pairs.scores.ravel()}))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
