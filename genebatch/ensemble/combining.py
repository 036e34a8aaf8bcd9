"""Every combiner, learned from the honest table and judged on groups it was not learned from."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genebatch.ensemble.batch_models import load_batches
from genebatch.io.files import write_json
from genebatch.io.tables import parquet_rows, read_tsv
from genebatch.model.combiners import COMBINERS, Parameters, combine
from genebatch.model.ensemble import EQUAL, EnsembleModel, merge
from genebatch.model.held_out import read_honest, read_scores, score_series
from genebatch.model.routing import read_routing

log = logging.getLogger(__name__)


def combine_batches(
    inputs: Mapping[str, Any],
    ensemble: Mapping[str, Any],
    use_weights: bool,
    outputs: Mapping[str, str | Path],
    missing: Sequence[str] = (),
) -> None:
    """Learn every combiner, and put the batches' models together by the one of the config.

    Each combiner is learned once from all rows, which is what the model gets, and once for every
    fold from the rows of the other folds, which is how it is judged. Holds
    `honest_rows.MOST_SCORES` scores with what the optimiser needs for one class, and all members'
    boosters.

    Parameters
    ----------
    inputs
        List of paths `models` of the batches; paths `manifest`, `plan` (batches/genes.parquet) and
        `scores` (of `cross_batch.cross_batch_scores`); where batches are of similar groups also
        `similarity` and `group_features`.
    ensemble
        Part of the config.
    use_weights
        `learner.use_weights`: whether rows count by their weights in learning.
    outputs
        Paths `model` (all members with the combiner of the config), `combiners` (JSON: parameters
        of every combiner) and `combined` (Parquet: the rows of `scores` with their identity and
        for every combiner and class the probability `{combiner}:{class}`, float32, by parameters
        that were learned without the row's fold).
    missing
        Batches of the plan without a model, which the ensemble goes without and names. Their rows
        teach the combiners all the same.
    """
    models = load_batches(inputs["models"], read_tsv(inputs["manifest"]), missing=missing)
    ordered = [models[name] for name in sorted(models)]
    everyone = merge(ordered, EQUAL, ordered[0].facts | {"missing_batches": sorted(missing)})
    routing = read_routing(inputs, sorted(models))
    honest = read_honest(inputs["scores"], inputs["plan"], everyone, use_weights)
    names = [name for name in COMBINERS if name != "routed" or routing]
    whole_fit = {name: COMBINERS[name].fit(honest, ensemble) for name in names}
    by_fold = {
        int(number): {
            name: COMBINERS[name].fit(honest.take(honest.folds != number), ensemble)
            for name in names
        }
        for number in np.unique(honest.folds)
    }
    chosen = ensemble["combiner"]
    log.info("learned from %s rows: %s", f"{len(honest.codes):,}", ", ".join(names))
    _write_combined(inputs["scores"], everyone, whole_fit, by_fold, outputs["combined"])
    parameters = {
        name: found | routing if name == "routed" else found for name, found in whole_fit.items()
    }
    write_json(outputs["combiners"], {"members": sorted(models), "combiners": parameters})
    combiner = {"name": chosen, "parameters": parameters[chosen]}
    replace(everyone, combiner=combiner).save(outputs["model"])


def _write_combined(
    path: str | Path,
    model: EnsembleModel,
    whole_fit: Mapping[str, Parameters],
    by_fold: Mapping[int, Mapping[str, Parameters]],
    out: str | Path,
) -> None:
    with parquet_rows(out) as write:
        for scores in read_scores(path, model):
            found = np.empty((scores.rows.height, len(whole_fit), len(model.classes)))
            fold = scores.rows["fold"].to_numpy()
            for number in np.unique(fold).tolist():
                rows = fold == number
                near = None if scores.distance is None else scores.distance[rows]
                # Of a fold without rows in the sample nothing was learned in the first place.
                for place, (name, parameters) in enumerate(by_fold.get(number, whole_fit).items()):
                    found[rows, place] = combine(
                        name, parameters, scores.log_odds[rows], near, model.rest
                    )
            write(scores.rows.hstack(score_series(whole_fit, model.classes, found)))
