"""Measures how much of the members' loss is their disagreement."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import log_expit, logsumexp

from genebatch.io.files import InputError
from genebatch.metrics.binary import CLIP

LIMIT = float(np.log1p(-CLIP) - np.log(CLIP))  # log-odds at which a log loss is clipped


class Decomposition(NamedTuple):
    """The members' losses on rows, and the part of it that is their disagreement.

    Attributes
    ----------
    member_loss
        (rows,) mean over the members of the log loss in nats.
    ambiguity
        (rows,) what is left of it when the log loss of the members' mean is taken away; never
        below zero. None of a single member.
    disagreement
        (rows,) chance that two of the members, drawn without replacement, call different classes.
        None of a single member.
    """

    member_loss: np.ndarray
    ambiguity: np.ndarray | None
    disagreement: np.ndarray | None


def decompose(margins: Iterable[np.ndarray], codes: np.ndarray) -> Decomposition:
    """Split the mean loss of the members into that of their mean and their ambiguity.

    Members are trained on different genes of the same kind, so what differs between them is due to
    the genes that each happened to have. The ambiguity (Krogh and Vedelsby 1995, Advances in
    Neural Information Processing Systems 7:231) measures it; for
    the log loss the mean is the geometric one, divided by its sum over classes, which for two
    classes is the mean of the log-odds, and the ambiguity is the mean over members of the
    Kullback-Leibler divergence of the mean from the member (Heskes 1998, Neural Computation
    10:1425). It does not depend on the label. What all members get wrong alike is not in it, and
    more data may lower that too, where regularisation holds all members back
    (benchmarks/gene_ranks.md).

    Parameters
    ----------
    margins
        For each member (rows, classes) log-odds of each class against the rest. The sigmoids are
        divided by their sum over classes, as those of a model are. Log-odds beyond those at which
        a log loss is clipped (+-20.7) count as these.
    codes
        (rows,) class of each row.

    Raises
    ------
    InputError
        If a log-odds is NaN.

    Notes
    -----
    Goes through the members one by one. Holds some ten float64 arrays of (rows, classes), however
    many members there are.
    """
    rows = np.arange(len(codes))
    total: np.ndarray | float = 0.0
    votes: np.ndarray | float = 0.0
    loss: np.ndarray | float = np.zeros(len(codes))
    n_members = 0
    for margin in margins:
        logs = log_probabilities(margin)
        called = np.zeros(logs.shape)
        called[rows, logs.argmax(axis=1)] = 1
        total, votes, loss = total + logs, votes + called, loss - logs[rows, codes]
        n_members += 1
    loss = loss / n_members
    if n_members == 1:
        return Decomposition(loss, None, None)
    # Rounding may leave a sum of 1 + 1e-16 where all members agree.
    ambiguity = np.maximum(0.0, -logsumexp(total / n_members, axis=1))
    same = (votes * (votes - 1)).sum(axis=1) / (n_members * (n_members - 1))
    return Decomposition(loss, ambiguity, 1 - same)


def log_probabilities(margin: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of each class, both (rows, classes)."""
    margin = np.asarray(margin, dtype=np.float64)
    if np.isnan(margin).any():
        raise InputError(f"{int(np.isnan(margin).sum()):,} log-odds are NaN")
    logs = log_expit(np.clip(margin, -LIMIT, LIMIT))
    return logs - logsumexp(logs, axis=1, keepdims=True)
