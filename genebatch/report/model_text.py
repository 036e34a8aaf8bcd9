"""Describes a model file in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from genebatch.config.base_models import ToldModels
from genebatch.io.files import first_names
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import recorded_sample


def base_models(sequence: Mapping[str, Any]) -> list[str]:
    """Names of the base models of a built table, the first in front; empty where it has one."""
    first, further = ToldModels.of(sequence)
    return [first, *further] if further else []


def model_lines(model: EnsembleModel) -> Iterator[str]:
    """Describe a model line by line: its kind, combiner, classes, features and members."""
    final = model.facts.get("final")  # the model of a single batch has none
    yield f"final model: {final}" if final else "not a final model"
    yield _members_text(model)
    if model.missing_batches:
        yield f"not trained, and missing in the ensemble: {', '.join(model.missing_batches)}"
    yield f"combiner: {_combiner_text(model)}"
    if model.fold_boosters or "no_std" in model.facts:
        yield f"predict_std: {model.spread}"
    sample = recorded_sample(model)
    if sample is not None:
        yield f"scored by all members of the ensemble: {sample}"
    yield f"classes: {', '.join(model.classes)}"
    counts, offered = int((model.used >= model.features.n_dense).sum()), len(model.features.names)
    yield (
        f"features: {model.n_features_in_} of the {offered} offered in training, of which {counts} "
        "are counts (absent means zero)"
    )
    for name, categories in model.categories_.items():
        yield f"category {name}: {len(categories)} known ({first_names(categories)})"
    sequence = model.facts.get("sequence") or {}
    named = base_models(sequence)
    if named:
        yield f"base models: {', '.join(named)} (boosters start from the first)"
    tracks = sequence.get("tracks", {})
    if tracks:
        named = ", ".join(f"{name} ({told['kind']})" for name, told in tracks.items())
        yield f"tracks of evidence: {named}"
    start = "zero" if model.scores is None else ", ".join(model.scores.values())
    yield f"boosters start from: {start}"
    for number in range(len(model.members)):
        yield _member_text(model, number)


def _members_text(model: EnsembleModel) -> str:
    count, given = len(model.members), len(model.members)
    joined = model.facts.get("final") == "both"
    if "batches" in model.facts and model.facts.get("final") in ("ensemble", "both"):
        given = len(model.facts["batches"]) - len(model.missing_batches) + joined
    source = f"{given - joined} batches{' and the single model' * joined}"
    others = f" of {source}, the others without weight" * (given > count)
    return f"{count} member{'s' * (count > 1)}{others}, {model.n_trees:,} trees in all"


def _combiner_text(model: EnsembleModel) -> str:
    """Describe the combiner; the weights that it learned stand beside the members."""
    name, parameters = model.combiner["name"], model.combiner["parameters"]
    if len(model.members) == 1 and not parameters:
        return "none, since there is one member"
    if name == "routed":
        reach = parameters["reach"]
        near = "all equal" if reach is None else f"by nearness of a row, reach {reach:.3g}"
        return f"routed, members weighted {near}"
    if "weights" not in parameters:
        return f"{name}, every member {1 / len(model.members):.3g}"
    added = "/".join(f"{value:.3g}" for value in parameters["intercept"])
    return f"{name}, intercepts {added}"


def _member_text(model: EnsembleModel, number: int) -> str:
    member, weights = model.members[number], model.combiner["parameters"].get("weights")
    trees = "/".join(str(booster.num_boosted_rounds()) for booster in member.boosters)
    methods = "/".join(calibrator.method for calibrator in member.calibrators)
    shares = weights and "/".join(f"{of_class[number]:.3g}" for of_class in weights)
    return (
        f"  {member.name}: {len(member.groups):,} groups, {member.facts['rows']:,} rows, "
        f"trees {trees}, calibrators {methods}{f', weights {shares}' if shares else ''}"
    )
