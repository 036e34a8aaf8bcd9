"""What genebatch.planning promises."""

import numpy as np
import polars as pl
import pytest

from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError, read_json, write_json
from genebatch.jobs.needs import estimate_mb, rules_of
from genebatch.jobs.sizes import Shape
from genebatch.plan.coverage import coverage, times_held
from genebatch.plan.planning import (
    choose_test_groups,
    make_plan,
    plan_batches,
    read_groups_list,
    side_by_side,
    whole_needs,
)
from genebatch.plan.strategies import STRATEGIES

CLASSES = ["neither", "donor", "acceptor"]
PLENTY = 100_000
FEATURES = Features(tuple(f"f{number}" for number in range(20)), 15)


@pytest.fixture
def features():
    return (
        FEATURES.to_json()
        | {"digest": FEATURES.digest, "counts_per_row": 2.0}
        | {"n_wide": 2, "n_frequent": 1}
    )


@pytest.fixture
def genes():
    return make_genes()


@pytest.fixture
def config(resolved):
    """A configuration for batches of at most ten groups."""

    def make(**sections):
        batching = {"max_genes": 10, "min_genes": 3, "min_positives": 1}
        batching |= sections.pop("batching", {})
        return resolved(batching=batching, cv={"n_splits": 3} | sections.pop("cv", {}), **sections)

    return make


def make_genes(n_groups=40, rows=100):
    """Groups of one size and class shares, digests that follow the name."""
    names = [f"g{number:02d}" for number in range(n_groups)]
    return pl.DataFrame(
        {
            "group": names,
            "rows": np.full(n_groups, rows, np.uint32),
            "n_neither": np.full(n_groups, rows - 6, np.uint32),
            "n_donor": np.full(n_groups, 3, np.uint32),
            "n_acceptor": np.full(n_groups, 3, np.uint32),
            "weight_neither": np.full(n_groups, 5.0 * (rows - 6)),
            "weight_donor": np.full(n_groups, 3.0),
            "weight_acceptor": np.full(n_groups, 3.0),
            "base_log_loss": np.full(n_groups, 2.0),
            "digest": [f"digest of {name}" for name in names],
            "shards": np.ones(n_groups, np.uint32),
            "fact.chrom": [f"chr{number % 4}" for number in range(n_groups)],
        }
    )


def uneven_genes(n_groups=40):
    """Groups of unequal size and difficulty."""
    rng = np.random.default_rng(3)
    rows = rng.integers(50, 150, n_groups).astype(np.uint32)
    return make_genes(n_groups).with_columns(
        rows=rows, n_neither=rows - 6, base_log_loss=rng.gamma(1, 1, n_groups)
    )


def described(genes):
    """One feature of groups, in which every fourth group is alike."""
    kind = [float(int(name[1:]) % 4) for name in genes["group"]]
    return pl.DataFrame({"group": genes["group"], "kind": pl.Series(kind, dtype=pl.Float32)})


def with_cell(genes, group, **cells):
    chosen = pl.col("group") == group
    return genes.with_columns(
        pl.when(chosen)
        .then(pl.lit(value))
        .otherwise(pl.col(name))
        .cast(genes[name].dtype)
        .alias(name)
        for name, value in cells.items()
    )


def keys(plan):
    return dict(plan.manifest.select("batch", "key").iter_rows())


def members(plan):
    trained = plan.genes.filter(~pl.col("test"))
    return {name[0]: set(part["group"]) for name, part in trained.group_by("batch")}


def changed(before, after):
    """Batches of either plan whose keys differ."""
    return {
        batch
        for batch in keys(before) | keys(after)
        if keys(before).get(batch) != keys(after).get(batch)
    }


# ---- who goes where


