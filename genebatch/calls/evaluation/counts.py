"""Complete tracks beside their truth, gene by gene: what their comparison is computed from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genebatch.calls.evaluation.reading import SYSTEMS
from genebatch.calls.positions_file import called
from genebatch.calls.rescoring import Band
from genebatch.features.gene_rows import Sites
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import CLIP, THRESHOLD

LOSSES = ("log_loss", "brier")
# From where the base scores call: `THRESHOLD`, as their users do, or their own best threshold.
BASE_AT = ("default", "best_f1")
# One position in some thousand is a donor, or an acceptor. Of those that a calibrated score puts
# below this, not one in ten thousand is, so whatever their order it adds less than 1e-4 to an
# average precision; above it every position is kept, of human genes one in 200.
FLOOR = 1e-4
# Positions kept, sites aside: 22 bytes each, twice while they are joined, and then 140 bytes for
# those of one class. Where a system scores more of them above the floor, the floor doubles until
# these are enough, though never beyond what the base scores call.
MOST_KEPT = 2_000_000
# Positions of a gene that are counted at once, 20 MB while they are. Sums of a gene are those of
# its stretches, so they do not depend on how the file is cut.
STRETCH = 262_144
# nt from an end of the gene model within which a position counts as near it. What a base model gets
# wrong there can be put right by knowing where the gene ends, so the two places are judged apart.
NEAR_END = 1_000
# Lower ends of the hybrid band for which its costs are shown: half decades.
LOWS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)


@dataclass(frozen=True)
class Tracks:
    """Positions of some genes, the few that ranking depends on one by one.

    Kept is every site, and every position to which a system gives one of the `SITES` at least
    `floor`. Of the others only the counts are left.

    Attributes
    ----------
    floor
        `FLOOR`, or higher where `MOST_KEPT` positions lie above that.
    gene
        (n,) place of each kept position's gene among the genes, ascending.
    code
        (n,) its class: 0 neither, 1 donor, 2 acceptor.
    near_end
        (n,) bool, whether it is within `NEAR_END` nt of an end of its gene.
    scores
        (systems, sites, n) what each of `SYSTEMS` says.
    positions
        (genes,) positions judged, kept or not.
    positions_near_end
        (genes,) those of them that are within `NEAR_END` nt of an end of the gene.
    losses
        (genes, `LOSSES`, systems, sites) sums over all of them.
    calls
        (base_thresholds, sites, 2, 2, 2) how many of them are a site (or not), called by the base
        scores (or not) and by the model (or not).
    rescored
        (`LOWS`,) how many a hybrid band from there on holds.
    left_out
        Positions that were not judged, by the reason.
    thresholds
        Probability by class from which the model calls.
    base_thresholds
        The same of the base scores, by which of `BASE_AT` they are.
    """

    floor: float
    gene: np.ndarray
    code: np.ndarray
    near_end: np.ndarray
    scores: np.ndarray
    positions: np.ndarray
    positions_near_end: np.ndarray
    losses: np.ndarray
    calls: np.ndarray
    rescored: np.ndarray
    left_out: dict[str, int]
    thresholds: dict[str, float]
    base_thresholds: dict[str, dict[str, float]]

    @property
    def folded(self) -> np.ndarray:
        """Positions of each gene that were not kept, (genes,)."""
        return self.positions - np.bincount(self.gene, minlength=len(self.positions))


class Counter:
    """Takes in whole genes and keeps of them what `Tracks` has.

    Parameters
    ----------
    n_genes
        How many genes there are.
    thresholds
        Probability from which the model calls a site.
    score_floor
        Scores below it are not told apart by the features (`sequence.Spec`), as sparse tracks
        leave them out. In the log loss both systems count as at least that and at most one less
        it, so that a site absent from a track costs as much as one that is just in it.
    base_thresholds
        Best threshold of the base scores, where it is known; their calls are counted there as well
        as from 0.5 on.
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
        self._losses = np.zeros((n_genes, len(LOSSES), len(SYSTEMS), len(SITES)))
        self._calls = np.zeros((len(self._base_limits), len(SITES), 2, 2, 2), np.int64)
        self._rescored = np.zeros(len(LOWS), np.int64)
        self._left_out = {"foreign": 0, "ambiguous": 0}

    def add(self, place: int, sites: Sites, scores: np.ndarray) -> None:
        """Take in the gene at `place`; scores are (systems, sites, length)."""
        code = np.zeros(scores.shape[2], np.int8)
        for number, positions in enumerate((sites.donors, sites.acceptors), start=1):
            code[positions] = number
        judged, places = np.ones(len(code), bool), np.arange(len(code))
        near_end = np.minimum(places, places[::-1]) < NEAR_END
        for reason in self._left_out:
            positions = getattr(sites, reason)
            judged[positions] = False
            self._left_out[reason] += len(positions)
        for start in range(0, len(code), STRETCH):
            part = start + np.flatnonzero(judged[start : start + STRETCH])
            self._add(place, code[part], near_end[part], scores[:, :, part])

    def finish(self) -> Tracks:
        """Give what was counted."""
        kept = self._joined()
        if (np.diff(kept[0]) < 0).any():
            order = np.argsort(kept[0], kind="stable")
            kept = tuple(values[..., order] for values in kept)
        counts = (self._positions, self._positions_near_end)
        sums = (self._losses, self._calls, self._rescored, self._left_out)
        return Tracks(self._floor, *kept, *counts, *sums, self._limits, self._base_limits)

    def _add(self, place: int, code: np.ndarray, near_end: np.ndarray, scores: np.ndarray) -> None:
        self._positions[place] += len(code)
        self._positions_near_end[place] += near_end.sum()
        for column, name in enumerate(SITES):
            self._count(place, column, name, code == column + 1, scores[:, column])
        for number, low in enumerate(LOWS):
            self._rescored[number] += Band(low, np.inf).holds(scores[0], self._score_floor).sum()
        kept = _worth_keeping(code, scores, self._floor)
        gene = np.full(kept.sum(), place, np.int32)
        self._keep(gene, code[kept], near_end[kept], scores[:, :, kept])

    def _count(self, place: int, column: int, name: str, y: np.ndarray, scores: np.ndarray) -> None:
        for number, score in enumerate(scores):
            losses = _loss_sums(y, score, max(self._score_floor, CLIP))
            self._losses[place, :, number, column] += losses
        base, model = scores
        known = 4 * y.astype(np.int8) + called(model, self._limits[name])
        for number, limits in enumerate(self._base_limits.values()):
            cell = known + 2 * called(base, limits[name])
            self._calls[number, column] += np.bincount(cell, minlength=8).reshape(2, 2, 2)

    def _keep(self, *columns: np.ndarray) -> None:
        """Add positions: gene, class, nearness to an end, scores.

        Of too many the lowest are folded. The floor depends on how many positions lie above it in
        all and not on when they came.
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
    """Sums of the `LOSSES`, natural logarithm, of float32 or float64 scores in float64."""
    p = score.astype(np.float64)
    bounded = np.clip(p, clip, 1 - clip)
    log_loss = -np.log1p(-bounded[~y]).sum() - np.log(bounded[y]).sum()
    return log_loss, np.square(p - y).sum()
