"""The finished models of all batches of a plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genebatch.files import InputError
from genebatch.model import EnsembleModel, load_model


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
    missing = sorted(set(manifest["batch"]) - loaded.keys())
    if missing:
        raise InputError(f"the models of batches {', '.join(missing)} are missing; run them again")
    _refuse_other_plans(loaded, manifest)
    return loaded


def _refuse_other_plans(models: Mapping[str, EnsembleModel], manifest: pl.DataFrame) -> None:
    keys = dict(manifest.select("batch", "key").iter_rows())
    stale = sorted(n for n in keys if models[n].members[0].facts["key"] != keys[n])
    if stale:
        raise InputError(
            f"the models of batches {', '.join(stale)} were trained for another plan or other "
            f"rows; delete results/batches/{{{','.join(stale)}}} and run again"
        )