def test_every_training_group_is_in_one_batch_and_no_test_group_in_any(genes, features, config):
    plan = make_plan(genes, ["g03", "g11"], features, config(), PLENTY)
    assert plan.genes.height == genes.height
    assert set(plan.genes["group"]) == set(genes["group"])
    test = plan.genes.filter("test")
    assert set(test["group"]) == {"g03", "g11"}
    assert test["batch"].null_count() == test["fold"].null_count() == 2
    trained = plan.genes.filter(~pl.col("test"))
    assert trained["batch"].null_count() == trained["fold"].null_count() == 0


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_deals_each_training_group_once(strategy, overlap, features, config):
    genes = uneven_genes()
    sections = config(batching={"strategy": strategy, "overlap": overlap})
    plan = make_plan(genes, ["g03", "g11"], features, sections, PLENTY, described(genes))
    own = plan.genes.filter(~pl.col("test") & ~pl.col("lent"))
    assert sorted(own["group"]) == sorted(set(genes["group"]) - {"g03", "g11"})
    assert plan.genes.filter("test")["group"].to_list() == ["g03", "g11"]
    assert plan.genes.filter("test")["lent"].null_count() == 2
    assert plan.genes["lent"].any() == (overlap > 0)
    assert own.group_by("batch").len()["len"].max() <= 10
    assert plan.genes.columns == [*genes.columns, "batch", "fold", "lent", "test"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_no_strategy_depends_on_the_order_of_groups(strategy, features, config):
    genes = uneven_genes()
    sections = config(batching={"strategy": strategy})
    plain = make_plan(genes, ["g03"], features, sections, PLENTY, described(genes))
    shuffled = genes.sample(fraction=1, shuffle=True, seed=1)
    mixed = make_plan(shuffled, ["g03"], features, sections, PLENTY, described(genes)[::-1])
    assert plain.manifest.equals(mixed.manifest)
    assert plain.genes.equals(mixed.genes)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_keeps_to_max_rows_and_to_memory(strategy, features, config):
    genes = uneven_genes().with_columns(pl.col("rows") * 1000)
    rows = int(genes["rows"].sum()) // 5
    sections = config(batching={"strategy": strategy, "max_rows": rows, "min_genes": 2})
    manifest = make_plan(genes, [], features, sections, PLENTY, described(genes)).manifest
    assert manifest["rows"].max() <= rows
    need = manifest.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max()
    sections = config(batching={"strategy": strategy, "min_genes": 2})
    less = make_plan(genes, [], features, sections, need, described(genes)).manifest
    assert less.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max() <= need


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_kept_plan_of_any_strategy_is_kept(strategy, features, config, tmp_path):
    genes, batching = uneven_genes(), {"strategy": strategy, "overlap": 0.25}
    sections = config(batching=batching)
    before = make_plan(genes, ["g03"], features, sections, PLENTY, described(genes))
    before.genes.write_parquet(tmp_path / "kept.parquet")
    sections = config(batching=batching | {"keep": str(tmp_path / "kept.parquet")})
    after = make_plan(genes, ["g03"], features, sections, PLENTY, described(genes))
    assert not changed(before, after)
    roles = ["group", "batch", "fold", "lent"]
    assert after.genes.select(roles).equals(before.genes.select(roles))


def test_similar_groups_share_a_batch_and_labels_decide_nothing(genes, features, config):
    similarity = config(batching={"strategy": "similarity"})
    plan = make_plan(genes, [], features, similarity, PLENTY, described(genes))
    for batch, groups in members(plan).items():
        assert len({int(name[1:]) % 4 for name in groups}) == 1, batch
    swapped = genes.rename({"n_neither": "n_donor", "n_donor": "n_neither"})
    other = make_plan(swapped, [], features, similarity, PLENTY, described(genes))
    assert members(other) == members(plan)


def test_a_group_without_features_is_named(genes, features, config):
    similarity = config(batching={"strategy": "similarity"})
    with pytest.raises(InputError, match=r"'g39' \(of 1\) has no features.*describe_groups"):
        make_plan(genes, [], features, similarity, PLENTY, described(genes)[:-1])


def test_harder_groups_are_in_smaller_batches_none_above_max_genes(features, config):
    hard = pl.col("group") < "g10"
    genes = make_genes().with_columns(base_log_loss=pl.when(hard).then(90.0).otherwise(1.0))
    plan = make_plan(genes, [], features, config(batching={"strategy": "adaptive"}), PLENTY)
    sizes = plan.manifest["genes"].to_list()
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] <= 10
    assert plan.manifest.height > 4  # equal batches would be four
    held = members(plan)
    assert held["b000"] < set(genes.filter(hard)["group"])


