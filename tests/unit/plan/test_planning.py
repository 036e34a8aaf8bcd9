"""Training groups are dealt into batches that fit, and every batch has a key."""

import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.jobs.needs import SINGLE_RULES, estimate_mb, rules_of
from genebatch.jobs.sizes import Shape
from genebatch.plan.planning import TEST, row_parts, side_by_side, whole_needs
from genebatch.plan.strategies import STRATEGIES
from tests.builders.plans import (
    FEATURE_SET,
    FEATURES,
    PLENTY,
    changed,
    config,
    described,
    keys,
    make_groups,
    members,
    planned,
    uneven_groups,
    with_cell,
)


@pytest.fixture
def groups():
    return make_groups()


# ---- who goes where


def test_every_training_group_is_in_one_batch_and_no_test_group_in_any(groups):
    plan = planned(groups, ["g03", "g11"], config())
    assert plan.groups.height == groups.height
    assert set(plan.groups["group"]) == set(groups["group"])
    test = plan.groups.filter("test")
    assert set(test["group"]) == {"g03", "g11"}
    assert test["batch"].null_count() == test["fold"].null_count() == 2
    trained = plan.groups.filter(~pl.col("test"))
    assert trained["batch"].null_count() == trained["fold"].null_count() == 0


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_deals_each_training_group_once(strategy, overlap):
    groups = uneven_groups()
    sections = config(batching={"strategy": strategy, "overlap": overlap})
    plan = planned(groups, ["g03", "g11"], sections, described=described(groups))
    own = plan.groups.filter(~pl.col("test") & ~pl.col("lent"))
    assert sorted(own["group"]) == sorted(set(groups["group"]) - {"g03", "g11"})
    assert plan.groups.filter("test")["group"].to_list() == ["g03", "g11"]
    assert plan.groups.filter("test")["lent"].null_count() == 2
    assert plan.groups["lent"].any() == (overlap > 0)
    assert own.group_by("batch").len()["len"].max() <= 10
    assert plan.groups.columns == [*groups.columns, "batch", "fold", "lent", "test"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_no_strategy_depends_on_the_order_of_groups(strategy):
    groups = uneven_groups()
    sections = config(batching={"strategy": strategy})
    plain = planned(groups, ["g03"], sections, described=described(groups))
    shuffled = groups.sample(fraction=1, shuffle=True, seed=1)
    mixed = planned(shuffled, ["g03"], sections, described=described(groups)[::-1])
    assert plain.manifest.equals(mixed.manifest)
    assert plain.groups.equals(mixed.groups)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_keeps_to_max_rows_and_to_memory(strategy):
    groups = uneven_groups().with_columns(pl.col("rows") * 1000)
    rows = int(groups["rows"].sum()) // 5
    sections = config(batching={"strategy": strategy, "max_rows": rows, "min_groups": 2})
    manifest = planned(groups, [], sections, described=described(groups)).manifest
    assert manifest["rows"].max() <= rows
    need = manifest.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max()
    sections = config(batching={"strategy": strategy, "min_groups": 2})
    less = planned(groups, [], sections, need, described=described(groups)).manifest
    assert less.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max() <= need


def test_similar_groups_share_a_batch_and_labels_decide_nothing(groups):
    similarity = config(batching={"strategy": "similarity"})
    plan = planned(groups, [], similarity, described=described(groups))
    for batch, names in members(plan).items():
        assert len({int(name[1:]) % 4 for name in names}) == 1, batch
    swapped = groups.rename({"n_neither": "n_donor", "n_donor": "n_neither"})
    other = planned(swapped, [], similarity, described=described(groups))
    assert members(other) == members(plan)


def test_a_group_without_features_is_named(groups):
    similarity = config(batching={"strategy": "similarity"})
    with pytest.raises(InputError, match=r"'g39' \(of 1\) has no features.*; delete that file"):
        planned(groups, [], similarity, described=described(groups)[:-1])


def test_harder_groups_are_in_smaller_batches_none_above_max_groups():
    hard = pl.col("group") < "g10"
    groups = make_groups().with_columns(base_log_loss=pl.when(hard).then(90.0).otherwise(1.0))
    plan = planned(groups, [], config(batching={"strategy": "adaptive"}))
    sizes = plan.manifest["groups"].to_list()
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] <= 10
    assert plan.manifest.height > 4  # equal batches would be four
    held = members(plan)
    assert held["b000"] < set(groups.filter(hard)["group"])


