"""Batch models into one model file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genebatch.files import InputError, read_json
from genebatch.model import load_model, merge
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
        Naming the batches that are missing.
    """
    batches = read_tsv(manifest)
    loaded = {}
    for path in models:
        model = load_model(path)
        loaded[model.members[0].name] = model
    missing = sorted(set(batches["batch"]) - loaded.keys())
    if missing:
        raise InputError(f"the models of batches {', '.join(missing)} are missing; run them again")
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