def test_with_overlap_every_group_is_in_its_batch_and_some_in_the_next(genes, features, config):
    plan = make_plan(genes, [], features, config(batching={"overlap": 0.2}), PLENTY)
    assert plan.manifest["genes"].to_list() == [12] * 4
    times = plan.genes["group"].value_counts()["count"]
    assert sorted(times.to_list()) == [1] * 32 + [2] * 8


def test_every_batch_has_every_fold(genes, features, config):
    plan = make_plan(genes, [], features, config(), PLENTY)
    for _, part in plan.genes.group_by("batch"):
        assert sorted(part["fold"].unique()) == [0, 1, 2]


def test_the_plan_does_not_depend_on_the_order_of_groups(genes, features, config):
    shuffled = genes.sample(fraction=1, shuffle=True, seed=1)
    plain = make_plan(genes, ["g03"], features, config(), PLENTY)
    mixed = make_plan(shuffled, ["g03"], features, config(), PLENTY)
    assert plain.manifest.equals(mixed.manifest)
    assert plain.genes.equals(mixed.genes)


def test_two_groups_are_enough_where_the_keys_say_so(features, config):
    two = config(batching={"min_genes": 2}, cv={"n_splits": 2})
    plan = make_plan(make_genes(3), ["g02"], features, two, PLENTY)
    assert plan.manifest.select("genes", "rows").rows() == [(2, 200)]
    assert sorted(plan.genes.filter(~pl.col("test"))["fold"]) == [0, 1]


# ---- the manifest


def test_the_manifest_counts_groups_rows_and_classes(genes, features, config):
    manifest = make_plan(genes, ["g00", "g01"], features, config(), PLENTY).manifest
    assert manifest["batch"].to_list() == ["b000", "b001", "b002", "b003"]
    assert manifest["genes"].sum() == 38
    assert manifest["rows"].to_list() == [100 * n for n in manifest["genes"]]
    assert manifest["rows_donor"].to_list() == [3 * n for n in manifest["genes"]]
    assert manifest.columns == [
        *("batch", "key", "genes", "rows", "rows_neither", "rows_donor", "rows_acceptor"),
        *(f"mem_mb_{rule}" for rule in rules_of("batch")),
        "thread_mb",
        *(f"minutes_{rule}" for rule in rules_of("batch")),
    ]


def test_memory_of_a_batch_is_the_estimate_of_its_rows(genes, features, config):
    sections = config(explain={"rows": 200_000})
    row = make_plan(genes, [], features, sections, PLENTY).manifest.row(0, named=True)
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
        n_estimators=sections["learner"]["n_estimators"],
    )
    assert row["rows"] == 1000
    for rule in rules_of("batch"):
        assert row[f"mem_mb_{rule}"] == estimate_mb(rule, shape)


def test_batches_are_as_few_as_memory_allows(features, config):
    genes = make_genes(40, rows=50_000)
    wide = config(batching={"max_genes": 40})
    one = make_plan(genes, [], features, wide, PLENTY).manifest
    assert one.height == 1
    need = one.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).item()
    more = make_plan(genes, [], features, wide, need - 10).manifest
    assert more.height == 2
    assert more.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max() <= need - 10


def test_max_rows_is_kept(genes, features, config):
    manifest = make_plan(genes, [], features, config(batching={"max_rows": 700}), PLENTY).manifest
    assert manifest["rows"].max() <= 700
    assert manifest.height == 6


# ---- keys


def test_the_same_data_give_the_same_keys(genes, features, config):
    first, second = (make_plan(genes, ["g03"], features, config(), PLENTY) for _ in range(2))
    assert keys(first) == keys(second)
    assert len(set(keys(first).values())) == 4


def test_a_changed_group_changes_the_key_of_its_batch_alone(genes, features, config):
    before = make_plan(genes, ["g03"], features, config(), PLENTY)
    after = make_plan(with_cell(genes, "g07", digest="other"), ["g03"], features, config(), PLENTY)
    assert changed(before, after) == {b for b, groups in members(before).items() if "g07" in groups}
    assert len(changed(before, after)) == 1


def test_a_changed_test_group_changes_no_key(genes, features, config):
    before = make_plan(genes, ["g03"], features, config(), PLENTY)
    after = make_plan(with_cell(genes, "g03", digest="other"), ["g03"], features, config(), PLENTY)
    assert not changed(before, after)


