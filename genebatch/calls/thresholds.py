"""Chooses the probability from which a position is called, for the model and the base scores."""

from collections.abc import Mapping

from genebatch.genome.genes import SITES
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel


def call_thresholds(
    model: EnsembleModel, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Probability from which a donor and an acceptor are called: as given, or else the model's.

    Raises
    ------
    InputError
        If neither the model nor the caller gives one, or if it is no probability.
    """
    of_model = model.facts.get("thresholds") or {}
    thresholds = {}
    for name in SITES:
        value = given.get(name) if given else _preferred(of_model.get(name) or {})
        if value is None:
            raise InputError(
                f"the model holds no threshold for '{name}'; give the probabilities from which "
                "donors and acceptors are called: --threshold DONOR ACCEPTOR"
            )
        if not 0 <= value <= 1:
            raise InputError(f"--threshold of {name} is {value}, wanted a probability")
        thresholds[name] = float(value)
    return thresholds


def base_call_thresholds(model: EnsembleModel) -> dict[str, float] | None:
    """Threshold of highest F1 of the base scores, for a donor and an acceptor.

    It was chosen like the model's, and holds for the same prevalence. None if the model lacks one
    of the two, as models of earlier versions do.
    """
    of_base = model.facts.get("base_thresholds") or {}
    thresholds = {name: _preferred(of_base.get(name) or {}) for name in SITES}
    return None if None in thresholds.values() else thresholds


def _preferred(kinds: Mapping[str, float | None]) -> float | None:
    """The threshold at the prevalence of the genome, or else of the rows; None without both."""
    options = (kinds.get("weighted"), kinds.get("rows"))
    return next((option for option in options if option is not None), None)
