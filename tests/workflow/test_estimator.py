"""The estimator in memory and a run of the workflow give the same model."""

import numpy as np
import polars as pl
import pytest

from genebatch import BatchEnsembleClassifier, load_model
from tests.workflow.running import SMALL

pytestmark = pytest.mark.workflow


def test_a_table_in_memory_gives_the_model_of_the_run(finished):
    folder, _ = finished
    dataset, learner = SMALL["dataset"], dict(SMALL["learner"])
    test = pl.read_csv(folder / "results/dataset/test_groups.tsv", separator="\t")["group"]
    table = pl.concat(map(pl.read_parquet, sorted(folder.glob("data/example/*.parquet"))))
    training = table.filter(~pl.col("gene_id").is_in(test.implode()))
    model = load_model(folder / "results")
    names = list(model.features.names)  # those that the screen of the run has left
    estimator = BatchEnsembleClassifier(
        max_groups=13,
        min_groups=5,
        min_positives=2,
        n_splits=3,
        reg_lambda=learner.pop("lambda"),
        combiner="log_odds",
        rivals=(),
        final="ensemble",
        **learner,
    )
    estimator.fit(
        training.select(names),
        training["splice_type"].fill_null("neither"),
        groups=training["gene_id"],
        sample_weight=training["sample_weight"],
        base_scores=dataset["scores"],
    )
    members = [member.groups for member in model.members]
    assert [member.groups for member in estimator.model_.members] == members
    new = pl.read_parquet(folder / "data/new")
    order = [model.classes.index(name) for name in estimator.classes_]
    np.testing.assert_allclose(
        estimator.predict_proba(new.select(names)), model.predict_proba(new)[:, order], rtol=1e-4
    )
