"""Rankings of complete tracks: what is kept of them one by one, and what the rest can change."""

from typing import NamedTuple

import numpy as np

from genebatch.calls.evaluation.counts import Tracks
from genebatch.calls.evaluation.reading import SYSTEMS
from genebatch.genome.genes import SITES
from genebatch.metrics.binary import THRESHOLD, last_of_ties, top_k


class Ranking(NamedTuple):
    """What the ranking of one class depends on.

    One entry for each position that is a site of the class or that a system scores above the
    floor, and one for all other positions of a group.

    Attributes
    ----------
    y
        (n,) bool, whether a site of the class.
    score
        System to (n,) scores in [0, 1]; see `bounded`.
    group
        (n,) place of the group.
    weight
        (n,) positions that the entry stands for.
    """

    y: np.ndarray
    score: dict[str, np.ndarray]
    group: np.ndarray
    weight: np.ndarray


def bounded(score: np.ndarray, y: np.ndarray, floor: float) -> np.ndarray:
    """Scores, float64, below the floor replaced by 0 where y and by half the floor elsewhere.

    How positions below the floor rank among each other is not known, so sites are put last.
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
        Where the model's scores count; elsewhere the base scores stand in for them.
    near_end
        True for the positions within `track_counts.NEAR_END` nt of an end of their gene alone,
        False for the others alone; by default all.
    """
    column = SITES.index(name)
    y, floor = tracks.code == column + 1, tracks.floor
    scores = dict(zip(SYSTEMS, tracks.scores[:, column], strict=True))
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
    """`metrics.top_k` of each gene by system, (genes,); 0 where the gene has no site.

    As many positions below the floor join a gene's as could come among its k best.
    """
    column, floor = SITES.index(name), tracks.floor
    y = tracks.code == column + 1
    scores = [bounded(score, y, floor) for score in tracks.scores[:, column]]
    starts = np.searchsorted(tracks.gene, np.arange(len(tracks.positions) + 1))
    found = {system: np.zeros(len(tracks.positions)) for system in SYSTEMS}
    for place in np.unique(tracks.gene[y]):
        own = slice(starts[place], starts[place + 1])
        joined = min(int(y[own].sum()), int(tracks.folded[place]))
        labels = np.append(y[own], np.zeros(joined, bool))
        for system, score in zip(SYSTEMS, scores, strict=True):
            padded = np.append(score[own], np.full(joined, floor / 2))
            found[system][place] = top_k(labels, padded, groups=np.zeros(len(labels))).value
    return found


class PrecisionAtRecall:
    """The precision of each system where it finds as many sites as the base scores from 0.5 on.

    Each calls the fewest positions, tied ones together, among which are at least as many sites; the
    base scores too, or the model alone would profit from ending its calls with a site.

    Parameters
    ----------
    ranking
        Of one class. Holds 50 bytes an entry.
    """

    def __init__(self, ranking: Ranking):
        called = ranking.y & (ranking.score["base"] >= THRESHOLD)
        self._found = np.bincount(ranking.group, called, int(ranking.group.max()) + 1)
        self._falling = {}
        for system, score in ranking.score.items():
            order = np.argsort(-score, kind="stable")
            last = last_of_ties(score[order])
            columns = (values[order] for values in (ranking.y, ranking.group, ranking.weight))
            self._falling[system] = (last, *columns)

    def __call__(self, times: np.ndarray) -> dict[str, float]:
        """Precision by system with each group counted `times`, (groups,).

        NaN where the base scores find no site.
        """
        target = times @ self._found
        if not target > 0:
            return dict.fromkeys(self._falling, np.nan)
        precision = {}
        for system, (last, y, group, weight) in self._falling.items():
            mass = weight * times[group]
            found = np.cumsum(mass * y)[last]
            place = np.searchsorted(found, target)
            precision[system] = float(found[place] / mass[: last[place] + 1].sum())
        return precision