def test_with_overlap_every_group_is_in_its_batch_and_some_in_the_next(groups):
    plan = planned(groups, [], config(batching={"overlap": 0.2}))
    assert plan.manifest["groups"].to_list() == [12] * 4
    times = plan.groups["group"].value_counts()["count"]
    assert sorted(times.to_list()) == [1] * 32 + [2] * 8


def test_every_batch_has_every_fold(groups):
    plan = planned(groups, [], config())
    for _, part in plan.groups.group_by("batch"):
        assert sorted(part["fold"].unique()) == [0, 1, 2]


def test_the_plan_does_not_depend_on_the_order_of_groups(groups):
    shuffled = groups.sample(fraction=1, shuffle=True, seed=1)
    plain = planned(groups, ["g03"], config())
    mixed = planned(shuffled, ["g03"], config())
    assert plain.manifest.equals(mixed.manifest)
    assert plain.groups.equals(mixed.groups)


def test_each_fold_leaves_a_group_to_train_and_one_to_stop_on():
    two = config(batching={"min_groups": 2}, cv={"n_splits": 2})
    for n_groups in (2, 3):
        with pytest.raises(InputError, match=r"fold [01] leaves 1: .* batching\.min_groups to 4"):
            planned(make_groups(n_groups + 1), ["g00"], two)
    plan = planned(make_groups(5), ["g00"], config(batching={"min_groups": 4}, cv={"n_splits": 2}))
    assert plan.manifest["groups"].to_list() == [4]
    assert sorted(plan.groups.filter(~pl.col("test"))["fold"]) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("n_groups", "rows", "folds"),
    [
        (300, 667, 3),  # one batch of 300 groups and 200,100 rows
        (300, 666, 5),  # 199,800 rows
        (299, 700, 5),  # 299 groups
    ],
)
def test_a_large_batch_of_many_groups_has_three_folds_and_another_five(n_groups, rows, folds):
    auto = config(batching={"max_groups": 1000}, cv={"n_splits": "auto"})
    plan = planned(make_groups(n_groups, rows), [], auto)
    assert plan.manifest["folds"].to_list() == [folds]
    assert sorted(plan.groups["fold"].unique()) == list(range(folds))


def test_the_smallest_batch_decides_on_the_folds_of_all():
    auto = config(batching={"max_groups": 300}, cv={"n_splits": "auto"})
    plan = planned(make_groups(600, 667), [], auto)
    assert plan.manifest["folds"].to_list() == [3, 3]
    plan = planned(make_groups(599, 667), [], auto)
    assert plan.manifest["groups"].sort().to_list() == [299, 300]
    assert plan.manifest["folds"].to_list() == [5, 5]


def rare(groups, only):
    """Five donors, in one group only."""
    held = pl.col("group") == only
    donors = pl.when(held).then(5).otherwise(0)
    return groups.with_columns(n_donor=donors, weight_donor=donors.cast(pl.Float64))


def weightless(groups, but):
    """Donors weigh something in some groups only."""
    weighed = pl.col("group").is_in(but)
    return groups.with_columns(weight_donor=pl.when(weighed).then(3.0).otherwise(0.0))


def test_a_class_without_training_rows_names_the_test_groups():
    groups = rare(make_groups(6), "g02")
    with pytest.raises(InputError) as caught:
        planned(groups, ["g02"], config(batching={"min_positives": 0}))
    assert (
        "class 'donor' has no row in training groups: its 5 rows are in test groups (g02)"
        in str(caught.value)
    )
    planned(groups, ["g03"], config(batching={"min_positives": 0}))  # the remedy


