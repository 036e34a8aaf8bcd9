"""Batch models into one model file."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genebatch.files import InputError, read_json, write_tsv
from genebatch.gene_plan import read_gene_groups
from genebatch.model import EnsembleModel, load_model, merge
from genebatch.tables import read_tsv
from genebatch.thresholds import choose, threshold_facts

log = logging.getLogger(__name__)

WEIGHTS = "weights"  # the value of calibration.prevalence that stands for the weighted rows


def consolidate(
    inputs: Mapping[str, Any],
    combiner: str,
    prevalence: Mapping[str, float] | str | None,
    outputs: Mapping[str, str | Path],
) -> None:
    """Write one model of all batches, as a model file and as the pickle of older workflows.

    The model carries the thresholds that are best on out-of-fold rows, and how the features of the
    training table were made where the table says so. See `genebatch.thresholds.choose` for the
    memory held.

    Parameters
    ----------
    inputs
        Lists of paths `models` (the batches' model files) and `out_of_fold` (their out-of-fold
        scores, in the same order); paths `manifest` (the plan's, every batch of which must be
        there) and `profile` (of the data set, whose digest the model records). For a built table
        also `table` (its genes), from which the model knows the genes it was trained on.
    combiner, prevalence
        From the config.
    outputs
        Paths `model`, `pickle` and `thresholds` (TSV).

    Raises
    ------
    InputError
        Naming the batches that are missing, or that were trained for another plan.
    """
    batches = read_tsv(inputs["manifest"])
    loaded, scores = {}, {}
    for path, out_of_fold in zip(inputs["models"], inputs["out_of_fold"], strict=True):
        model = load_model(path)
        loaded[model.members[0].name] = model
        scores[model.members[0].name] = out_of_fold
    missing = sorted(set(batches["batch"]) - loaded.keys())
    if missing:
        raise InputError(f"the models of batches {', '.join(missing)} are missing; run them again")
    _refuse_other_plans(loaded, batches)
    names = sorted(batches["batch"])
    ordered = [loaded[name] for name in names]
    facts = read_json(inputs["profile"])
    described: dict[str, Any] = {
        "data_digest": facts["digest"],
        "data_rows": facts["rows"],
        "data_groups": facts["groups"],
        "batches": batches.select("batch", "key", "genes", "rows").to_dicts(),
        "sequence": facts.get("sequence"),
        "trained_genes": trained_genes(ordered, inputs.get("table")),
        **loaded[batches["batch"][0]].facts,
    }
    if prevalence == WEIGHTS:
        prevalence = weighted_shares(ordered)
    model = merge(ordered, combiner, prevalence, described)
    table = choose(model, [scores[name] for name in names])
    model = replace(model, facts=model.facts | threshold_facts(table))
    write_tsv(outputs["thresholds"], table)
    model.save(outputs["model"])
    model.save_pickle(outputs["pickle"])
    size = Path(outputs["model"]).stat().st_size / 1e6
    groups = {group for member in model.members for group in member.groups}
    log.info("%d members, %s groups, %.1f MB", len(model.members), f"{len(groups):,}", size)


def trained_genes(models: Sequence[EnsembleModel], table: str | Path | None) -> list[str] | None:
    """Sorted ids of the genes whose group any member was trained on.

    `table` is the file of a `gene_plan.gene_table`; without one the genes are not known: None.
    """
    if not table:
        return None
    groups = {group for model in models for member in model.members for group in member.groups}
    return sorted(gene for gene, group in read_gene_groups(table).items() if group in groups)


def weighted_shares(models: Sequence[EnsembleModel]) -> dict[str, float]:
    """Share of each class in the weights of the training rows, used in training or not.

    Rows that batches share count in each, as they do in the shares that the model was trained at.
    """
    totals = np.zeros(len(models[0].classes))
    for model in models:
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
        name = models[0].classes[int(np.argmin(totals))]
        raise InputError(
            f"calibration.prevalence is {WEIGHTS}, but the training rows of '{name}' have no weight"
        )
    return dict(zip(models[0].classes, (totals / totals.sum()).tolist(), strict=True))


def _refuse_other_plans(models: Mapping[str, EnsembleModel], batches: pl.DataFrame) -> None:
    """Raise if a batch's model is not of the rows, folds and features that the manifest names."""
    keys = dict(batches.select("batch", "key").iter_rows())
    stale = sorted(n for n in keys if models[n].members[0].facts["key"] != keys[n])
    if stale:
        raise InputError(
            f"the models of batches {', '.join(stale)} were trained for another plan or other "
            f"rows; delete results/batches/{{{','.join(stale)}}} and run again"
        )
