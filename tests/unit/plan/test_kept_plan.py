"""Groups of an earlier plan keep their batch, fold and test role."""

import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.plan.kept_plan import extended_test_groups, read_plan
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


@pytest.mark.parametrize("n_new", [0, 1])
def test_a_kept_plan_without_test_groups_takes_a_new_one_or_is_refused(kept, groups, n_new):
    settings = kept[1]
    earlier = read_plan(settings.batching.keep)
    left = make_groups(40 + n_new).filter(~pl.col("group").is_in(["g03", "g11"]))
    if n_new:
        assert left["group"].filter(extended_test_groups(left, earlier, settings.test))[0] == "g40"
        return
    remedies = r"test\.groups \(or test\.column and test\.values\), or set batching\.keep: null"
    with pytest.raises(InputError, match=rf"batching\.keep sets aside 0 of 38 groups.*{remedies}"):
        extended_test_groups(left, earlier, settings.test)


def test_a_kept_plan_without_training_groups_is_refused(kept, groups):
    left = groups.filter(pl.col("group").is_in(["g03", "g11"]))
    with pytest.raises(InputError, match=r"batching\.keep sets aside 2 of 2 groups"):
        extended_test_groups(left, read_plan(kept[1].batching.keep), kept[1].test)


def without_fold(plan, batch, fold):
    """Names of the groups that are left when a batch loses those of a fold."""
    lost = (pl.col("batch") == batch) & (pl.col("fold") == fold)
    return plan.groups.filter(~lost.fill_null(False))["group"]


@pytest.mark.parametrize("fold", range(3))
def test_a_batch_that_lost_a_fold_is_dealt_into_folds_anew(kept, groups, caplog, fold):
    before, settings = kept
    left = groups.filter(pl.col("group").is_in(without_fold(before, "b001", fold).implode()))
    after = planned(left, ["g03", "g11"], settings)
    assert changed(before, after) == {"b001"}
    folds = after.groups.filter(batch="b001")["fold"]
    assert sorted(folds.value_counts()["count"]) == [2, 2, 2 if fold == 0 else 3]
    assert after.manifest["folds"].to_list() == [3] * 4
    told = ("0/3/3", "4/0/3", "4/3/0")[fold]
    assert f"batch b001: of the kept plan its folds have {told} groups left" in caplog.text
    assert "b000" not in caplog.text


def test_a_kept_batch_whose_folds_leave_one_group_is_dealt_into_folds_anew(groups, tmp_path):
    before = planned(groups[:8], [], config(cv={"n_splits": 2}))
    before.groups.write_parquet(tmp_path / "kept.parquet")
    second = before.groups.filter(fold=1)["group"][1:]  # one of four stays
    keep = config(batching={"keep": str(tmp_path / "kept.parquet")}, cv={"n_splits": 2})
    after = planned(groups[:8].filter(~pl.col("group").is_in(second.implode())), [], keep)
    assert sorted(after.groups["fold"].value_counts()["count"]) == [2, 3]


def test_new_groups_fill_a_kept_fold_that_lost_its_groups(kept):
    before, settings = kept
    left = [*without_fold(before, "b001", 1), *(f"g{number}" for number in range(40, 50))]
    groups = make_groups(50).filter(pl.col("group").is_in(left))
    after = planned(groups, ["g03", "g11"], settings).groups
    both = before.groups.join(after, on=["group", "batch"], suffix="_after")
    assert both["fold"].equals(both["fold_after"], check_names=False)
    assert set(after.filter(batch="b001", fold=1)["group"]) <= {f"g{n}" for n in range(40, 50)}
    assert after.filter(batch="b001", fold=1).height


def test_a_fold_that_a_kept_plan_lacks_in_one_batch_is_dealt(kept, groups):
    """As of a plan that was made when nobody saw to it."""
    before, settings = kept
    cut = before.groups.with_columns(
        fold=pl.when(batch="b001", fold=2).then(0).otherwise("fold").cast(pl.Int32)
    )
    cut.write_parquet(settings.batching.keep)
    after = planned(groups, ["g03", "g11"], settings)
    assert changed(before, after) <= {"b001"}
    assert after.groups.filter(batch="b001")["fold"].n_unique() == 3


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