def test_other_folds_or_features_change_every_key(genes, features, config):
    before = make_plan(genes, [], features, config(), PLENTY)
    folds = make_plan(genes, [], features, config(cv={"seed": 8}), PLENTY)
    other = features | {"digest": "other"}
    assert len(changed(before, folds)) == 4
    assert len(changed(before, make_plan(genes, [], other, config(), PLENTY))) == 4


def test_memory_changes_no_key(genes, features, config):
    before = make_plan(genes, [], features, config(), PLENTY)
    after = make_plan(genes, [], features, config(learner={"max_bin": 4096}), PLENTY + 1)
    assert (after.manifest["mem_mb_train_batch"] > before.manifest["mem_mb_train_batch"]).all()
    assert not changed(before, after)


# ---- an earlier plan


@pytest.fixture
def kept(genes, features, config, tmp_path):
    """A plan on disk, and the configuration that keeps it."""
    plan = make_plan(genes, ["g03", "g11"], features, config(), PLENTY)
    path = tmp_path / "kept.parquet"
    plan.genes.write_parquet(path)
    return plan, config(batching={"keep": str(path)})


def test_a_new_group_changes_the_key_of_one_batch_alone(kept, features):
    before, config = kept
    after = make_plan(make_genes(41), ["g03", "g11"], features, config, PLENTY)
    assert len(changed(before, after)) == 1
    (batch,) = changed(before, after)
    assert members(after)[batch] - members(before)[batch] == {"g40"}
    assert before.manifest.filter(batch=batch)["rows"].item() == before.manifest["rows"].min()


def test_kept_groups_keep_batch_and_fold(kept, features):
    before, config = kept
    after = make_plan(make_genes(45), ["g03", "g11"], features, config, PLENTY)
    both = before.genes.join(after.genes, on="group", suffix="_after")
    assert both.height == 40
    assert both["batch"].equals(both["batch_after"], check_names=False)
    assert both["fold"].equals(both["fold_after"], check_names=False)


def test_unchanged_data_keep_every_key(kept, genes, features):
    before, config = kept
    assert not changed(before, make_plan(genes, ["g03", "g11"], features, config, PLENTY))


def test_a_removed_group_changes_its_batch_alone(kept, genes, features):
    before, config = kept
    after = make_plan(genes[:-1], ["g03", "g11"], features, config, PLENTY)
    assert changed(before, after) == {b for b, groups in members(before).items() if "g39" in groups}


def test_kept_overlap_is_kept(genes, features, config, tmp_path):
    before = make_plan(genes, [], features, config(batching={"overlap": 0.2}), PLENTY)
    before.genes.write_parquet(tmp_path / "kept.parquet")
    keep = config(batching={"overlap": 0.2, "keep": str(tmp_path / "kept.parquet")})
    assert not changed(before, make_plan(genes, [], features, keep, PLENTY))


def test_other_folds_than_the_kept_ones_are_refused(kept, genes, features, config):
    keep = {"keep": kept[1]["batching"]["keep"]}
    with pytest.raises(InputError, match=r"batching\.keep holds 3 folds but cv\.n_splits is 4"):
        make_plan(
            genes, ["g03", "g11"], features, config(batching=keep, cv={"n_splits": 4}), PLENTY
        )


def test_a_kept_plan_that_lends_groups_is_refused_without_overlap(
    genes, features, config, tmp_path
):
    before = make_plan(genes, [], features, config(batching={"overlap": 0.2}), PLENTY)
    before.genes.write_parquet(tmp_path / "kept.parquet")
    keep = config(batching={"keep": str(tmp_path / "kept.parquet")})
    with pytest.raises(InputError, match=r"8 groups are lent .*batching\.overlap is 0"):
        make_plan(genes, [], features, keep, PLENTY)


def test_a_kept_plan_with_a_group_in_two_batches_is_refused(kept, genes, features):
    plan, config = kept
    path = config["batching"]["keep"]
    first = plan.genes.filter(pl.col("batch").is_not_null())[:1]
    pl.concat([plan.genes, first.with_columns(batch=pl.lit("b003"))]).write_parquet(path)
    with pytest.raises(InputError, match=rf"deals group '{first['group'].item()}' twice"):
        make_plan(genes, ["g03", "g11"], features, config, PLENTY)


