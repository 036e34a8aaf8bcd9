"""Writes and reads the pickle that older workflows load in place of a model file.

The models inside are pickled as the bytes of model files (`EnsembleModel.__reduce__`). So a pickle
names one function of genebatch, `model_from_bytes`, which does not move.
"""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

from genebatch.io.files import InputError, whole
from genebatch.model.ensemble import EQUAL, EnsembleModel

PICKLED_TYPE = "AllGenesBatchEnsemble"  # what older workflows look for


def save_pickle(model: EnsembleModel, path: str | Path) -> None:
    """Write the dictionary that workflows made for `AllGenesBatchEnsemble` expect.

    A group of several members counts once. `total_positions` is None where members share groups: a
    member knows the number of all its rows, not that of each group, so a sum would count shared
    rows again.
    """
    singles = [replace(model, members=(member,), combiner=EQUAL) for member in model.members]
    shared = sum(len(member.groups) for member in model.members) > len(model.groups)
    rows = None if shared else sum(member.facts["rows"] for member in model.members)
    content = {
        "type": PICKLED_TYPE,
        "batch_models": [
            {
                "model": single,
                "batch_id": member.name,
                "genes": list(member.groups),
                "metrics": member.facts.get("metrics"),
            }
            for single, member in zip(singles, model.members, strict=True)
        ],
        "total_genes": len(model.groups),
        "unique_genes": len(model.groups),
        "total_positions": rows,
        "batch_count": len(model.members),
        "combination_method": model.combiner["name"],
        "feature_names": list(model.features.names),
        "ensemble": model,
    }
    with whole(path) as temporary, temporary.open("wb") as stream:
        pickle.dump(content, stream)


def load_pickle(path: Path, trust: bool) -> EnsembleModel:
    """Read the model that `save_pickle` wrote; see `archive.load_model`."""
    if not trust:
        raise InputError(
            f"{path} is a pickle, and reading one runs the code inside; load the .gbm file beside "
            "it, or pass trust=True if you made the file yourself"
        )
    try:
        with path.open("rb") as stream:
            content = _Unpickler(stream).load()
    except _MovedError as error:
        raise InputError(
            f"{path} was written by an earlier version of genebatch (it names {error}, which has "
            f"moved); load {_file_beside(path)}, the model file beside it"
        ) from error
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, InputError) as error:
        raise InputError(f"{path} is damaged or of another version: {error!r}") from error
    if not isinstance(content, dict) or content.get("type") != PICKLED_TYPE:
        raise InputError(f"{path} holds no {PICKLED_TYPE}")
    return content["ensemble"]


def _file_beside(pickled: Path) -> Path:
    """Give the path of the model file that was saved with a pickle."""
    paths = (pickled.with_suffix(".gbm"), pickled.with_name("model.gbm"))
    return next((path for path in paths if path.is_file()), paths[0])


class _MovedError(Exception):
    """A pickle needs something of genebatch that is no longer where it was."""


class _Unpickler(pickle.Unpickler):
    """Tells pickles of earlier versions, which name modules of genebatch, from damaged ones."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except (AttributeError, ImportError) as error:
            if module.split(".")[0] == "genebatch":
                raise _MovedError(f"{module}.{name}") from error
            raise
