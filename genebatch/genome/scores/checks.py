"""Checks base scores of every source: are they probabilities, which genes have none."""

import logging
from collections.abc import Sequence

from genebatch.genome.genes import Gene
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

SUM_TOLERANCE = 1e-3  # of donor + acceptor above 1; rounding to three digits causes it
UNSCORED = ("error", "zero")


def refuse_unscored(
    source: str, silent: Sequence[Gene], n_genes: int, unscored: str, key: str, hint: str = ""
) -> None:
    """Refuse genes without any score, or log them if `unscored` is "zero".

    Scores that fit no gene at all are always refused: they belong to other genes.

    Parameters
    ----------
    source
        Where the scores come from.
    silent
        The genes without a score.
    n_genes
        Number of all genes.
    unscored
        "error" or "zero".
    key
        The config key or flag of the scores; the key of `unscored` is derived from it.
    hint
        What the source has instead, for the message.
    """
    if not silent:
        return
    names = first_names(gene.id for gene in silent)
    fact = f"{source} has no score of {len(silent):,} of {n_genes:,} genes: {names}{hint}"
    if len(silent) == n_genes:
        raise InputError(f"{fact}; set {key} to scores of these genes")
    if unscored == "zero":
        log.warning("%s; their scores count as 0", fact)
        return
    of_absent = "sequence.unscored" if key.startswith("sequence.") else "--unscored"
    raise InputError(
        f"{fact}; score them, take them out of the genes, or "
        f"set {of_absent} to zero if absent scores mean 0 throughout; "
        f"set {key} for other scores"
    )
