"""Fits length distributions to the transcripts of gene models."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from sklearn.mixture import GaussianMixture

from genebatch.features.structure.lengths import Lengths, LogNormal
from genebatch.genome.genes import Gene
from genebatch.io.files import InputError

PARTS = {"inner": 2, "first": 1, "last": 1, "intron": 2}
FEWEST = 30  # lengths for each part of a mixture
DIGITS = 3
# Lengths beyond those seen are possible: the limits lie so many times further out.
SLACK = 1.5
RARE = 0.001  # share of introns that may be shorter than the least length: mistakes, as a rule


def fit_lengths(genes: Sequence[Gene]) -> Lengths:
    """Fit the lengths of exons and introns of some genes.

    An exon or intron of several transcripts counts once. Mixtures of normal distributions are
    fitted to the logarithms of the lengths by expectation-maximisation.

    Parameters
    ----------
    genes
        Genes with their transcripts; those without introns say nothing.

    Raises
    ------
    InputError
        If there are too few lengths of a kind.
    """
    seen = _seen_lengths(genes)
    mixtures = {kind: _mixture(kind, lengths, PARTS[kind]) for kind, lengths in seen.items()}
    exons = max(int(seen[kind].max()) for kind in ("inner", "first", "last"))
    return Lengths(
        **mixtures,
        longest_exon=int(np.ceil(SLACK * exons)),
        shortest_intron=max(int(np.quantile(seen["intron"], RARE)), 1),
        longest_intron=int(np.ceil(SLACK * seen["intron"].max())),
    )


def _seen_lengths(genes: Sequence[Gene]) -> dict[str, np.ndarray]:
    """Lengths in nt by kind, each exon and intron of a gene once."""
    spans: dict[str, set[tuple[str, int, int]]] = {kind: set() for kind in PARTS}
    for gene in genes:
        for transcript in gene.transcripts:
            exons = list(transcript.exons)
            if len(exons) == 1:
                continue
            ordered = exons if gene.strand == "+" else exons[::-1]
            spans["first"].add((gene.id, *ordered[0]))
            spans["last"].add((gene.id, *ordered[-1]))
            spans["inner"].update((gene.id, *exon) for exon in ordered[1:-1])
            introns = pairwise(exons)
            spans["intron"].update((gene.id, one[1], other[0]) for one, other in introns)
    return {
        kind: np.sort(np.array([end - start for _, start, end in found], np.int64))
        for kind, found in spans.items()
    }


def _mixture(kind: str, lengths: np.ndarray, parts: int) -> tuple[LogNormal, ...]:
    if len(lengths) < FEWEST * parts:
        raise InputError(
            f"{len(lengths):,} lengths of the kind {kind!r} are too few for a distribution, wanted "
            f"at least {FEWEST * parts}: give gene models with more spliced transcripts"
        )
    values = np.log(lengths.astype(np.float64))[:, None]
    fitted = GaussianMixture(parts, random_state=0, n_init=5).fit(values)
    order = np.argsort(-fitted.weights_)
    shares = np.round(fitted.weights_[order], DIGITS)
    shares[0] = round(1 - shares[1:].sum(), DIGITS)
    means = np.round(fitted.means_[order, 0], DIGITS)
    sds = np.round(np.sqrt(fitted.covariances_[order, 0, 0]), DIGITS)
    return tuple(LogNormal(*map(float, part)) for part in zip(shares, means, sds, strict=True))