def test_a_kept_batch_that_no_longer_fits_is_refused(kept, features):
    genes = make_genes(40, rows=1_000_000)
    with pytest.raises(InputError, match=r"batch b000 needs \d+ MB .*batching\.keep: null"):
        make_plan(genes, ["g03", "g11"], features, kept[1], 1500)


def test_a_kept_plan_that_is_another_table_is_named(genes, features, config, tmp_path):
    path = tmp_path / "other.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(path)
    with pytest.raises(InputError, match=r"other\.parquet is no batches/genes\.parquet"):
        make_plan(genes, [], features, config(batching={"keep": str(path)}), PLENTY)


def test_a_kept_plan_that_is_not_there_is_named(genes, features, config):
    with pytest.raises(
        InputError, match=r"batching\.keep: absent\.parquet is no batches/genes\.parquet"
    ):
        make_plan(genes, [], features, config(batching={"keep": "absent.parquet"}), PLENTY)


# ---- what cannot be planned


@pytest.mark.parametrize(
    ("n_groups", "sections", "message"),
    [
        (2, {}, r"2 training groups are fewer than a batch needs \(3.*batching\.min_genes and cv"),
        (4, {"cv": {"n_splits": 5}}, r"4 training groups are fewer .*\(5.*cv\.n_splits"),
        (40, {"batching": {"max_rows": 99}}, r"'g..' has 100 rows.*batching\.max_rows=99"),
        (40, {"batching": {"max_rows": 150}}, r"max_rows=150 asks for 27 batches.*min_genes=3"),
        (11, {"batching": {"min_genes": 6}}, r"max_genes=10 asks for 2 batches.*min_genes=6"),
        (40, {"batching": {"min_positives": 31}}, r"batch b000 has 30 rows of class 'donor'.*_pos"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_names_the_key(n_groups, sections, message, features, config):
    with pytest.raises(InputError, match=message):
        make_plan(make_genes(n_groups), [], features, config(**sections), PLENTY)


def test_a_batch_of_few_large_groups_is_named(features, config):
    genes = with_cell(make_genes(20), "g07", rows=5000)
    by_size = config(batching={"strategy": "size", "max_genes": 19})
    with pytest.raises(
        InputError, match=r"batch b001 has 1 groups, fewer than batching\.min_genes=3"
    ):
        make_plan(genes, [], features, by_size, PLENTY)


def test_a_group_that_cannot_fit_is_named(genes, features, config):
    large = with_cell(genes, "g07", rows=5_000_000)
    with pytest.raises(
        InputError, match=r"'g07' alone has 5,000,000 rows and needs \d+ MB, but 1000.*memory_mb"
    ):
        make_plan(large, [], features, config(), 1000)


def test_memory_for_too_small_batches_only_is_an_error(features, config):
    genes = make_genes(40, rows=50_000)
    sections = config(batching={"min_genes": 10})
    four = make_plan(genes, [], features, sections, PLENTY).manifest
    need = four.select(pl.max_horizontal(pl.col("^mem_mb_.*$"))).to_series().max()
    with pytest.raises(
        InputError, match=rf"{need} MB of the {need - 10} MB .*resources\.memory_mb"
    ):
        make_plan(genes, [], features, sections, need - 10)


def test_a_batch_may_lack_a_class_on_request(features, config):
    genes = make_genes(20).with_columns(pl.lit(0, pl.UInt32).alias("n_donor"))
    genes = with_cell(genes, "g00", n_donor=5)
    with pytest.raises(InputError, match=r"0 rows of class 'donor'.*\(0 accepts a batch"):
        make_plan(genes, [], features, config(), PLENTY)
    plan = make_plan(genes, [], features, config(batching={"min_positives": 0}), PLENTY)
    assert sorted(plan.manifest["rows_donor"]) == [0, 5]


# ---- files


def test_test_groups_come_from_the_config(genes, config, tmp_path):
    genes.write_parquet(tmp_path / "genes.parquet")
    test = config(test={"column": "chrom", "values": ["chr2"]})["test"]
    choose_test_groups(tmp_path / "genes.parquet", test, None, tmp_path / "test.tsv")
    chosen = read_groups_list(tmp_path / "test.tsv")
    assert chosen == genes.filter(pl.col("fact.chrom") == "chr2")["group"].to_list()


def test_group_names_that_look_like_numbers_stay_text(genes, config, tmp_path):
    numbered = genes.with_columns(pl.format("0{}", pl.int_range(pl.len())).alias("group"))
    numbered.write_parquet(tmp_path / "genes.parquet")
    test = config(test={"groups": ["01", "07"]})["test"]
    choose_test_groups(tmp_path / "genes.parquet", test, None, tmp_path / "test.tsv")
    assert read_groups_list(tmp_path / "test.tsv") == ["01", "07"]


def test_kept_test_groups_stay_and_new_ones_join_by_fraction(kept, config, tmp_path):
    before, keep = kept
    make_genes(60).write_parquet(tmp_path / "genes.parquet")
    choose_test_groups(
        tmp_path / "genes.parquet",
        config(test={"fraction": 0.1})["test"],
        keep["batching"]["keep"],
        tmp_path / "test.tsv",
    )
    chosen = set(read_groups_list(tmp_path / "test.tsv"))
    assert chosen & set(before.genes["group"]) == {"g03", "g11"}
    assert len(chosen) == 6  # a tenth of 60


def test_the_files_hold_the_plan(genes, features, config, tmp_path):
    genes.write_parquet(tmp_path / "genes.parquet")
    (tmp_path / "test.tsv").write_text("group\ng03\n")
    write_json(tmp_path / "features.json", features)
    plan_batches(
        tmp_path / "profile.json",
        tmp_path / "genes.parquet",
        tmp_path / "test.tsv",
        tmp_path / "features.json",
        config(),
        PLENTY,
        {
            name: tmp_path / name
            for name in ("manifest", "genes", "coverage", "times_held", "memory")
        },
    )
    plan = make_plan(genes, ["g03"], features, config(), PLENTY)
    assert read_json(tmp_path / "memory") == whole_needs(plan, features, config())
    assert pl.read_parquet(tmp_path / "genes").equals(plan.genes)
    assert pl.read_csv(tmp_path / "manifest", separator="\t").equals(plan.manifest)
    held = coverage(plan.genes, CLASSES)
    assert pl.read_csv(tmp_path / "coverage", separator="\t").equals(held)
    times = pl.read_csv(tmp_path / "times_held", separator="\t")
    assert times.equals(times_held(plan.genes))


def test_rules_about_all_batches_need_more_for_more_rows_and_batches(features, config):
    few, many = (make_genes(n_groups, rows=2000) for n_groups in (40, 400))
    needs = [
        whole_needs(make_plan(genes, [], features, config(), PLENTY), features, config())
        for genes in (few, many)
    ]
    assert needs[0].keys() == needs[1].keys() == {*rules_of("whole"), "thread", "minutes"}
    assert all(needs[1][rule] > needs[0][rule] > 0 for rule in rules_of("whole"))


def test_rows_that_batches_share_are_counted_once_where_they_stand_once(genes, features, config):
    apart, shared = (config(batching={"overlap": share}) for share in (0.0, 0.5))
    first, second = (
        whole_needs(make_plan(genes, [], features, given, PLENTY), features, given)
        for given in (apart, shared)
    )
    assert second["train_single"] == first["train_single"]


def test_batches_run_side_by_side_while_memory_and_cores_last():
    needs = {"mem_mb_a": [650, 250, 450], "mem_mb_b": [100, 350, 90], "thread_mb": [50, 50, 50]}
    manifest = pl.DataFrame(needs)
    assert side_by_side(manifest, memory_mb=1200, cores=8, threads=2) == (2, 1200)
    assert side_by_side(manifest, memory_mb=1199, cores=8, threads=2) == (1, 700)
    assert side_by_side(manifest, memory_mb=9999, cores=8, threads=2) == (3, 1600)
    assert side_by_side(manifest, memory_mb=9999, cores=5, threads=2) == (2, 1200)
    assert side_by_side(manifest, memory_mb=9999, cores=1, threads=2) == (1, 650)
    assert side_by_side(manifest, memory_mb=600, cores=8, threads=2) == (0, 0)
