"""The names that genebatch itself exports, and that importing it stays light."""

import subprocess
import sys

import pytest

import genebatch
from genebatch.io import files
from genebatch.model import archive, ensemble, prediction


def test_exports_are_those_of_their_modules():
    assert genebatch.EnsembleModel is ensemble.EnsembleModel
    assert genebatch.InputError is files.InputError
    assert genebatch.call.__module__.startswith("genebatch.calls.")
    assert genebatch.load_model is archive.load_model
    assert genebatch.predict_file is prediction.predict_file
    assert all(hasattr(genebatch, name) for name in genebatch.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'genebatch' has no attribute 'oracle'"):
        _ = genebatch.oracle


def test_importing_genebatch_alone_imports_nothing_heavy():
    heavy = "{'numpy', 'polars', 'pyarrow', 'sklearn', 'xgboost'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, genebatch; print({heavy})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
