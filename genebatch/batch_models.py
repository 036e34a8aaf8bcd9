"""The finished models of all batches of a plan."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from genebatch.files import InputError
from genebatch.model import EnsembleModel, Member, load_model


def load_batches(
    paths: Sequence[str | Path], manifest: pl.DataFrame, threads: int = 1
) -> dict[str, EnsembleModel]:
    """Load the batches' model files, by batch in the order of the paths.

    Raises
    ------
    InputError
        Naming the batches of the manifest that are missing, or that were trained for other rows,
        folds or features than it names.
    """
    loaded = {}
    for path in paths:
        model = load_model(path, threads=threads)
        loaded[model.members[0].name] = model
    refuse_other_plans((model.members[0] for model in loaded.values()), manifest)
    return loaded


def refuse_other_plans(members: Iterable[Member], manifest: pl.DataFrame) -> None:
    """Raise unless there is a member for every batch of the manifest, trained on what it names."""
    found = {member.name: member.facts["key"] for member in members}
    keys = dict(manifest.select("batch", "key").iter_rows())
    missing = sorted(keys.keys() - found.keys())
    if missing:
        raise InputError(f"the models of batches {', '.join(missing)} are missing; run them again")
    stale = sorted(name for name in keys if found[name] != keys[name])
    if stale:
        raise InputError(
            f"the models of batches {', '.join(stale)} were trained for another plan or other "
            f"rows; delete results/batches/{{{','.join(stale)}}} and run again"
        )
