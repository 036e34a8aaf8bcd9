"""Chooses the final model, and records how it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genebatch.ensemble.candidates import Candidate, compare_candidates
from genebatch.ensemble.thresholds import choose, threshold_facts
from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel, used_at
from genebatch.model.held_out import Sample

WEIGHTS = "weights"  # the value of calibration.prevalence that stands for the weighted rows


class Final(NamedTuple):
    """The final model, its thresholds, and how the candidates compare."""

    model: EnsembleModel
    thresholds: pl.DataFrame
    candidates: pl.DataFrame


def choose_final(
    candidates: Sequence[Candidate],
    final: str,
    shares: Mapping[str, float] | None,
    facts: Mapping[str, Any],
) -> Final:
    """Choose the final model among its candidates.

    The model carries the thresholds that are best on held-out scores of the training rows. See
    `thresholds.choose` and `candidates.compare_candidates` for the memory held.

    Parameters
    ----------
    candidates
        The ensemble and the models beside it.
    final
        The candidate to take, or `best`.
    shares
        Share of each class where the model will be used, or None for that of the training rows.
    facts
        What the model records of the run.
    """
    compared = compare_candidates(candidates, final)
    name = compared.filter("chosen")["candidate"].item()
    chosen = next(each for each in candidates if each.name == name)
    model = used_at(chosen.model, shares)
    # What the run says of the data set holds for more than the rows that a candidate was given.
    model = replace(model, facts={"final": name, **facts, **model.facts, **facts})
    table = choose(model, chosen.held_out, chosen.scores)
    return Final(replace(model, facts=model.facts | threshold_facts(table)), table, compared)


def run_facts(
    data: Mapping[str, Any],
    batches: pl.DataFrame,
    missing: Sequence[str],
    genes: Sequence[str] | None,
    sample: Sample | None,
) -> dict[str, Any]:
    """What the final model records of the run.

    Parameters
    ----------
    data
        What the plan says of the data set.
    batches
        The manifest.
    missing
        Batches without a model.
    genes
        Sorted ids of the genes that the model was trained on, or None where they are not known.
        Genes of a missing batch count: combiners and thresholds were learned from their rows.
    sample
        The groups that all members scored, or None where these are all.
    """
    scored = {} if sample is None else {"sample": sample._asdict()}
    return scored | {
        "data_digest": data["digest"],
        "data_rows": data["rows"],
        "data_groups": data["groups"],
        "batches": batches.select("batch", "key", "groups", "rows").to_dicts(),
        "missing_batches": list(missing),
        "identity_kinds": data.get("identity_kinds"),
        "sequence": data.get("sequence"),
        "trained_genes": None if genes is None else list(genes),
    }


def refuse_other_groups(model: EnsembleModel, groups: frozenset[str], path: str) -> None:
    """Raise unless a model was trained on the groups of all batches, missing or not."""
    if model.groups != groups:
        raise InputError(
            f"{path} was trained on {len(model.groups):,} groups, not on the "
            f"{len(groups):,} of the batches; delete it and run again"
        )


def weighted_shares(
    model: EnsembleModel, missing_weight: np.ndarray | float = 0.0
) -> dict[str, float]:
    """Share of each class in the weights of the training rows, used in training or not.

    Rows that batches share count once for each batch, as they did in training.

    Parameters
    ----------
    model
        The ensemble with all its members.
    missing_weight
        (classes,) weights of the classes' rows in batches without a model, which combiners were
        learned from.
    """
    totals = np.zeros(len(model.classes)) + missing_weight
    for member in model.members:
        weights = member.facts.get("class_weights")
        if weights is None:
            raise InputError(
                f"calibration.prevalence is {WEIGHTS}, but the rows of batch {member.name} "
                "have no weights on record; set dataset.weight, or delete the folder of a "
                "batch that an earlier version trained and run again"
            )
        totals += [weights[name] for name in model.classes]
    if not totals.all():
        name = model.classes[int(np.argmin(totals))]
        raise InputError(
            f"calibration.prevalence is {WEIGHTS}, but the training rows of '{name}' have no weight"
        )
    return dict(zip(model.classes, (totals / totals.sum()).tolist(), strict=True))