@pytest.mark.parametrize(("use_weights", "told"), [(False, "(5)"), (True, "with a weight above 0")])
def test_a_class_of_one_training_group_is_told(caplog, use_weights, told):
    keys = {"batching": {"min_positives": 0}, "learner": {"use_weights": use_weights}}
    planned(rare(make_groups(6), "g02"), ["g03"], config(**keys))
    assert f"class 'donor': all training rows {told} are in one group, 'g02'" in caplog.text


def test_a_class_without_weight_in_training_groups_is_refused():
    groups = weightless(make_groups(8), but=["g02", "g05"])
    with pytest.raises(InputError) as caught:
        planned(groups, ["g02", "g05"], config())
    assert (
        "class 'donor' has no weight in training groups: its 18 rows there have weight 0 "
        "(dataset.weight), unlike those in test groups (g02, g05)" in str(caught.value)
    )
    planned(groups, ["g02"], config())  # the remedies
    planned(groups, ["g02", "g05"], config(learner={"use_weights": False}))


def test_where_the_table_has_no_weights_rows_count():
    keys = {"weight": None, "exclude": ["sample_weight"]}
    planned(weightless(make_groups(8), but=[]), ["g02"], config(dataset=keys))


# ---- the manifest


def test_the_manifest_counts_groups_rows_and_classes(groups):
    manifest = planned(groups, ["g00", "g01"], config()).manifest
    assert manifest["batch"].to_list() == ["b000", "b001", "b002", "b003"]
    assert manifest["groups"].sum() == 38
    assert manifest["rows"].to_list() == [100 * n for n in manifest["groups"]]
    assert manifest["rows_donor"].to_list() == [3 * n for n in manifest["groups"]]
    assert manifest.columns == [
        *("batch", "key", "groups", "folds", "rows", "rows_neither", "rows_donor", "rows_acceptor"),
        *(f"mem_mb_{rule}" for rule in rules_of("batch")),
        "thread_mb",
        *(f"minutes_{rule}" for rule in rules_of("batch")),
        *(f"seconds_{rule}" for rule in rules_of("batch")),
    ]


def test_memory_of_a_batch_is_the_estimate_of_its_rows(groups):
    sections = config(explain={"rows": 200_000})
    row = planned(groups, [], sections).manifest.row(0, named=True)
    shape = Shape(
        rows=1000,
        n_dense=15,
        n_wide=2,
        n_counts=5,
        n_frequent=1,
        counts_per_row=2.0,
        n_classes=3,
        n_splits=3,
        max_bin=256,
        max_depth=4,
        explain_rows=1000,  # a batch has no more
        n_estimators=sections.learner.n_estimators,
        select=sections.learner.select,
    )
    assert row["rows"] == 1000
    for rule in rules_of("batch"):
        assert row[f"mem_mb_{rule}"] == estimate_mb(rule, shape)


def test_batches_are_as_few_as_memory_allows():
    groups = make_groups(40, rows=50_000)
    wide = config(batching={"max_groups": 40})
    one = planned(groups, [], wide).manifest
    assert one.height == 1
    need = one.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).item()
    more = planned(groups, [], wide, need - 10).manifest
    assert more.height == 2
    assert more.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max() <= need - 10


def test_max_rows_is_kept(groups):
    manifest = planned(groups, [], config(batching={"max_rows": 700})).manifest
    assert manifest["rows"].max() <= 700
    assert manifest.height == 6


# ---- keys


def test_the_same_data_give_the_same_keys(groups):
    first, second = (planned(groups, ["g03"], config()) for _ in range(2))
    assert keys(first) == keys(second)
    assert len(set(keys(first).values())) == 4


def test_a_changed_group_changes_the_key_of_its_batch_alone(groups):
    before = planned(groups, ["g03"], config())
    after = planned(with_cell(groups, "g07", digest="other"), ["g03"], config())
    assert changed(before, after) == {b for b, groups in members(before).items() if "g07" in groups}
    assert len(changed(before, after)) == 1


