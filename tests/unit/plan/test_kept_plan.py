"""Groups of an earlier plan keep their batch, fold and test role."""

import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.plan.strategies import STRATEGIES
from tests.builders.plans import (
    changed,
    config,
    described,
    make_groups,
    members,
    planned,
    uneven_groups,
)


@pytest.fixture
def groups():
    return make_groups()


@pytest.fixture
def kept(groups, tmp_path):
    """A plan on disk, and the settings that keep it."""
    plan = planned(groups, ["g03", "g11"], config())
    path = tmp_path / "kept.parquet"
    plan.groups.write_parquet(path)
    return plan, config(batching={"keep": str(path)})


def test_a_new_group_changes_the_key_of_one_batch_alone(kept):
    before, settings = kept
    after = planned(make_groups(41), ["g03", "g11"], settings)
    assert len(changed(before, after)) == 1
    (batch,) = changed(before, after)
    assert members(after)[batch] - members(before)[batch] == {"g40"}
    assert before.manifest.filter(batch=batch)["rows"].item() == before.manifest["rows"].min()


def test_kept_groups_keep_batch_and_fold(kept):
    before, settings = kept
    after = planned(make_groups(45), ["g03", "g11"], settings)
    both = before.groups.join(after.groups, on="group", suffix="_after")
    assert both.height == 40
    assert both["batch"].equals(both["batch_after"], check_names=False)
    assert both["fold"].equals(both["fold_after"], check_names=False)


def test_unchanged_data_keep_every_key(kept, groups):
    before, settings = kept
    assert not changed(before, planned(groups, ["g03", "g11"], settings))


def test_a_removed_group_changes_its_batch_alone(kept, groups):
    before, settings = kept
    after = planned(groups[:-1], ["g03", "g11"], settings)
    assert changed(before, after) == {b for b, groups in members(before).items() if "g39" in groups}


def test_kept_overlap_is_kept(groups, tmp_path):
    before = planned(groups, [], config(batching={"overlap": 0.2}))
    before.groups.write_parquet(tmp_path / "kept.parquet")
    keep = config(batching={"overlap": 0.2, "keep": str(tmp_path / "kept.parquet")})
    assert not changed(before, planned(groups, [], keep))


def test_other_folds_than_the_kept_ones_are_refused(kept, groups):
    keep = {"keep": kept[1].batching.keep}
    with pytest.raises(InputError, match=r"batching\.keep holds 3 folds but cv\.n_splits is 4"):
        planned(groups, ["g03", "g11"], config(batching=keep, cv={"n_splits": 4}))


def test_where_the_number_of_folds_is_open_a_kept_plan_has_it(kept, groups):
    before, settings = kept
    keep = {"keep": settings.batching.keep}
    after = planned(groups, ["g03", "g11"], config(batching=keep, cv={"n_splits": "auto"}))
    assert not changed(before, after)


def test_a_kept_plan_that_lends_groups_is_refused_without_overlap(groups, tmp_path):
    before = planned(groups, [], config(batching={"overlap": 0.2}))
    before.groups.write_parquet(tmp_path / "kept.parquet")
    keep = config(batching={"keep": str(tmp_path / "kept.parquet")})
    with pytest.raises(InputError, match=r"8 groups are lent .*batching\.overlap is 0"):
        planned(groups, [], keep)


def test_a_kept_plan_with_a_group_in_two_batches_is_refused(kept, groups):
    plan, settings = kept
    path = settings.batching.keep
    first = plan.groups.filter(pl.col("batch").is_not_null())[:1]
    pl.concat([plan.groups, first.with_columns(batch=pl.lit("b003"))]).write_parquet(path)
    with pytest.raises(InputError, match=rf"deals group '{first['group'].item()}' twice"):
        planned(groups, ["g03", "g11"], settings)


def test_a_kept_batch_that_no_longer_fits_is_refused(kept):
    groups = make_groups(40, rows=1_000_000)
    with pytest.raises(InputError, match=r"batch b000 needs \d+ MB .*batching\.keep: null"):
        planned(groups, ["g03", "g11"], kept[1], 1500)


def test_a_kept_plan_that_is_another_table_is_named(groups, tmp_path):
    path = tmp_path / "other.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=r"other\.parquet is no batches/groups\.parquet"):
        planned(groups, [], config(batching={"keep": str(path)}))


def test_a_kept_plan_that_is_not_there_is_named(groups):
    with pytest.raises(
        InputError, match=r"batching\.keep: absent\.parquet is no batches/groups\.parquet"
    ):
        planned(groups, [], config(batching={"keep": "absent.parquet"}))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_kept_plan_of_any_strategy_is_kept(strategy, tmp_path):
    groups, batching = uneven_groups(), {"strategy": strategy, "overlap": 0.25}
    sections = config(batching=batching)
    before = planned(groups, ["g03"], sections, described=described(groups))
    before.groups.write_parquet(tmp_path / "kept.parquet")
    sections = config(batching=batching | {"keep": str(tmp_path / "kept.parquet")})
    after = planned(groups, ["g03"], sections, described=described(groups))
    assert not changed(before, after)
    roles = ["group", "batch", "fold", "lent"]
    assert after.groups.select(roles).equals(before.groups.select(roles))


def test_a_plan_is_kept_by_the_columns_that_say_who_goes_where(kept, groups):
    before, settings = kept
    columns = ["group", "batch", "lent", "fold", "test"]
    before.groups.select(columns).write_parquet(settings.batching.keep)
    assert not changed(before, planned(groups, ["g03", "g11"], settings))
