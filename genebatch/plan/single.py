"""Tells what a plan means for the single model: its held-out folds, and whether it is trained."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genebatch.config.settings import SingleModel

ONE_BATCH = "there is one batch, and its model is the model of all rows"


def held_out_folds(
    manifest: Iterable[Mapping[str, Any]], single: SingleModel, uncertainty: bool
) -> range:
    """Give the folds that are held out of the single model in turn.

    Parameters
    ----------
    manifest
        The lines of the plan's manifest. A group of several batches counts once for each of them.
    single, uncertainty
        Settings.
    """
    sizes = [(int(line["groups"]), int(line["folds"])) for line in manifest]
    groups, folds = zip(*sizes, strict=True)
    return range(single.folds(sum(groups), max(folds), uncertainty))


def final_of(final: str, n_batches: int) -> str:
    """Give the candidate that `final` asks for; with one batch its model is the single model."""
    return "ensemble" if n_batches == 1 and final in ("single", "both") else final


def left_out_with(reason: str | None, beside: Sequence[str]) -> dict[str, str]:
    """Give the candidates beside the ensemble that are left out with the single model, and why.

    Parameters
    ----------
    reason
        Why the single model is not trained; None if it is.
    beside
        The candidates that the settings ask for.
    """
    names = {"single", "both"}.intersection(beside)
    return {} if reason is None else dict.fromkeys(sorted(names), reason)
