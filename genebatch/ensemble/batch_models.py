"""Loads the finished models of all batches of a plan."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import polars as pl

from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel, Member
from genebatch.model.origin import refuse_other_settings


def load_batches(
    paths: Sequence[str | Path],
    manifest: pl.DataFrame,
    threads: int = 1,
    missing: Collection[str] = (),
) -> dict[str, EnsembleModel]:
    """Load the batches' model files, by batch in the order of the paths.

    `missing` are batches of the manifest that may be missing.

    Raises
    ------
    InputError
        Naming the other batches of the manifest that are missing, those that were trained for
        other rows, folds or features than it names, or those that were trained by other settings.
    """
    loaded = {}
    for path in paths:
        model = load_model(path, threads=threads)
        loaded[model.members[0].name] = model
    members = [model.members[0] for model in loaded.values()]
    refuse_other_plans(members, manifest, missing)
    refuse_other_settings(members)
    return loaded


def refuse_other_plans(
    members: Iterable[Member], manifest: pl.DataFrame, missing: Collection[str] = ()
) -> None:
    """Raise unless there is a member for every batch of the manifest, trained on what it names.

    Batches that `missing` names need none.
    """
    trained = {member.name: member.facts["key"] for member in members}
    keys = dict(manifest.select("batch", "key").iter_rows())
    absent = sorted(keys.keys() - trained.keys() - set(missing))
    if absent:
        raise InputError(
            f"the models of batches {', '.join(absent)} are missing; run them again, or set "
            "ensemble.allow_missing to go without them"
        )
    stale = sorted(name for name in trained if trained[name] != keys.get(name))
    if stale:
        raise InputError(
            f"the models of batches {', '.join(stale)} were trained for another plan or other "
            f"rows; delete batches/{{{','.join(stale)}}} in the results folder and run again"
        )
