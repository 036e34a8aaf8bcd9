"""The final model: which one it is, what it knows of its training, and its files."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genebatch.ensemble.batch_models import refuse_other_plans
from genebatch.ensemble.candidates import Candidate, compare_candidates
from genebatch.ensemble.thresholds import choose, threshold_facts
from genebatch.features.gene_rows import read_gene_groups
from genebatch.io.files import InputError, read_json, write_tsv
from genebatch.io.tables import read_tsv
from genebatch.model.ensemble import EnsembleModel, load_model, prune, used_at
from genebatch.model.held_out import RIVALS

log = logging.getLogger(__name__)

WEIGHTS = "weights"  # the value of calibration.prevalence that stands for the weighted rows


def consolidate(
    inputs: Mapping[str, Any],
    final: str,
    prevalence: Mapping[str, float] | str | None,
    outputs: Mapping[str, str | Path],
) -> None:
    """Write the final model, as a model file and as the pickle of older workflows.

    The model carries the thresholds that are best on honest probabilities of the training rows,
    and how the features of the training table were made where the table says so. Members that its
    combiner gives no weight are left out. See `genebatch.ensemble.thresholds.choose` and
    `candidates.compare_candidates` for the memory held.

    Parameters
    ----------
    inputs
        Paths `ensemble` and `combined` (of `combining.combine_batches`); `manifest` and `plan`
        (the plan's batches and genes) and `profile` (of the data set, whose digest the model
        records); where they were trained `single`, `single_honest`, `distilled` and
        `distilled_honest`; for a built table also `table` (its genes), from which the model knows
        the genes it was trained on.
    final, prevalence
        From the config.
    outputs
        Paths `model`, `pickle`, `thresholds` (TSV) and `candidates` (TSV, see
        `candidates.compare_candidates`).
    """
    ensemble = load_model(inputs["ensemble"])
    missing = ensemble.missing_batches
    refuse_other_plans(ensemble.members, read_tsv(inputs["manifest"]), missing)
    groups = _training_groups(inputs["plan"])
    candidates = [
        Candidate("ensemble", prune(ensemble), inputs["combined"], ensemble.combiner["name"])
    ]
    for name in RIVALS:
        if inputs.get(name):
            model = load_model(inputs[name])
            _refuse_other_groups(model, groups, inputs[name])
            candidates.append(Candidate(name, model, inputs[f"{name}_honest"], name))
    compared = compare_candidates(candidates, final)
    chosen = next(each for each in candidates if each.name == _chosen(compared))
    shares = weighted_shares(ensemble) if prevalence == WEIGHTS else prevalence
    model = used_at(chosen.model, shares)
    facts = _facts(inputs, chosen.name, missing, groups)
    model = replace(model, facts=facts | model.facts)
    table = choose(model, chosen.honest, chosen.system)
    model = replace(model, facts=model.facts | threshold_facts(table))
    write_tsv(outputs["thresholds"], table)
    write_tsv(outputs["candidates"], compared)
    model.save(outputs["model"])
    model.save_pickle(outputs["pickle"])
    size = Path(outputs["model"]).stat().st_size / 1e6
    log.info("%s: %d members, %.1f MB", chosen.name, len(model.members), size)


def _training_groups(plan: str | Path) -> frozenset[str]:
    genes = pl.read_parquet(plan, columns=["group", "test"]).filter(~pl.col("test"))
    return frozenset(genes["group"].cast(pl.String))


def _refuse_other_groups(rival: EnsembleModel, groups: frozenset[str], path: str | Path) -> None:
    """Raise unless a rival was trained on the groups of all batches, missing or not."""
    if rival.groups != groups:
        raise InputError(
            f"{path} was trained on {len(rival.groups):,} groups, not on the "
            f"{len(groups):,} of the batches; delete it and run again"
        )


def _chosen(compared: pl.DataFrame) -> str:
    return compared.filter("chosen")["candidate"].item()


def _facts(
    inputs: Mapping[str, Any], chosen: str, missing: Sequence[str], groups: frozenset[str]
) -> dict[str, Any]:
    """What the final model records of the run."""
    batches = read_tsv(inputs["manifest"])
    profile = read_json(inputs["profile"])
    return {
        "final": chosen,
        "data_digest": profile["digest"],
        "data_rows": profile["rows"],
        "data_groups": profile["groups"],
        "batches": batches.select("batch", "key", "genes", "rows").to_dicts(),
        "missing_batches": list(missing),
        "sequence": profile.get("sequence"),
        "trained_genes": trained_genes(groups, inputs.get("table")),
    }


def trained_genes(groups: frozenset[str], table: str | Path | None) -> list[str] | None:
    """Sorted ids of the genes of the training groups.

    Those of a missing batch are among them: combiners and thresholds were learned from its rows.
    `table` is the file of a `gene_plan.gene_table`; without one the genes are not known: None.
    """
    if not table:
        return None
    return sorted(gene for gene, group in read_gene_groups(table).items() if group in groups)


def weighted_shares(model: EnsembleModel) -> dict[str, float]:
    """Share of each class in the weights of the training rows, used in training or not.

    Rows that batches share count in each, as they do in the shares that the model was trained at.
    """
    totals = np.zeros(len(model.classes))
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
