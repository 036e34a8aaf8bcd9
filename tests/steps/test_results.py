"""Closing words are read from the files of a finished run."""

import polars as pl
import pytest

from genebatch.io.files import write_tsv
from genebatch.steps.results import read_closing_words
from tests.builders.closing_tables import candidates, comparison

COMMANDS = {
    "dataset": {"path": "data", "label": "kind", "group": "sample"},
    "sequence": {"fasta": None},
    "scores": None,
    "unscored": "error",
}


@pytest.mark.parametrize(("missing", "said"), [("b001,b004", True), ("", False), (None, False)])
def test_missing_batches_come_from_the_evaluated_predictions(missing, said, tmp_path):
    """Predictions of earlier versions record none."""
    paths = {name: tmp_path / name for name in ("comparison", "candidates", "predictions")}
    write_tsv(paths["comparison"], comparison(12, 0.1, 0.4))
    write_tsv(paths["candidates"], candidates("ensemble"))
    origin = None if missing is None else {"genebatch.missing_batches": missing}
    pl.DataFrame({"group": ["g"]}).write_parquet(paths["predictions"], metadata=origin)
    words = read_closing_words(results="results", **paths, **COMMANDS)
    assert ("The ensemble goes without b001, b004, as ensemble.allow_missing" in words) == said
    assert "goes without" in words or not said
