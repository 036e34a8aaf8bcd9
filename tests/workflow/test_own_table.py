"""From tables of text to the answer, by the commands that a new user of the wheel pastes."""

import gzip
import shlex

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from tests.builders.clean_environment import run

pytestmark = pytest.mark.workflow


def test_a_folder_of_csv_becomes_a_model_by_the_commands_that_are_printed(environment, tmp_path):
    rng = np.random.default_rng(1)
    group, yes = rng.integers(0, 60, 900), rng.random(900) < 0.3
    table = pl.DataFrame(
        {
            "sample": [f"{n:03d}" for n in group],
            "kind": ["yes" if value else "no" for value in yes],
            "a": rng.normal(size=900) + 1.5 * yes,
            "noise": rng.normal(size=900),
            "remark": ["none of it"] * 900,
        }
    )
    (tmp_path / "table").mkdir()
    table[:500].write_csv(tmp_path / "table/1.csv")
    packed = table[500:].select(reversed(table.columns)).write_csv(separator="\t").encode()
    (tmp_path / "table/2.tsv.gz").write_bytes(gzip.compress(packed))
    roles = ("--label", "kind", "--group", "sample")
    said = run(environment, tmp_path, "init", "table", *roles, "-o", "my.yaml")
    command = shlex.split(said.splitlines()[-1])
    assert command[:2] == ["genebatch", "run"]
    output = run(environment, tmp_path, *command[1:], "--cores", "2", "--memory", "4G")
    assert f"--snakefile {environment}/env/lib/" in output
    assert "my_results/report/index.html" in output
    assert {path.name for path in tmp_path.iterdir()} == {
        *("table", "my.yaml", "my_results", ".snakemake")
    }
    results = tmp_path / "my_results"
    table = pl.read_csv(results / "evaluation/metrics.tsv", separator="\t")
    auc = (
        table.filter(metric="roc_auc", **{"class": "yes"}) if "roc_auc" in table["metric"] else None
    )
    assert auc is None or auc["value"].max() > 0.75
    model = load_model(results)
    assert "remark" not in model.columns_in_
    assert "a" in model.columns_in_
    run(environment, tmp_path, "predict", "my_results", "table/*", "-o", "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 900
