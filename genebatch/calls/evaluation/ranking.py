"""Ranks the positions of complete tracks; positions below the floor count as one entry a group."""

from typing import NamedTuple

import numpy as np

from genebatch.calls.evaluation.counts import Tracks
from genebatch.calls.evaluation.reading import CANDIDATES
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import THRESHOLD, top_k
from genebatch.metrics.ranking import last_of_ties


class Ranking(NamedTuple):
    """The ranking of one class.

    Has one entry for each position that is a site of the class or that a candidate scores above
    the floor, and one entry for all other positions of a group.

    Attributes
    ----------
    y
        (n,) bool, whether a site of the class.
    score
        Candidate to (n,) scores in [0, 1]; see `bounded`.
    group
        (n,) place of the group.
    weight
        (n,) number of positions that the entry stands for.
    """

    y: np.ndarray
    score: dict[str, np.ndarray]
    group: np.ndarray
    weight: np.ndarray


def bounded(score: np.ndarray, y: np.ndarray, floor: float) -> np.ndarray:
    """Float64 scores; those below the floor become 0 for sites and half the floor for others.

    The order of positions below the floor is not known, so sites rank last.
    """
    return np.where(score >= floor, score, np.where(y, 0.0, floor / 2)).astype(np.float64)


def rank(
    tracks: Tracks,
    groups: np.ndarray,
    name: str,
    rescored: np.ndarray | None = None,
    near_end: bool | None = None,
) -> Ranking:
    """Make the ranking of the class `name`.

    Parameters
    ----------
    tracks
        The counts.
    groups : (genes,) int
        Place of each gene's group.
    name
        The class.
    rescored : (n,) bool, optional
        Kept positions with the model's score; the others have the base score instead.
    near_end
        True for only the positions within `counts.NEAR_END` nt of an end of their gene, False for
        only the others; all by default.
    """
    column = SITES.index(name)
    y, floor = tracks.code == column + 1, tracks.floor
    scores = dict(zip(CANDIDATES, tracks.scores[:, column], strict=True))
    if rescored is not None:
        scores["model"] = np.where(rescored, scores["model"], scores["base"])
    own = y | np.any([score >= floor for score in scores.values()], axis=0)
    positions = tracks.positions
    if near_end is not None:
        own &= tracks.near_end == near_end
        outer = tracks.positions_near_end
        positions = outer if near_end else positions - outer
    group = groups[tracks.gene[own]]
    n_groups = int(groups.max()) + 1
    rest = np.bincount(groups, positions) - np.bincount(group, minlength=n_groups)
    tail = np.full(n_groups, floor / 2)
    return Ranking(
        np.append(y[own], np.zeros(n_groups, bool)),
        {name: np.append(bounded(s[own], y[own], floor), tail) for name, s in scores.items()},
        np.append(group, np.arange(n_groups)),
        np.append(np.ones(len(group)), rest),
    )


def top_k_by_gene(tracks: Tracks, name: str) -> dict[str, np.ndarray]:
    """`metrics.top_k` of each gene by candidate, (genes,); 0 if the gene has no site.

    Adds as many positions below the floor as could come among the k best of the gene.
    """
    column, floor = SITES.index(name), tracks.floor
    y = tracks.code == column + 1
    scores = [bounded(score, y, floor) for score in tracks.scores[:, column]]
    starts = np.searchsorted(tracks.gene, np.arange(len(tracks.positions) + 1))
    hits = {candidate: np.zeros(len(tracks.positions)) for candidate in CANDIDATES}
    for place in np.unique(tracks.gene[y]):
        own = slice(starts[place], starts[place + 1])
        joined = min(int(y[own].sum()), int(tracks.folded[place]))
        labels = np.append(y[own], np.zeros(joined, bool))
        for candidate, score in zip(CANDIDATES, scores, strict=True):
            padded = np.append(score[own], np.full(joined, floor / 2))
            hits[candidate][place] = top_k(labels, padded, groups=np.zeros(len(labels))).value
    return hits


class PrecisionAtRecall:
    """Precision of each candidate at the recall of the base scores from 0.5 on.

    Each candidate calls the fewest positions, tied ones together, that hold at least as many
    sites. So do the base scores, or only the model would profit from ending its calls with a site.

    Parameters
    ----------
    ranking
        Of one class. Holds 50 bytes per entry.
    """

    def __init__(self, ranking: Ranking):
        called = ranking.y & (ranking.score["base"] >= THRESHOLD)
        self._hits = np.bincount(ranking.group, called, int(ranking.group.max()) + 1)
        self._falling = {}
        for candidate, score in ranking.score.items():
            order = np.argsort(-score, kind="stable")
            last = last_of_ties(score[order])
            columns = (values[order] for values in (ranking.y, ranking.group, ranking.weight))
            self._falling[candidate] = (last, *columns)

    def __call__(self, times: np.ndarray) -> dict[str, float]:
        """Precision by candidate, with each group counted `times`, (groups,).

        NaN if the base scores find no site.
        """
        target = times @ self._hits
        if not target > 0:
            return dict.fromkeys(self._falling, np.nan)
        precision = {}
        for candidate, (last, y, group, weight) in self._falling.items():
            mass = weight * times[group]
            hits = np.cumsum(mass * y)[last]
            place = np.searchsorted(hits, target)
            precision[candidate] = float(hits[place] / mass[: last[place] + 1].sum())
        return precision
