"""Batch models into one model file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genebatch.files import InputError, read_json
from genebatch.model import EnsembleModel, load_model, merge
from genebatch.tables import read_tsv

log = logging.getLogger(__name__)


def consolidate(
    models: Sequence[str | Path],
    manifest: str | Path,
    profile: str | Path,
    combiner: str,
    prevalence: Mapping[str, float] | None,
    model_file: str | Path,
    pickle_file: str | Path,
) -> None:
    """Write one model of all batches, as a model file and as the pickle of older workflows.

    Parameters
    ----------
    models
        The batches' model files.
    manifest
        The plan's manifest; every batch of it must be there.
    profile
        Profile of the data set, whose digest the model records.
    combiner, prevalence
        From the config.
    model_file, pickle_file
        Output paths.

    Raises
    ------
    InputError
        Naming the batches that are missing, or that were trained for another plan.
    """
    batches = read_tsv(manifest)
    loaded = {}
    for path in models:
        model = load_model(path)
        loaded[model.members[0].name] = model
    missing = sorted(set(batches["batch"]) - loaded.keys())
    if missing:
        raise InputError(f"the models of batches {', '.join(missing)} are missing; run them again")
    _refuse_other_plans(loaded, batches)
    facts = read_json(profile)
    described: dict[str, Any] = {
        "data_digest": facts["digest"],
        "data_rows": facts["rows"],
        "data_groups": facts["groups"],
        "batches": batches.select("batch", "key", "genes", "rows").to_dicts(),
        **loaded[batches["batch"][0]].facts,
    }
    ordered = [loaded[name] for name in sorted(batches["batch"])]
    model = merge(ordered, combiner, prevalence, described)
    model.save(model_file)
    model.save_pickle(pickle_file)
    size = Path(model_file).stat().st_size / 1e6
    groups = {group for member in model.members for group in member.groups}
    log.info("%d members, %d groups, %.1f MB", len(model.members), len(groups), size)


def _refuse_other_plans(models: Mapping[str, EnsembleModel], batches: pl.DataFrame) -> None:
    """Raise if a batch's model is not of the rows, folds and features that the manifest names."""
    keys = dict(batches.select("batch", "key").iter_rows())
    stale = sorted(n for n in keys if models[n].members[0].facts["key"] != keys[n])
    if stale:
        raise InputError(
            f"the models of batches {', '.join(stale)} were trained for another plan or other "
            f"rows; delete results/batches/{{{','.join(stale)}}} and run again"
        )
