"""Learns every combiner from held-out scores, and puts the models of the batches together."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Combining
from genebatch.dataset.row_file import GENES, joined_facts
from genebatch.model.combiners import COMBINERS, HeldOut, Parameters, combine
from genebatch.model.ensemble import EQUAL, EnsembleModel, merge
from genebatch.model.held_out import Scores, score_series

log = logging.getLogger(__name__)

OF_ONE = (GENES, "thresholds", "base_thresholds")  # facts that hold for one batch's rows alone


class Learned(NamedTuple):
    """Parameters of every combiner: learned from all rows, and for each fold without its rows."""

    whole: dict[str, Parameters]
    by_fold: dict[int, dict[str, Parameters]]


def join_members(
    models: Mapping[str, EnsembleModel],
    missing: Sequence[str] = (),
    missing_weight: np.ndarray | None = None,
) -> EnsembleModel:
    """Put the members of all batches into one model, which has no combiner of its own yet.

    Parameters
    ----------
    models
        The models of the batches.
    missing
        Batches of the plan without a model, which the ensemble goes without and names. Combiners
        are learned from their rows too, so it then does not know all genes it was trained on.
    missing_weight
        (classes,) weights of the classes' rows in them, which count in the shares that combiners
        learn.
    """
    ordered = [models[name] for name in sorted(models)]
    facts = {name: fact for name, fact in ordered[0].facts.items() if name not in OF_ONE}
    facts |= joined_facts(model.facts for model in ordered)
    if missing:
        facts.pop(GENES, None)
    joined = merge(ordered, EQUAL, facts | {"missing_batches": sorted(missing)})
    if missing_weight is None:
        return joined
    weight = joined.learned_weight + missing_weight
    return replace(joined, class_weight=tuple(weight.tolist()))


def learn_combiners(held_out: HeldOut, settings: Combining, routed: bool) -> Learned:
    """Learn each combiner once from all rows, and once for every fold from the other folds.

    The model gets the first. The others give the scores by which the combiner is judged. Holds the
    scores with what the optimiser needs for one class.

    Parameters
    ----------
    held_out
        Scores of rows by members that never saw their group.
    settings
        The section `ensemble`.
    routed
        Whether batches are of similar groups, so that rows can be routed.
    """
    return learn(held_out, settings, [name for name in COMBINERS if name != "routed" or routed])


def learn(held_out: HeldOut, settings: Combining, names: Sequence[str]) -> Learned:
    """Learn some combiners; see `learn_combiners`."""
    whole = {name: COMBINERS[name].fit(held_out, settings) for name in names}
    by_fold = {
        int(number): {
            name: COMBINERS[name].fit(held_out.take(held_out.folds != number), settings)
            for name in names
        }
        for number in np.unique(held_out.folds)
    }
    log.info("learned from %s rows: %s", f"{len(held_out.codes):,}", ", ".join(names))
    return Learned(whole, by_fold)


def with_combiner(
    model: EnsembleModel, name: str, parameters: Mapping[str, Parameters]
) -> EnsembleModel:
    """The model with one of the combiners."""
    return replace(model, combiner={"name": name, "parameters": parameters[name]})


def with_routing(
    whole: Mapping[str, Parameters], routing: Mapping[str, Any] | None
) -> dict[str, Parameters]:
    """Parameters of every combiner; those of `routed` with what distances are measured by."""
    return {name: found | routing if name == "routed" else found for name, found in whole.items()}


def combined_scores(
    parts: Iterable[Scores], model: EnsembleModel, learned: Learned
) -> Iterator[pl.DataFrame]:
    """Combine the scores of every row by parameters that were learned without the row's fold.

    Yields
    ------
    polars.DataFrame
        The rows with their identity, and for every combiner and class the probability
        `{combiner}:{class}`, float32.
    """
    for scores in parts:
        shape = (scores.rows.height, len(learned.whole), len(model.classes))
        combined = np.empty(shape)
        fold = scores.rows["fold"].to_numpy()
        for number in np.unique(fold).tolist():
            rows = fold == number
            near = None if scores.distance is None else scores.distance[rows]
            # A fold that has no rows in the sample taught nothing, so all was learned without it.
            parameters = learned.by_fold.get(number, learned.whole)
            for place, (name, values) in enumerate(parameters.items()):
                combined[rows, place] = combine(
                    name, values, scores.log_odds[rows], near, model.rest
                )
        yield scores.rows.hstack(score_series(learned.whole, model.classes, combined))
