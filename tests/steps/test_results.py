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


def closing_words(folder, origin=None) -> str:
    """What is said of the results of an ensemble, whose files are in a folder."""
    paths = {name: folder / name for name in ("comparison", "candidates", "predictions")}
    write_tsv(paths["comparison"], comparison(12, 0.1, 0.4))
    write_tsv(paths["candidates"], candidates("ensemble"))
    pl.DataFrame({"group": ["g"]}).write_parquet(paths["predictions"], metadata=origin)
    return read_closing_words(results="results", **paths, **COMMANDS)


def test_from_another_folder_results_have_their_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for shell, shown in ((tmp_path, "results"), (tmp_path.parent, f"{tmp_path}/results")):
        monkeypatch.setenv("PWD", str(shell))
        assert f"\nModel: {shown}/model/model.gbm\n" in closing_words(tmp_path)


@pytest.mark.parametrize(("missing", "said"), [("b001,b004", True), ("", False), (None, False)])
def test_missing_batches_come_from_the_evaluated_predictions(missing, said, tmp_path):
    """Predictions of earlier versions record none."""
    origin = None if missing is None else {"genebatch.missing_batches": missing}
    words = closing_words(tmp_path, origin)
    assert ("The ensemble goes without b001, b004, as ensemble.allow_missing" in words) == said
    assert "goes without" in words or not said
