"""Everything that is judged on the test groups, and what it says of their rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.dataset.columns import described, read_groups
from genebatch.dataset.rows import identity_columns, row_columns
from genebatch.io.files import InputError, read_json
from genebatch.model import combiners
from genebatch.model.ensemble import EnsembleModel, load_model, used_at
from genebatch.model.held_out import RIVALS

FINAL = "model"  # the finished model, whichever of the others it is
MEMBER = "member "  # prefix of the models of single batches


class Judged(NamedTuple):
    """What every system says of some rows.

    Attributes
    ----------
    rows
        Identity columns.
    systems
        Name to (rows, classes) float32 probabilities: `model` first, then the combiners, the
        rivals of the ensemble that were trained, and the members.
    deviation
        (rows, classes), of the final model's members.
    """

    rows: pl.DataFrame
    systems: dict[str, np.ndarray]
    deviation: np.ndarray


class Systems(NamedTuple):
    """The models that are judged together.

    Attributes
    ----------
    final
        The finished model.
    ensemble
        All batches' models.
    combiners
        Name to parameters of every combiner.
    rivals
        Name to model of those that are no ensemble.
    """

    final: EnsembleModel
    ensemble: EnsembleModel
    combiners: dict[str, dict[str, Any]]
    rivals: dict[str, EnsembleModel]

    @property
    def models(self) -> dict[str, EnsembleModel]:
        """Every model by what messages call it."""
        return {"the model": self.final, "the ensemble": self.ensemble, **self.rivals}

    def predict(self, frame: pl.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Probabilities of every system, and the final model's deviation."""
        final = self.final.frame_predictions(frame)
        log_odds = self.ensemble.frame_log_odds(frame)
        found = {FINAL: final.probability}
        for name, parameters in self.combiners.items():
            model = replace(self.ensemble, combiner={"name": name, "parameters": parameters})
            found[name] = model.combine(log_odds, model.distance(frame))
        for name, model in self.rivals.items():
            found[name] = model.frame_predictions(frame).probability
        for number, member in enumerate(self.ensemble.members):
            found[MEMBER + member.name] = combiners.to_probabilities(
                log_odds[:, number], self.ensemble.rest
            )
        return found, final.deviation


def load_systems(inputs: Mapping[str, Any], threads: int) -> Systems:
    """Read the finished model, the ensemble with all combiners, and the trained rivals."""
    final = load_model(inputs["model"], threads=threads)
    shares = final.prevalence

    def read(key: str) -> EnsembleModel:
        return used_at(load_model(inputs[key], threads=threads), shares)

    known = read_json(inputs["combiners"])
    ensemble = read("ensemble")
    if known["members"] != [member.name for member in ensemble.members]:
        raise InputError(
            f"{inputs['combiners']} is not of the members of {inputs['ensemble']}; delete "
            "results/ensemble and run again"
        )
    rivals = {name: read(name) for name in RIVALS if inputs.get(name)}
    return Systems(final, ensemble, known["combiners"], rivals)


def predict_groups(
    systems: Systems, profile: Mapping[str, Any], genes: pl.DataFrame, dataset: Mapping[str, Any]
) -> Judged:
    """What every system says of the rows of some groups.

    Streams the rows; holds the identity columns and 4 bytes x rows x classes of each system.
    """
    roles, shards = described(profile)
    rows, found, deviation = [], [], []
    columns = row_columns(systems.ensemble.features, roles)
    for frame in read_groups(shards, genes, columns, roles.group):
        rows.append(identity_columns(frame, roles, dataset))
        probability, spread = systems.predict(frame)
        found.append({name: part.astype(np.float32) for name, part in probability.items()})
        deviation.append(spread)
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Judged(pl.concat(rows), joined, np.concatenate(deviation))
