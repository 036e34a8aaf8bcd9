"""Picks a few test genes that show what the model corrects and where it errs, and their tracks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genebatch.calls.evaluation.counts import Tracks
from genebatch.calls.evaluation.reading import CANDIDATES, read_some_tracks
from genebatch.calls.positions_file import called
from genebatch.features.gene_rows import Sites, label_sites
from genebatch.genome.choice import canonical_transcript
from genebatch.genome.genes import SITES, Gene, genomic_positions, sites_on_strand, unlabelled

SHOWN_FROM = 0.05  # a position that no candidate scores so high, and that is no site, is not listed
REASONS = ("most corrected", "typical", "least corrected")
# What became of a position: whether it is a site, called by the base scores, called by the model.
OUTCOMES = {
    (True, True, True): "found by both",
    (True, False, True): "found by the model",
    (True, True, False): "lost by the model",
    (True, False, False): "missed by both",
    (False, True, True): "false in both",
    (False, True, False): "withdrawn by the model",
    (False, False, True): "added by the model",
    (False, False, False): "called by neither",
}
NOT_JUDGED = "not judged"
CORRECTED = ("found by the model", "withdrawn by the model")
MADE = ("lost by the model", "added by the model")


class Chosen(NamedTuple):
    """A gene by its place among the test genes, and why it was chosen."""

    place: int
    reason: str


def choose_genes(tracks: Tracks) -> list[Chosen]:
    """Choose genes with sites by how many errors of the base scores the model spares.

    An error is a missed site or a false call, at the model's threshold and at the best threshold of
    the base scores. The gene with the highest gain is the most corrected, the one in the middle is
    typical, the one with the lowest is the least corrected. Of equal genes the one with more sites
    comes first.
    """
    sites = np.bincount(tracks.gene[tracks.code > 0], minlength=len(tracks.positions))
    base, model = _errors(tracks)
    places = np.flatnonzero(sites)
    order = places[np.lexsort((places, -sites[places], (model - base)[places]))]
    if not len(order):
        return []
    ranks = dict(zip((0, len(order) // 2, len(order) - 1), REASONS, strict=True))
    if len(order) < len(REASONS):
        ranks = {0: REASONS[0], len(order) - 1: REASONS[-1]} if len(order) == 2 else {0: REASONS[1]}
    return [Chosen(int(order[rank]), reason) for rank, reason in ranks.items()]


def example_tracks(
    path: str | Path, annotated: Sequence[Gene], tested: Sequence[Gene], tracks: Tracks
) -> list[dict[str, Any]]:
    """Give the chosen genes with their sites and their high scores.

    Reads the rows of these genes, and holds them.

    Parameters
    ----------
    path
        Positions file, see `reading.read_tracks`.
    annotated, tested
        All genes of the gene models, and the test genes.
    tracks
        The counts of the test genes.

    Returns
    -------
    list of dict
        For each gene `gene_id`, `chosen_as`, `chrom`, `strand`, `start`, `end`, `length`, `exons`
        (of the canonical transcript, in gene positions), `sites`, `errors` by candidate, and
        `positions`: every site and every position with a score of at least `SHOWN_FROM`, with
        `class`, `position`, `genomic_position`, both scores and the `outcome`.
    """
    chosen = choose_genes(tracks)
    on_strand = sites_on_strand(annotated)
    limits = tracks.base_thresholds[list(tracks.base_thresholds)[-1]], tracks.thresholds
    scores = read_some_tracks(path, [tested[place] for place, _ in chosen])
    examples = []
    for place, reason in chosen:
        gene = tested[place]
        labels = label_sites(gene, unlabelled(gene, on_strand[gene.id]))
        lines = [
            line
            for column, name in enumerate(SITES)
            for line in _lines(
                gene, name, labels, scores[gene.id][:, column], [at[name] for at in limits]
            )
        ]
        examples.append(_head(gene, reason, lines) | {"positions": lines})
    return examples


def _errors(tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Errors of base scores and model by gene, among the kept positions."""
    base_limits = tracks.base_thresholds[list(tracks.base_thresholds)[-1]]
    sums = []
    for scores, limits in zip(tracks.scores, (base_limits, tracks.thresholds), strict=True):
        wrong = np.zeros(len(tracks.code), np.int64)
        for column, name in enumerate(SITES):
            wrong += called(scores[column], limits[name]) != (tracks.code == column + 1)
        sums.append(np.bincount(tracks.gene, wrong, minlength=len(tracks.positions)))
    return sums[0], sums[1]


def _lines(
    gene: Gene, name: str, labels: Sites, scores: np.ndarray, limits: Sequence[float]
) -> list[dict[str, Any]]:
    """The listed positions of one class; scores are (candidates, length)."""
    sites = np.zeros(gene.length, bool)
    sites[labels.donors if name == SITES[0] else labels.acceptors] = True
    judged = np.ones(gene.length, bool)
    judged[labels.left_out] = False
    calls = [called(score, limit) for score, limit in zip(scores, limits, strict=True)]
    listed = sites | (scores >= SHOWN_FROM).any(axis=0) | np.any(calls, axis=0)
    genomic = genomic_positions(gene, np.arange(gene.length))
    return [
        {
            "class": name,
            "position": int(place),
            "genomic_position": int(genomic[place]),
            **{key: float(score[place]) for key, score in zip(CANDIDATES, scores, strict=True)},
            "outcome": OUTCOMES[bool(sites[place]), *(bool(call[place]) for call in calls)]
            if judged[place]
            else NOT_JUDGED,
        }
        for place in np.flatnonzero(listed)
    ]


def _head(gene: Gene, reason: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is told of a gene besides its positions."""
    told = {outcome: answers for answers, outcome in OUTCOMES.items()}
    judged = [told[line["outcome"]] for line in lines if line["outcome"] != NOT_JUDGED]
    exons = sorted(_in_gene(gene, *exon) for exon in canonical_transcript(gene).exons)
    place = {key: getattr(gene, key) for key in ("chrom", "strand", "start", "end", "length")}
    return {
        "gene_id": gene.id,
        "chosen_as": reason,
        **place,
        "exons": exons,
        "sites": sum(site for site, _, _ in judged),
        "errors": {
            "base": sum(site != base for site, base, _ in judged),
            "model": sum(site != model for site, _, model in judged),
        },
    }


def _in_gene(gene: Gene, start: int, end: int) -> tuple[int, int]:
    """A genomic stretch in positions of the gene."""
    if gene.strand == "+":
        return start - gene.start, end - gene.start
    return gene.end - end, gene.end - start
