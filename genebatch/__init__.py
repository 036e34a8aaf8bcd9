"""One meta-model trained on every group of a data set that does not fit in memory."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# Raised whenever the same rows and config would give another model; batches then run again.
ALGORITHM = 2

# Raised whenever the same rows would have other digests; the data set is then analysed again.
ROW_DIGESTS = 2

# Imported on first use. Workflow scripts must set thread counts before numpy is imported, so
# importing this package alone imports nothing heavy.
_EXPORTS = {
    "BatchEnsembleClassifier": "genebatch.estimator.classifier",
    "EnsembleModel": "genebatch.model.ensemble",
    "InputError": "genebatch.io.files",
    "call": "genebatch.calls.calling",
    "load_model": "genebatch.model.archive",
    "predict_file": "genebatch.model.prediction",
}
__all__ = [
    "ALGORITHM",
    "ROW_DIGESTS",
    "BatchEnsembleClassifier",
    "EnsembleModel",
    "InputError",
    "__version__",
    "call",
    "load_model",
    "predict_file",
]


def model_from_bytes(data: bytes, threads: int) -> Any:
    """Read a model from the bytes of its file.

    Pickles of models name this function, so its name and place never change.
    """
    from genebatch.model.archive import from_bytes

    return from_bytes(data, threads)


def __getattr__(name: str) -> Any:
    """Import what is exported on first use."""
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'genebatch' has no attribute '{name}'")
