"""From tables of text to the answer, by the tutorial that a new user of the wheel follows."""

import re

import polars as pl
import pytest

from genebatch import load_model
from tests.builders import REPOSITORY
from tests.builders.tutorial import follow

pytestmark = pytest.mark.workflow


def test_a_folder_of_text_becomes_a_model_as_the_tutorial_says(environment, tmp_path):
    page = REPOSITORY / "docs" / "tutorials" / "table.md"
    printed = follow(page, tmp_path, environment / "env" / "bin")
    assert f"--snakefile {environment}/env/lib/" in printed
    # Snakemake finds the logger in the wheel, and says nothing itself.
    assert re.search(r"^\d\d:\d\d:\d\d 100 %  report: ", printed, re.MULTILINE)
    assert re.search(r"batch 1/1 training: \d+ groups, [\d,]+ rows, \d+ MB declared", printed)
    assert "jobid" not in printed
    made = {path.name for path in tmp_path.iterdir()}
    said = {"wards", "new.csv", "my.yaml", "my_results", "predictions.parquet"}
    assert made == said | {".snakemake"}
    metrics = pl.read_csv(tmp_path / "my_results/evaluation/metrics.tsv", separator="\t")
    fever = metrics.filter(pl.col("class") == "fever", pl.col("metric") == "average_precision")
    assert fever["value"].min() > 0.5  # chance is the share of fever, 0.3
    model = load_model(tmp_path / "my_results")
    assert "remark" not in model.columns_in_
    assert model.categories_ == {"device": ("ear", "mouth", "skin")}
    sample = pl.read_parquet(tmp_path / "my_results/batches/b000/sample.parquet")
    assert set(sample["device"]) == {"ear", "mouth", "skin"}
    assert pl.read_parquet(tmp_path / "predictions.parquet").height == 100
