"""Deals training groups into batches, by one of several strategies."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from genebatch.config.settings import Batching
from genebatch.groups import deal, hashed, measures

# Begins the names of a group's standardised features in the table of groups.
SIMILAR = "similar."
# Smaller differences are ties, so that the order in which rows were summed decides nothing.
# Features of groups are float32 and have about seven digits.
AXIS_DECIMALS = 5
SHARE_DECIMALS = 9


def balanced(groups: pl.DataFrame, n_batches: int, batching: Batching) -> np.ndarray:
    """Batches with equal rows, equal rows of every class and equal numbers of groups."""
    return deal(
        groups["group"].to_list(),
        measures(groups),
        np.ones(n_batches),
        batching.seed,
        max_groups=max(batching.max_groups, math.ceil(groups.height / n_batches)),
    )


def by_size(groups: pl.DataFrame, n_batches: int, batching: Batching) -> np.ndarray:
    """Batches of consecutive group sizes, smallest groups first.

    A batch is full at `max_groups` groups, at `max_rows` rows or at an equal share of the rows that
    are left, whichever comes first, so the first batches hold many small groups and the last few
    large ones. Without `max_rows` there are at most `n_batches`, or what `max_groups` asks for.
    """
    most_rows = batching.max_rows or math.inf
    ties = np.array([hashed(name, batching.seed) for name in groups["group"]])
    rows = groups["rows"].to_numpy().astype(int)
    order = np.lexsort((ties, rows))
    parts = np.empty(groups.height, int)
    start = batch = 0
    while start < len(order):
        coming = rows[order[start:]]
        batches_left = max(n_batches - batch, math.ceil(len(coming) / batching.max_groups))
        total = np.cumsum(coming)
        # A group across the end of the share goes to the side of its larger part.
        fitting = (total - coming / 2 <= total[-1] / batches_left) & (total <= most_rows)
        end = start + max(min(int(fitting.sum()), batching.max_groups), 1)
        parts[order[start:end]] = batch
        start, batch = end, batch + 1
    return parts


def similar(groups: pl.DataFrame, n_batches: int, batching: Batching) -> np.ndarray:
    """Batches of groups that are alike, with about equal rows.

    Groups are cut in two along the first principal component of their features, and each side
    again until there are as many parts as batches (principal direction divisive partitioning,
    Boley 1998). A cut shares the rows as the batches on its two sides are shared, as near as
    `min_groups` and `max_groups` allow. Ties along a component go by name; labels play no part.

    Parameters
    ----------
    groups
        The table of groups with the standardised features of each group as `similar.{column}`.
    n_batches, batching
        As for every strategy.
    """
    ordered = groups.with_row_index("place").sort("group")
    vectors = ordered.select(pl.col(r"^(?s)similar\..*$").cast(pl.Float64)).to_numpy()
    rows, place = ordered["rows"].to_numpy().astype(float), ordered["place"].to_numpy()
    fewest, most = _group_limits(groups.height, n_batches, batching)
    parts = np.empty(groups.height, int)
    pending = [(np.arange(groups.height), 0, n_batches)]
    while pending:
        members, first, n_parts = pending.pop()
        if n_parts == 1:
            parts[place[members]] = first
            continue
        left, right = n_parts // 2, n_parts - n_parts // 2
        members = members[np.lexsort((members, _along_principal_axis(vectors[members])))]
        low = max(left * fewest, len(members) - right * most)
        high = min(left * most, len(members) - right * fewest)
        cut = _nearest_cut(rows[members], left / n_parts, low, high)
        pending.append((np.sort(members[:cut]), first, left))
        pending.append((np.sort(members[cut:]), first + left, right))
    return parts


def adaptive(groups: pl.DataFrame, n_batches: int, batching: Batching) -> np.ndarray:
    """Batches of equal complexity, the most complex groups first, hence in the smallest batches.

    Each batch takes the next groups up to an equal share of the complexity that is left, as near
    as `min_groups` and `max_groups` allow. There are more than `n_batches` where `max_groups` would
    otherwise make a batch hold more than its share. Ties go by name.
    """
    complexities = complexity(groups)
    by_name = groups["group"].rank("ordinal").to_numpy()
    order = np.lexsort((by_name, -np.round(complexities, SHARE_DECIMALS)))
    most_batches = max(groups.height // max(batching.min_groups, 1), n_batches)
    for number in range(n_batches, most_batches + 1):
        sizes = _falling_sizes(complexities[order], number, batching)
        if not _crowded(complexities[order], sizes, batching):
            break
    parts = np.empty(groups.height, int)
    parts[order] = np.repeat(np.arange(len(sizes)), sizes)
    return parts


STRATEGIES: dict[str, Callable[[pl.DataFrame, int, Batching], np.ndarray]] = {
    "balanced": balanced,
    "size": by_size,
    "similarity": similar,
    "adaptive": adaptive,
}


def complexity(groups: pl.DataFrame) -> np.ndarray:
    """Share of the whole difficulty that is in each group; sums to 1.

    The mean of up to three shares of the group in the total of all groups:

    - of the rows;
    - of the rows of the rare classes, every class but the most frequent: the mean of the shares
      in each of them;
    - of the base model's log loss (`base_log_loss`), where there are base scores.

    A share is left out if its total is zero.

    Parameters
    ----------
    groups
        The table of groups, of training groups.

    Returns
    -------
    numpy.ndarray
        (groups,) float64.
    """
    counts = groups.select(pl.col("^n_.*$").cast(pl.Float64)).to_numpy()
    rare = np.delete(counts, np.argmax(counts.sum(axis=0)), axis=1)
    rare = rare[:, rare.sum(axis=0) > 0]
    terms = [groups["rows"].to_numpy().astype(float)]
    if rare.shape[1]:
        terms.append((rare / rare.sum(axis=0)).mean(axis=1))
    # Null where there are no base scores.
    terms += [loss.to_numpy() for loss in groups.select("^base_log_loss$") if not loss.null_count()]
    return np.mean([term / term.sum() for term in terms if term.sum() > 0], axis=0)


def _group_limits(n_groups: int, n_batches: int, batching: Batching) -> tuple[int, int]:
    """Fewest and most groups of a batch, widened where so many batches need it."""
    fewest = max(min(batching.min_groups, n_groups // n_batches), 1)
    return fewest, max(batching.max_groups, math.ceil(n_groups / n_batches))


def _falling_sizes(complexities: np.ndarray, n_batches: int, batching: Batching) -> np.ndarray:
    """Groups of each batch where each takes an equal share of what is left."""
    fewest, most = _group_limits(len(complexities), n_batches, batching)
    sizes = []
    for left in reversed(range(n_batches)):
        coming = complexities[sum(sizes) :]
        low = max(fewest, len(coming) - left * most)
        high = min(most, len(coming) - left * fewest)
        sizes.append(_nearest_cut(coming, 1 / (left + 1), low, high))
    return np.array(sizes)


def _crowded(complexities: np.ndarray, sizes: np.ndarray, batching: Batching) -> bool:
    """True if max_groups forces a batch above an equal share of the complexity."""
    unlimited = replace(batching, max_groups=len(complexities))
    larger = sizes > _falling_sizes(complexities, len(sizes), unlimited)
    ends = np.cumsum(sizes)
    # Without its simplest group, since a cut may lie half a group beyond the share.
    held = np.add.reduceat(complexities, ends - sizes) - complexities[ends - 1]
    return bool((larger & (np.round(held - 1 / len(sizes), SHARE_DECIMALS) > 0)).any())


def _along_principal_axis(vectors: np.ndarray) -> np.ndarray:
    """Coordinate of each row along the direction of largest variance, (rows,), rounded."""
    centred = vectors - vectors.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    # Either direction is an eigenvector; the largest loading is made positive.
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    return np.round(centred @ axis, AXIS_DECIMALS)


def _nearest_cut(sizes: np.ndarray, share: float, low: int, high: int) -> int:
    """Number of first groups, from `low` to `high`, that comes nearest to a share of the total."""
    total = np.concatenate([[0.0], np.cumsum(sizes)])
    off = np.abs(total[low : high + 1] / total[-1] - share)
    return low + int(np.argmin(np.round(off, SHARE_DECIMALS)))
