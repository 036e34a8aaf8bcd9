"""Counts complete tracks beside their annotated sites, gene by gene, for their comparison."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genebatch.calls.evaluation.reading import CANDIDATES
from genebatch.calls.positions_file import called
from genebatch.calls.rescoring import Band
from genebatch.features.gene_rows import Sites
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import CLIP, THRESHOLD

LOSSES = ("log_loss", "brier")
# Thresholds of the base scores: `THRESHOLD`, as their users call, or their own best threshold.
BASE_AT = ("default", "best_f1")
# Positions with a score from here on are kept one by one; in human genes one position in 200. One
# position in some thousand is a donor (or an acceptor), but not one in ten thousand of those with a
# lower calibrated score. So the order of the others changes an average precision by under 1e-4.
FLOOR = 1e-4
# Most positions that are kept, besides sites: 22 bytes each, twice while they are joined, and then
# 140 bytes for those of one class. If more lie above the floor, the floor doubles until they fit,
# up to `THRESHOLD`.
MOST_KEPT = 2_000_000
# Positions of a gene that are counted at once; takes 20 MB. The sums of a gene are added up stretch
# by stretch, so the row groups of the file change nothing.
STRETCH = 262_144
# nt from an end of the gene model within which a position is near the end. A model that knows where
# the gene ends can correct base scores there, so these positions are compared apart.
NEAR_END = 1_000
# What the annotation says of a position as a donor, or as an acceptor; each has one of these:
# - canonical: a site of the gene's canonical transcript;
# - other: a site of another annotated transcript of the gene;
# - other_gene: a site of another gene on the strand;
# - unknown: none of these, but without a label;
# - none: none of these.
TIERS = ("canonical", "other", "other_gene", "unknown", "none")
SITES_OF_GENE = 2  # the first tiers
# Lower ends of the hybrid band whose costs are computed: half decades.
LOWS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)


@dataclass(frozen=True)
class Tracks:
    """Counted positions of some genes; those that matter for ranking are kept one by one.

    Kept are all sites, and all positions with a score of at least `floor` for one of the `SITES`
    by any candidate. The others are only counted.

    Attributes
    ----------
    floor
        `FLOOR`, or higher if more than `MOST_KEPT` positions lie above it.
    gene
        (n,) gene of each kept position, as its place among the genes; ascending.
    code
        (n,) class of each kept position: 0 neither, 1 donor, 2 acceptor.
    near_end
        (n,) bool, whether a kept position is within `NEAR_END` nt of an end of its gene.
    scores
        (candidates, sites, n) scores of the kept positions, in the order of `CANDIDATES`.
    positions
        (genes,) number of positions counted, kept or not.
    positions_near_end
        (genes,) number of these within `NEAR_END` nt of an end of the gene.
    losses
        (genes, `LOSSES`, candidates, sites) sums over all positions counted.
    tiers
        (base_thresholds, sites, `TIERS`, 2, 2, 2) number of positions by what the annotation says
        of them, and by three yes-no questions: has a label, called by the base scores, called by
        the model. Only here those that were not counted have a part.
    rescored
        (`LOWS`,) number of positions in a hybrid band with this lower end.
    left_out
        Number of positions that were not counted, by reason.
    thresholds
        Probability from which the model calls, by class.
    base_thresholds
        Thresholds of the base scores by class, for each of `BASE_AT`.
    """

    floor: float
    gene: np.ndarray
    code: np.ndarray
    near_end: np.ndarray
    scores: np.ndarray
    positions: np.ndarray
    positions_near_end: np.ndarray
    losses: np.ndarray
    tiers: np.ndarray
    rescored: np.ndarray
    left_out: dict[str, int]
    thresholds: dict[str, float]
    base_thresholds: dict[str, dict[str, float]]

    @property
    def calls(self) -> np.ndarray:
        """Number of positions that were counted by three yes-no questions.

        (base_thresholds, sites, 2, 2, 2): is a site, called by the base scores, called by the
        model.
        """
        labelled = self.tiers[:, :, :, 1]
        own, rest = labelled[:, :, :SITES_OF_GENE], labelled[:, :, SITES_OF_GENE:]
        return np.stack([rest.sum(axis=2), own.sum(axis=2)], axis=2)

    @property
    def folded(self) -> np.ndarray:
        """Number of positions of each gene that were counted but not kept, (genes,)."""
        return self.positions - np.bincount(self.gene, minlength=len(self.positions))


class TrackCounter:
    """Takes in genes one by one and collects their `Tracks`.

    Parameters
    ----------
    n_genes
        Number of genes.
    thresholds
        Probability from which the model calls a site.
    score_floor
        Floor of the features (`positions.Spec`): sparse tracks leave lower scores out. The log loss
        clips the scores of both candidates to [score_floor, 1 - score_floor], so that a site absent
        from a track costs as much as one that is just in it.
    base_thresholds
        Best thresholds of the base scores, if known. Their calls are counted at these thresholds
        and at 0.5.
    """

    def __init__(
        self,
        n_genes: int,
        thresholds: Mapping[str, float],
        score_floor: float,
        base_thresholds: Mapping[str, float] | None = None,
    ):
        limits = (dict.fromkeys(SITES, THRESHOLD), base_thresholds)
        pairs = zip(BASE_AT, limits, strict=True)
        self._base_limits = {at: dict(limit) for at, limit in pairs if limit is not None}
        self._limits = dict(thresholds)
        self._score_floor = score_floor
        self._floor = FLOOR
        self._kept: list[tuple[np.ndarray, ...]] = []
        self._n_kept = 0
        self._positions = np.zeros(n_genes, np.int64)
        self._positions_near_end = np.zeros(n_genes, np.int64)
        self._losses = np.zeros((n_genes, len(LOSSES), len(CANDIDATES), len(SITES)))
        self._tiers = np.zeros((len(self._base_limits), len(SITES), len(TIERS), 2, 2, 2), np.int64)
        self._rescored = np.zeros(len(LOWS), np.int64)
        self._left_out = {"foreign": 0, "ambiguous": 0, "other": 0}

    def add(self, place: int, sites: Sites, tiers: np.ndarray, scores: np.ndarray) -> None:
        """Take in the gene at `place`.

        `tiers` are places among `TIERS`, (sites, length); scores are (candidates, sites, length).
        """
        code = np.zeros(scores.shape[2], np.int8)
        for number, positions in enumerate((sites.donors, sites.acceptors), start=1):
            code[positions] = number
        counted, places = np.ones(len(code), bool), np.arange(len(code))
        near_end = np.minimum(places, places[::-1]) < NEAR_END
        for reason in self._left_out:
            positions = getattr(sites, reason)
            counted[positions] = False
            self._left_out[reason] += len(positions)
        for start in range(0, len(code), STRETCH):
            whole = slice(start, start + STRETCH)
            self._count_calls(tiers[:, whole], counted[whole], scores[:, :, whole])
            part = start + np.flatnonzero(counted[whole])
            self._add(place, code[part], near_end[part], scores[:, :, part])

    def finish(self) -> Tracks:
        """Return what was counted."""
        kept = self._joined()
        if (np.diff(kept[0]) < 0).any():
            order = np.argsort(kept[0], kind="stable")
            kept = tuple(values[..., order] for values in kept)
        counts = (self._positions, self._positions_near_end)
        sums = (self._losses, self._tiers, self._rescored, self._left_out)
        return Tracks(self._floor, *kept, *counts, *sums, self._limits, self._base_limits)

    def _add(self, place: int, code: np.ndarray, near_end: np.ndarray, scores: np.ndarray) -> None:
        self._positions[place] += len(code)
        self._positions_near_end[place] += near_end.sum()
        for column in range(len(SITES)):
            self._add_losses(place, column, code == column + 1, scores[:, column])
        for number, low in enumerate(LOWS):
            self._rescored[number] += Band(low, np.inf).holds(scores[0], self._score_floor).sum()
        kept = _worth_keeping(code, scores, self._floor)
        gene = np.full(kept.sum(), place, np.int32)
        self._keep(gene, code[kept], near_end[kept], scores[:, :, kept])

    def _add_losses(self, place: int, column: int, y: np.ndarray, scores: np.ndarray) -> None:
        for number, score in enumerate(scores):
            losses = _loss_sums(y, score, max(self._score_floor, CLIP))
            self._losses[place, :, number, column] += losses

    def _count_calls(self, tiers: np.ndarray, counted: np.ndarray, scores: np.ndarray) -> None:
        cells = self._tiers.shape[2:]
        for column, name in enumerate(SITES):
            base, model = scores[:, column]
            own = 8 * tiers[column] + 4 * counted + called(model, self._limits[name])
            for number, limits in enumerate(self._base_limits.values()):
                cell = own + 2 * called(base, limits[name])
                found = np.bincount(cell, minlength=int(np.prod(cells)))
                self._tiers[number, column] += found.reshape(cells)

    def _keep(self, *columns: np.ndarray) -> None:
        """Keep positions: gene, class, nearness to an end, scores.

        If there are too many, the floor rises and the lowest are dropped. The floor depends on the
        number of positions above it, and not on the order of the genes.
        """
        self._kept.append(columns)
        self._n_kept += int((columns[1] == 0).sum())
        while self._n_kept > MOST_KEPT and self._floor < THRESHOLD:
            self._floor = min(2 * self._floor, THRESHOLD)
            joined = self._joined()
            kept = _worth_keeping(joined[1], joined[3], self._floor)
            self._kept = [tuple(values[..., kept] for values in joined)]
            self._n_kept = int((joined[1][kept] == 0).sum())

    def _joined(self) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(c, axis=-1) for c in zip(*self._kept, strict=True))


def _worth_keeping(code: np.ndarray, scores: np.ndarray, floor: float) -> np.ndarray:
    return (code > 0) | (scores >= floor).any(axis=(0, 1))


def _loss_sums(y: np.ndarray, score: np.ndarray, clip: float) -> tuple[float, float]:
    """Sums of the `LOSSES` in float64, with the natural logarithm."""
    p = score.astype(np.float64)
    bounded = np.clip(p, clip, 1 - clip)
    log_loss = -np.log1p(-bounded[~y]).sum() - np.log(bounded[y]).sum()
    return log_loss, np.square(p - y).sum()
