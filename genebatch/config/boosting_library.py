"""Tells which XGBoost is installed, without importing it."""

from importlib.util import find_spec
from pathlib import Path


def xgboost_version() -> str:
    """Version of the modules that `import xgboost` would load.

    Read beside the modules: the packages `xgboost` and `xgboost-cpu` both install them.
    """
    spec = find_spec("xgboost")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'xgboost'", name="xgboost")
    return Path(spec.origin).with_name("VERSION").read_text(encoding="utf-8").strip()
