"""Predicts the rows of the test groups by every model that is compared."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.row_file import Rows
from genebatch.model import combiners
from genebatch.model.ensemble import EnsembleModel

FINAL = "model"  # the finished model, whichever of the others it is
MEMBER = "member "  # prefix of the models of single batches


class Predictions(NamedTuple):
    """What every compared model says of some rows.

    Attributes
    ----------
    rows
        Identity columns.
    systems
        Name to (rows, classes) float32 probabilities: `model` first, then the combiners, the
        candidates beside the ensemble, and the members.
    deviation
        (rows, classes), of the final model's members.
    """

    rows: pl.DataFrame
    systems: dict[str, np.ndarray]
    deviation: np.ndarray


class Compared(NamedTuple):
    """The models that are compared.

    Attributes
    ----------
    final
        The finished model.
    ensemble
        All batches' models.
    combiners
        Name to parameters of every combiner.
    alone
        Name to model of the candidates beside the ensemble.
    """

    final: EnsembleModel
    ensemble: EnsembleModel
    combiners: dict[str, dict[str, Any]]
    alone: dict[str, EnsembleModel]

    @property
    def models(self) -> dict[str, EnsembleModel]:
        """Every model by what messages call it."""
        return {"the model": self.final, "the ensemble": self.ensemble, **self.alone}

    @property
    def columns(self) -> set[str]:
        """Columns that some model needs."""
        routed = self.combiners.get("routed", {"columns": []})["columns"]
        return {name for model in self.models.values() for name in model.columns_in_}.union(routed)

    def predict(self, frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Probabilities by every model, and the final model's deviation."""
        final = self.final.frame_predictions(frame)
        log_odds = self.ensemble.frame_log_odds(frame)
        probability = {FINAL: final.probability}
        for name, parameters in self.combiners.items():
            model = replace(self.ensemble, combiner={"name": name, "parameters": parameters})
            probability[name] = model.combine(log_odds, model.distance(frame))
        for name, model in self.alone.items():
            probability[name] = model.frame_predictions(frame).probability
        for number, member in enumerate(self.ensemble.members):
            probability[MEMBER + member.name] = combiners.to_probabilities(
                log_odds[:, number], self.ensemble.rest
            )
        return probability, final.deviation


def predict_rows(compared: Compared, parts: Iterable[Rows]) -> Predictions:
    """Predict rows by every model.

    Streams the rows; holds the identity columns and 4 bytes x rows x classes of each model.
    """
    rows, probabilities, deviation = [], [], []
    for part in parts:
        rows.append(part.identity.drop("fold"))
        probability, spread = compared.predict(part.features)
        probabilities.append({name: p.astype(np.float32) for name, p in probability.items()})
        deviation.append(spread)
    names: Mapping[str, Any] = probabilities[0]
    joined = {name: np.concatenate([part[name] for part in probabilities]) for name in names}
    return Predictions(pl.concat(rows), joined, np.concatenate(deviation))
