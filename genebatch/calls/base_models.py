"""Finds the scores that a model needs among those of several base models."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from genebatch.config.base_models import BaseModels
from genebatch.features.further_scores import further_columns
from genebatch.features.positions import Spec
from genebatch.io.files import InputError

SCORES_KEY = "sequence.scores or --scores"


def further_names(sequence: Mapping[str, Any]) -> dict[str, list[str]]:
    """Columns of every further base model, by the facts of a table or of a model."""
    return sequence.get("base_models", {}).get("further", {})


def scores_for(
    sequence: Mapping[str, Any],
    columns: Collection[str],
    given: BaseModels,
    model_file: str | Path,
    key: str = SCORES_KEY,
) -> BaseModels:
    """The scores that a model needs: of the first base model, and of others that trees split on.

    Base models are told apart by their names, so their order does not matter here. A model of one
    base model without a name takes whatever scores are given alone.

    Parameters
    ----------
    sequence
        How the features of the model are made, from its file.
    columns
        The columns that the model asks for.
    given
        The scores of the genome.
    model_file
        For messages.
    key
        The config key or flag of the scores.

    Raises
    ------
    InputError
        If needed scores are not given, if it is not clear which are those of the first base model,
        or if this version makes other columns of them.
    """
    first = sequence.get("base_models", {}).get("first", "")
    needed = {
        name: told
        for name, told in further_names(sequence).items()
        if set(columns).intersection(told)
    }
    spec = Spec.build(sequence["features"])
    for name, told in needed.items():
        if list(further_columns(name, spec)) != list(told):
            raise InputError(
                f"{model_file} needs other columns of the base model {name!r} than this version "
                "makes: train again, or install the version of genebatch that model.json in the "
                "model file names"
            )
    sources = given.sources
    if len(sources) == 1 and not (given.name and first and given.name != first):
        start = given.first
    elif first in sources:
        start = sources[first]
    else:
        wanted = f"the base model {first!r}" if first else "one base model, which has no name"
        raise InputError(
            f"{model_file} was trained on the scores of {wanted}, and the scores given are of "
            f"{', '.join(map(repr, sources))}; set {key} to those that it was trained on"
        )
    missing = [name for name in needed if name not in sources]
    if missing:
        names = ", ".join(map(repr, missing))
        raise InputError(
            f"{model_file} was trained with the scores of the base model {names} too, which are "
            f"not given; set {key} to those of each: NAME: scores, {first or 'FIRST'} in front"
        )
    return BaseModels(start, first, {name: sources[name] for name in needed})
