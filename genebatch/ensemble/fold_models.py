"""Keeps the models of the folds in a model of one member, so that their spread is known."""

from collections.abc import Sequence
from dataclasses import replace

from genebatch.model.ensemble import EnsembleModel, Member


def with_folds(model: EnsembleModel, folds: Sequence[Member]) -> EnsembleModel:
    """Give a model of one member with the boosters of its folds.

    Parameters
    ----------
    model
        Of one member.
    folds
        A member for each fold of its cross-validation; none where there was none. Of one fold
        nothing is kept: a single model has no spread.
    """
    (member,) = model.members
    if len(folds) < 2:
        reason = "it has no models of folds"
        if folds:
            reason = "one fold was held out (single.n_splits), and one model has no spread"
        return replace(model, facts=model.facts | {"no_std": reason})
    kept = member._replace(folds=tuple(fold.boosters for fold in folds))
    return replace(model, members=(kept,))
