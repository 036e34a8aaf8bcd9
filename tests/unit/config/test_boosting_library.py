"""The version of XGBoost, whichever package installed it."""

import sys

import pytest
import xgboost as xgb

from genebatch.config.boosting_library import xgboost_version


def test_the_version_is_that_of_the_modules():
    assert xgboost_version() == xgb.__version__


def test_without_xgboost_it_says_what_python_would(monkeypatch):
    monkeypatch.delitem(sys.modules, "xgboost")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModuleNotFoundError, match="No module named 'xgboost'"):
        xgboost_version()
