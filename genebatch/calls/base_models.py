"""Finds the scores that a model needs among those of several base models."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from genebatch.calls.told_columns import asked_for, check_made
from genebatch.config.base_models import BaseModels, ToldModels
from genebatch.features.further_scores import further_columns
from genebatch.features.positions import Spec
from genebatch.io.files import InputError

log = logging.getLogger(__name__)

SCORES_KEY = "sequence.scores or --scores"


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
    first, further = ToldModels.of(sequence)
    needed = asked_for(further, columns)
    spec = Spec.build(sequence["features"])
    for name in needed:
        made = further_columns(name, spec)
        check_made(further[name], made, f"the base model {name!r}", model_file)
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
    known = [first, *further]
    unknown = [name for name in sources if name not in known]
    if unknown and len(sources) > 1:
        log.warning(
            "not used: the scores of %s, as %s was trained on those of %s",
            *(", ".join(map(repr, unknown)), model_file, ", ".join(map(repr, known))),
        )
    return BaseModels(start, first, {name: sources[name] for name in needed})