def test_a_changed_test_group_changes_no_key(groups):
    before = planned(groups, ["g03"], config())
    after = planned(with_cell(groups, "g03", digest="other"), ["g03"], config())
    assert not changed(before, after)


def test_other_folds_or_features_change_every_key(groups):
    before = planned(groups, [], config())
    folds = planned(groups, [], config(cv={"seed": 8}))
    other = FEATURE_SET | {"digest": "other"}
    assert len(changed(before, folds)) == 4
    assert len(changed(before, planned(groups, [], config(), features=other))) == 4


def in_order(groups, names):
    """The same groups, as if they followed each other in this order, three to a row group."""
    place = {name: number for number, name in enumerate(names)}
    places = [place[name] for name in groups["group"]]
    return groups.with_columns(
        pl.Series("chunks", [[number // 3] for number in places], dtype=pl.List(pl.UInt32)),
        pl.Series("first", [number % 3 * 100 for number in places], dtype=pl.UInt32),
    )


def test_groups_in_another_order_change_the_key_of_their_batch_alone(groups):
    before = planned(groups, ["g03"], config())
    names = groups["group"].to_list()
    one, two = sorted(members(before)["b001"])[:2]
    swapped = [{one: two, two: one}.get(name, name) for name in names]
    assert changed(before, planned(in_order(groups, swapped), ["g03"], config())) == {"b001"}
    turned = in_order(groups, names[::-1])
    assert len(changed(before, planned(turned, ["g03"], config()))) == 4


def test_groups_of_other_batches_between_them_change_no_key(groups):
    before = planned(groups, ["g03"], config())
    names = groups["group"].to_list()
    batches = [*sorted(members(before).values(), key=min), {"g03"}]
    after = [name for batch in batches for name in names if name in batch]
    assert after != names
    assert not changed(before, planned(in_order(groups, after), ["g03"], config()))


def test_other_row_groups_or_a_shard_in_front_change_no_key(groups):
    before = planned(groups, ["g03"], config())
    assert not changed(before, planned(in_order(groups, groups["group"]), ["g03"], config()))
    moved = groups.with_columns(pl.col("chunks").list.eval(pl.element() + 7), pl.col("first") + 2)
    assert not changed(before, planned(moved, ["g03"], config()))
    longer = groups.with_columns(pl.concat_list("chunks", pl.lit([90], pl.List(pl.UInt32))))
    assert not changed(before, planned(longer, ["g03"], config()))


def test_groups_follow_each_other_as_they_do_inside_a_row_group(groups):
    one = groups.with_columns(
        pl.lit([0], pl.List(pl.UInt32)).alias("chunks"), pl.int_range(pl.len()).alias("first")
    )
    before = planned(one, ["g03"], config())
    assert not changed(before, planned(groups, ["g03"], config()))
    turned = one.with_columns(pl.col("first").reverse())
    assert len(changed(before, planned(turned, ["g03"], config()))) == 4


@pytest.mark.parametrize(
    "keys",
    [
        {"rest_class": "neither"},
        {"null_label": "neither"},
        {"weight": None},
        {"position": "row"},
        {"classes": ["donor", "neither", "acceptor"]},
    ],
)
def test_other_labels_change_every_key(groups, keys):
    before = planned(groups, [], config())
    assert len(changed(before, planned(groups, [], config(dataset=keys)))) == 4


@pytest.mark.parametrize("keys", [{"path": "elsewhere"}, {"metadata": []}, {"infinite": "missing"}])
def test_where_the_table_is_and_its_other_columns_change_no_key(groups, keys):
    before = planned(groups, [], config())
    assert not changed(before, planned(groups, [], config(dataset=keys)))


def test_each_batch_and_the_test_groups_have_a_part_of_the_rows(groups):
    settings = config(batching={"overlap": 0.2})
    plan = planned(groups, ["g03", "g11"], settings)
    *batches, test = row_parts(plan, FEATURES.digest, settings.planning.labels)
    assert {part.name: part.key for part in batches} == keys(plan)
    assert {part.name: set(part.groups["group"]) for part in batches} == members(plan)
    assert (test.name, set(test.groups["group"])) == (TEST, {"g03", "g11"})
    assert test.key not in keys(plan).values()
    changed_test = with_cell(groups, "g03", digest="other")
    other = planned(changed_test, ["g03", "g11"], settings)
    assert row_parts(other, FEATURES.digest, settings.planning.labels)[-1].key != test.key


def test_without_test_groups_there_is_no_part_of_them(groups):
    """An estimator trains on all of its groups."""
    plan = planned(groups, [], config())
    parts = row_parts(plan, FEATURES.digest, config().planning.labels)
    assert [part.name for part in parts] == list(keys(plan))


def test_each_batch_knows_the_genes_of_its_groups(groups):
    settings = config(batching={"overlap": 0.2})
    plan = planned(groups, ["g03", "g11"], settings)
    group_of = {f"{end}-{name}": name for name in groups["group"] for end in "zy"}
    facts = {"sequence": {"features": {}}}
    *batches, test = row_parts(
        plan, FEATURES.digest, settings.planning.labels, facts, group_of=group_of
    )
    for part in batches:
        genes = [f"{end}-{name}" for end in "yz" for name in sorted(part.groups["group"])]
        assert part.facts == facts | {"trained_genes": genes}
    assert test.facts == facts


def test_memory_changes_no_key(groups):
    before = planned(groups, [], config())
    after = planned(groups, [], config(learner={"max_bin": 65_536}), PLENTY + 1)
    assert (after.manifest["mem_mb_train_batch"] > before.manifest["mem_mb_train_batch"]).all()
    assert not changed(before, after)


# ---- what cannot be planned


@pytest.mark.parametrize(
    ("n_groups", "sections", "message"),
    [
        (2, {}, r"2 training groups are fewer than a batch needs \(3.*batching\.min_groups and cv"),
        (4, {"cv": {"n_splits": 5}}, r"4 training groups are fewer .*\(5.*cv\.n_splits"),
        (40, {"batching": {"max_rows": 99}}, r"'g..' has 100 rows.*batching\.max_rows=99"),
        (40, {"batching": {"max_rows": 150}}, r"max_rows=150 asks for 27 batches.*min_groups=3"),
        (11, {"batching": {"min_groups": 6}}, r"max_groups=10 asks for 2 batches.*min_groups=6"),
        (40, {"batching": {"min_positives": 31}}, r"batch b000 has 30 rows of class 'donor'.*_pos"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_names_the_key(n_groups, sections, message):
    with pytest.raises(InputError, match=message):
        planned(make_groups(n_groups), [], config(**sections))


def test_a_batch_of_few_large_groups_is_named():
    groups = with_cell(make_groups(20), "g07", rows=5000)
    by_size = config(batching={"strategy": "size", "max_groups": 19})
    with pytest.raises(
        InputError, match=r"batch b001 has 1 groups, fewer than batching\.min_groups=3"
    ):
        planned(groups, [], by_size)


def test_a_group_that_cannot_fit_is_named(groups):
    large = with_cell(groups, "g07", rows=5_000_000)
    with pytest.raises(
        InputError,
        match=r"'g07' alone has 5,000,000 rows and needs \d+ MB, .*but 1000 MB .*memory_mb",
    ) as told:
        planned(large, [], config(), 1000)
    assert "or thin the rows of that group" in str(told.value)


def test_a_group_is_not_to_be_thinned_where_its_rows_cost_little(groups):
    with pytest.raises(
        InputError, match=r"needs (\d+) MB, \d+ MB of them whatever its rows"
    ) as told:
        planned(groups, [], config(), 300)
    assert "but 300 MB may be used; raise resources.memory_mb and --memory (" in str(told.value)
    assert "thin" not in str(told.value)


def test_memory_for_too_small_batches_only_is_an_error():
    groups = make_groups(40, rows=50_000)
    sections = config(batching={"min_groups": 10})
    four = planned(groups, [], sections).manifest
    need = four.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max()
    with pytest.raises(
        InputError, match=rf"{need} MB of the {need - 10} MB .*resources\.memory_mb"
    ):
        planned(groups, [], sections, need - 10)


def test_a_batch_may_lack_a_class_on_request():
    groups = make_groups(20).with_columns(pl.lit(0, pl.Int64).alias("n_donor"))
    groups = with_cell(groups, "g00", n_donor=5)
    with pytest.raises(InputError, match=r"0 rows of class 'donor'.*\(0 accepts a batch"):
        planned(groups, [], config())
    plan = planned(groups, [], config(batching={"min_positives": 0}))
    assert sorted(plan.manifest["rows_donor"]) == [0, 5]


def test_a_batch_without_weight_of_a_class_lacks_it():
    groups = weightless(make_groups(20), but=["g00"])
    with pytest.raises(InputError, match=r"0 rows of class 'donor' with a weight above 0"):
        planned(groups, [], config())
    planned(groups, [], config(batching={"min_positives": 0}))
    planned(groups, [], config(learner={"use_weights": False}))


# ---- needs


def test_rules_about_all_batches_need_more_for_more_rows_and_batches():
    few, many = (make_groups(n_groups, rows=2000) for n_groups in (40, 400))
    needs = [
        whole_needs(planned(groups, [], config()), FEATURE_SET, config().planning)
        for groups in (few, many)
    ]
    others = {"thread", "minutes", "seconds", "core_hours", "sampled"}
    assert needs[0].keys() == needs[1].keys() == {*rules_of("whole"), *others}
    hours = [each["core_hours"] for each in needs]
    assert all(hours[1][rule] > hours[0][rule] > 0 for rule in SINGLE_RULES)
    assert all(needs[1][rule] > needs[0][rule] > 0 for rule in rules_of("whole"))


def test_rows_that_batches_share_are_counted_once_where_they_stand_once(groups):
    apart, shared = (config(batching={"overlap": share}) for share in (0.0, 0.5))
    first, second = (
        whole_needs(planned(groups, [], given), FEATURE_SET, given.planning)
        for given in (apart, shared)
    )
    assert second["train_single"] == first["train_single"]


def test_rules_of_a_sample_need_what_its_rows_need():
    """Of 400 groups of 20,000 rows the sample has 40, one of each ten."""
    groups = make_groups(400, rows=20_000)
    every, some = (config(ensemble={"score_rows": rows}) for rows in (None, 800_000))
    plan = planned(groups, [], every)
    whole, needs = (whole_needs(plan, FEATURE_SET, given.planning) for given in (every, some))
    assert whole["sampled"] is None
    assert needs | {"sampled": None} == whole
    sampled = needs["sampled"]
    assert sampled.keys() == {*rules_of("whole"), "minutes", "seconds"}
    for rule in ("combine_batches", "consolidate", "estimate", "add_single"):
        assert sampled[rule] < needs[rule], rule
    for rule in rules_of("whole"):
        assert sampled[rule] <= needs[rule], rule
        assert sampled["minutes"][rule] <= needs["minutes"][rule], rule
    below = config(ensemble={"score_rows": 8_000_000})
    assert whole_needs(plan, FEATURE_SET, below.planning) == whole


def test_batches_run_side_by_side_while_memory_and_cores_last():
    needs = {"mem_mb_a": [650, 250, 450], "mem_mb_b": [100, 350, 90], "thread_mb": [50, 50, 50]}
    manifest = pl.DataFrame(needs)
    assert side_by_side(manifest, memory_mb=1200, cores=8, threads=2) == (2, 1200)
    assert side_by_side(manifest, memory_mb=1199, cores=8, threads=2) == (1, 700)
    assert side_by_side(manifest, memory_mb=9999, cores=8, threads=2) == (3, 1600)
    assert side_by_side(manifest, memory_mb=9999, cores=5, threads=2) == (2, 1200)
    assert side_by_side(manifest, memory_mb=9999, cores=1, threads=2) == (1, 650)
    assert side_by_side(manifest, memory_mb=600, cores=8, threads=2) == (0, 0)
