"""One meta-model trained on every group of a data set that does not fit in memory."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Raised whenever the same rows and config would give another model; batches then run again.
ALGORITHM = 1
__all__ = ["ALGORITHM", "EnsembleModel", "__version__", "load_model"]

_EXPORTS = {"EnsembleModel": "genebatch.model.ensemble", "load_model": "genebatch.model.ensemble"}


def __getattr__(name: str) -> Any:
    """Import the model code on first use.

    Workflow scripts must set thread counts before numpy is imported, so importing this package
    alone imports nothing heavy.
    """
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'genebatch' has no attribute '{name}'")
