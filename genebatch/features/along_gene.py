"""Computes features along a gene of any length, from its sequence, scores and tracks."""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from genebatch.features.base_scores import MARGIN
from genebatch.features.evidence import Carried, Evidence, EvidenceBlock
from genebatch.features.further_scores import FurtherScores
from genebatch.features.landscape import Landscape
from genebatch.features.positions import GeneWindow, Spec, WholeGene, window_features
from genebatch.features.structure.model import StructureModel
from genebatch.features.words import gc_count
from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import Gene, stretches
from genebatch.genome.scores.tracks import ScoreTracks

# Positions of a block. Scores and sequence of a block take under 1 MB, so the rows that are asked
# for decide the memory (1.5 kB each with 3-mers and 5-mers).
BLOCK = 32_768


class Genome(NamedTuple):
    """The sources of features, which training and prediction share, and what is wanted of them.

    Attributes
    ----------
    fasta, scores
        Sequence and scores of the first base model.
    spec
        Which features, and how.
    structure
        What is known of gene structure.
    words
        Columns of words that are wanted; None for all of the spec.
    evidence
        Tracks that give further features.
    carried
        Tracks that stand in the calls only.
    further
        Scores of further base models.
    """

    fasta: Fasta
    scores: ScoreTracks
    spec: Spec
    structure: StructureModel = StructureModel()
    words: frozenset[str] | None = None
    evidence: Evidence = Evidence()
    carried: Carried = Carried()
    further: tuple[FurtherScores, ...] = ()

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Names of all features in order, and their types."""
        schema = self.spec.schema | self.evidence.schema
        for model in self.further:
            schema |= model.schema
        return schema

    def seen_by(self, model: FurtherScores) -> Self:
        """The same genome with the scores of a further base model as the only ones."""
        return self._replace(scores=model.scores, spec=model.spec, words=None, further=())

    def needing(self, columns: Collection[str]) -> Self:
        """The same sources for some columns: other families, words and tracks are not made."""
        return self._replace(
            spec=self.spec.only(columns),
            words=frozenset(columns),
            evidence=self.evidence.needing(columns),
            further=tuple(filter(None, (model.needing(columns) for model in self.further))),
        )


class GeneBlock(NamedTuple):
    """A stretch of a gene.

    Attributes
    ----------
    start, stop
        Gene positions, half-open.
    scores
        (2, stop - start) float32, donor and acceptor as the tracks give them.
    features
        Takes gene positions of the block in any order; returns their features, one row each in
        that order, with the columns of `Genome.schema` that are wanted.
    """

    start: int
    stop: int
    scores: np.ndarray
    features: Callable[[np.ndarray], pl.DataFrame]


def gene_blocks(genome: Genome, gene: Gene, block: int = BLOCK) -> Iterator[GeneBlock]:
    """Cut a gene into successive blocks that cover each of its positions once.

    Scores and sequence are read twice: for what features see of the whole gene, and then block by
    block. Tracks of evidence are read once, block by block. No result depends on `block`. Holds
    one block, the positions of the gene whose scores the landscape keeps, see `Landscape`, and the
    strong sites, see `Structure`.

    Parameters
    ----------
    genome
        Sequence, scores and the features wanted.
    gene
        The gene; its annotated transcripts are not used.
    block
        Positions of a block.

    Yields
    ------
    GeneBlock
        In transcript orientation, from position 0 on.
    """
    whole = whole_gene(genome, gene, block)
    further = [
        (model, genome.seen_by(model), whole_gene(genome.seen_by(model), gene, block))
        for model in genome.further
    ]
    for start, stop in stretches(gene, block):
        ends = start - MARGIN, stop + MARGIN
        window = _window(genome, gene, *ends)
        others = [
            _OtherWindow(model, _window(seen, gene, *ends), whole) for model, seen, whole in further
        ]
        evidence = EvidenceBlock(genome.evidence.sources, gene, start, stop)
        features = partial(_features, window, whole, genome, evidence, others)
        yield GeneBlock(start, stop, window.scores[:, MARGIN : MARGIN + stop - start], features)


class _OtherWindow(NamedTuple):
    """A stretch of a gene as a further base model scores it, and what it sees of the gene."""

    model: FurtherScores
    window: GeneWindow
    whole: WholeGene

    def features(self, positions: np.ndarray, first: GeneWindow) -> pl.DataFrame:
        """Features of positions; `first` is the stretch as the first base model scores it."""
        made = window_features(self.window, positions, self.whole, self.model.spec)
        own, of_first = (
            window.scores[:, positions - window.start] for window in (self.window, first)
        )
        floor = np.float32(self.model.spec.floor)
        return self.model.named(made, np.maximum(own, floor), np.maximum(of_first, floor))


def _features(
    window: GeneWindow,
    whole: WholeGene,
    genome: Genome,
    evidence: EvidenceBlock,
    others: list[_OtherWindow],
    positions: np.ndarray,
) -> pl.DataFrame:
    """Features of positions: of sequence and scores, of tracks, and of further base models."""
    made = window_features(window, positions, whole, genome.spec, genome.words)
    made = made.hstack(evidence.features(positions))
    for other in others:
        made = made.hstack(other.features(positions, window))
    return made


def whole_gene(genome: Genome, gene: Gene, block: int = BLOCK) -> WholeGene:
    """What features see of a whole gene; reads the scores, and the sequence if it is needed."""
    tracks, spec = score_blocks(genome.scores, gene, block), genome.spec
    landscape = Landscape.collect(tracks, gene.length, spec.floor)
    fetch = partial(gene_codes, genome.fasta, gene)
    gc = _gene_gc(genome.fasta, gene, block) if "span" in spec.families else None
    return WholeGene.see(landscape, fetch, gene.length, spec, genome.structure, gc)


def score_blocks(scores: ScoreTracks, gene: Gene, block: int = BLOCK) -> Iterator[np.ndarray]:
    """Read the scores of a gene as successive (2, n) blocks, n being at most `block`."""
    for start, stop in stretches(gene, block):
        yield scores.fetch(gene, start, stop)


def _window(genome: Genome, gene: Gene, start: int, stop: int) -> GeneWindow:
    """Scores of gene positions `start` to `stop`, 0 outside of the gene, with their sequence."""
    inside = max(start, 0), min(stop, gene.length)
    scores = np.zeros((2, stop - start), np.float32)
    scores[:, inside[0] - start : inside[1] - start] = genome.scores.fetch(gene, *inside)
    flank = genome.spec.window
    codes = gene_codes(genome.fasta, gene, start - flank, stop + flank)
    return GeneWindow(start, scores, codes)


def _gene_gc(fasta: Fasta, gene: Gene, block: int) -> float:
    """`words.gc_share` of the whole gene, read block by block."""
    strong = 0
    for start, stop in stretches(gene, block):
        strong += gc_count(gene_codes(fasta, gene, start, stop))
    return strong / gene.length
