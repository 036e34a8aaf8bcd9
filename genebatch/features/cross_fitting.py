"""Learns the codons of a genome so that no row sees what was learned from its own group."""

import logging
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from genebatch.features.along_gene import Genome, whole_gene
from genebatch.features.gene_rows import PlannedGene
from genebatch.features.positions import Spec
from genebatch.features.structure.coding import CodonPairs
from genebatch.io.files import InputError, digest

log = logging.getLogger(__name__)

FOLDS = 5
FEWEST_PAIRS = 20_000  # about five for each pair of codons


class CrossFitted(NamedTuple):
    """A genome as the features of each group see it.

    Attributes
    ----------
    whole
        For genes of no group here, such as those to call.
    folds
        For the groups of each fold; knows nothing of them. Empty if nothing was learned.
    """

    whole: Genome
    folds: tuple[Genome, ...] = ()

    @property
    def spec(self) -> Spec:
        """The features."""
        return self.whole.spec

    def of(self, group: str) -> Genome:
        """The genome for the rows of a group."""
        return self.folds[_fold(group)] if self.folds else self.whole

    @classmethod
    def learn(cls, genome: Genome, planned: Sequence[PlannedGene]) -> Self:
        """Learn the scores of codon pairs from the likely exons of genes.

        Exons are likely by the chains of base scores, so no label is used. Holds one gene.

        Parameters
        ----------
        genome
            A genome whose model of gene structure has no codon pairs.
        planned
            The genes, with their groups.

        Raises
        ------
        InputError
            If the genes have too few likely coding exons outside of some fold.
        """
        counts = np.zeros((FOLDS, 2, *CodonPairs.SHAPE), np.int64)
        for gene in planned:
            counts[_fold(gene.group)] += whole_gene(genome, gene.gene).structure.count_pairs()
        total = counts.sum(axis=0)
        log.info("learned from %s pairs of codons in likely exons", f"{total[0].sum():,}")
        fewest = min(int((total - part)[0].sum()) for part in counts)
        if fewest < FEWEST_PAIRS:
            raise InputError(
                f"the likely coding exons have {fewest:,} pairs of codons outside of one of "
                f"{FOLDS} folds of groups, wanted {FEWEST_PAIRS:,}: the genes are too few to learn "
                "from; set features.structure.coding to none"
            )
        folds = tuple(_with_pairs(genome, total - part) for part in counts)
        return cls(_with_pairs(genome, total), folds)


def _fold(group: str) -> int:
    return int(digest(group), 16) % FOLDS


def _with_pairs(genome: Genome, counts: np.ndarray) -> Genome:
    pairs = CodonPairs.learn(*counts)
    return genome._replace(structure=genome.structure.with_pairs(pairs))
