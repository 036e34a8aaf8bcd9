"""The delivered model explained on test groups: a fair sample, exact sums, honest rises."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch import load_model
from genebatch.config.settings import Explaining
from genebatch.dataset.row_file import RowFile
from genebatch.evaluation.importance import (
    _mean_and_error,
    chosen_rows,
    drawn_rows,
    explain_final,
)
from genebatch.io.files import InputError
from genebatch.model.ensemble import EQUAL
from genebatch.steps import evaluation as steps

SETTINGS = Explaining(rows=120, families={}, seed=7)


@pytest.fixture(scope="module")
def stored(toy):
    return RowFile.open(toy.folder / "rows" / "test.arrow")


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy.folder / "model.gbm")


@pytest.fixture(scope="module")
def sample(stored, model):
    chosen = chosen_rows(stored.identity, SETTINGS.rows, SETTINGS.seed)
    return drawn_rows(stored.frames(model.columns_in_), chosen)


# The sample


def identity(counts):
    """Rows of each group and label, so many as given."""
    rows = [(group, label) for (group, label), n in counts.items() for _ in range(n)]
    return pl.DataFrame(rows, schema=["group", "label"], orient="row")


def taken(counts, n_rows):
    table = identity(counts)
    found = table[chosen_rows(table, n_rows, 7)].group_by("group", "label").len()
    return {(group, label): n for group, label, n in found.iter_rows()}


def test_classes_and_groups_have_equal_shares_as_far_as_they_go():
    counts = {("a", "no"): 90, ("b", "no"): 90, ("c", "no"): 2, ("a", "yes"): 3, ("b", "yes"): 1}
    # 12 of each class: 2 of c, then 5 of each other; of the rare class all.
    assert taken(counts, 24) == {
        **{("a", "no"): 5, ("b", "no"): 5, ("c", "no"): 2},
        **{("a", "yes"): 3, ("b", "yes"): 1},
    }


def test_with_fewer_rows_than_groups_no_group_gives_two():
    counts = {(f"g{n}", "no"): 5 for n in range(30)}
    assert set(taken(counts, 12).values()) == {1}


def test_a_group_gives_the_same_rows_whatever_other_groups_there_are():
    few, many = {("a", "no"): 50}, {("b", "no"): 50, ("a", "no"): 50}
    alone = chosen_rows(identity(few), 10, 7)
    both = chosen_rows(identity(many), 20, 7)
    assert (both[both >= 50] - 50).tolist() == alone.tolist()


def test_rows_are_those_of_the_file(stored, model):
    chosen = np.array([0, 3, stored.n_rows - 1])
    found = drawn_rows(stored.frames(model.columns_in_), chosen)
    whole = pl.concat(part.features for part in stored.frames(model.columns_in_))
    assert found.features.equals(whole[chosen])
    assert found.identity.equals(stored.identity[chosen])


# Explanations


def test_features_and_families_tell_the_same_shap_values(model, sample):
    found = explain_final(model, sample, SETTINGS)
    assert found.shap.height == 3 * sample.identity.height
    for label in model.classes:
        shap = found.shap.filter(pl.col("class") == label)
        features = found.features.filter(pl.col("class") == label)
        for name, value in features.select("feature", "mean_abs_shap").iter_rows():
            if name != "(start)":
                assert value == pytest.approx(shap[name].abs().mean(), rel=1e-5)
        families = found.families.filter(pl.col("class") == label)
        assert families["gain_share"].sum() == pytest.approx(1)
        assert families["features"].sum() >= model.n_features_in_


def test_what_a_model_depends_on_raises_its_loss_and_what_it_does_not_use_changes_nothing(
    model, sample
):
    found = explain_final(model, sample, replace(SETTINGS, families={"gc": ("gc*",)})).families
    scores = found.filter(pl.col("family") == "base scores")
    assert (scores["log_loss_rise"] > 3 * scores["standard_error"]).all()
    assert scores["log_loss_rise"].min() == found["log_loss_rise"].max() or (
        scores["log_loss_rise"].mean() > found["log_loss_rise"].mean()
    )
    unsplit = found.filter(pl.col("mean_abs_shap") == 0, pl.col("family") != "base scores")
    assert (unsplit["log_loss_rise"].abs() < 0.05).all()


def test_names_of_families_that_match_no_feature_are_a_warning(model, sample, caplog):
    first, *others = model.features.names
    explain_final(model, sample, replace(SETTINGS, families={"own": (f"{first}*", *others)}))
    assert not caplog.records
    families = {"own": (f"{first}*", "cg*"), "other": ("absent",)}
    explain_final(model, sample, replace(SETTINGS, families=families))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "2 names of explain.families match no feature: cg*, absent" in record.message


def test_permuting_the_scores_permutes_what_boosters_start_from(model, sample):
    """A model without trees has nothing but its start."""
    bare = tuple(
        member._replace(boosters=tuple(booster[:0] for booster in member.boosters))
        for member in model.members[:1]
    )
    found = explain_final(replace(model, members=bare, combiner=EQUAL), sample, SETTINGS)
    rise = found.families.filter(pl.col("family") == "base scores")["log_loss_rise"]
    assert (rise > 0.1).all()


def test_the_error_counts_whole_groups():
    # Means 1 and 3 of two groups: deviations -2 and 2 of their sums; sqrt(2 * 8) / 4 rows.
    values, groups = np.array([1.0, 1, 3, 3]), np.array([0, 0, 1, 1])
    assert _mean_and_error(values, groups) == (2, 1)
    assert _mean_and_error(values, np.zeros(4, int)) == (2, None)


def test_a_model_that_knows_a_test_group_is_refused(toy, tmp_path, model, stored):
    group = stored.groups["group"][0]
    seen = model.members[0]._replace(groups=(*model.members[0].groups, group))
    replace(model, members=(seen, *model.members[1:])).save(tmp_path / "seen.gbm")
    outputs = {name: str(tmp_path / name) for name in ("shap", "importance", "families", "figure")}
    with pytest.raises(InputError, match=group):
        steps.explain_final(
            rows=str(stored.path),
            model=str(tmp_path / "seen.gbm"),
            explaining=SETTINGS,
            threads=1,
            **outputs,
        )
    assert not (tmp_path / "shap").exists()
