"""Columns are screened on training groups before they become features."""

import json
import logging
from dataclasses import replace
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from genebatch.config.settings import Screening
from genebatch.dataset.feature_set import Features
from genebatch.dataset.screen import (
    Analysed,
    aucs_by_category,
    aucs_by_value,
    sample_groups,
    say_tracks,
    screen,
)
from genebatch.io.files import InputError

SCREEN = Screening(
    max_rows=50_000, max_auc=0.99, max_missing_auc=0.6, max_categories=64, keep=(), seed=7
)
CLASSES = ["neither", "donor", "acceptor"]


@pytest.fixture
def run(analyse):
    """Analyse and screen a table; gives the feature set and, by column, the lines."""

    def screened(frame, test_groups=("g00",), screen_keys=(), **keys):
        analysed = analyse(frame, **keys)
        data = Analysed(analysed.roles, analysed.shards, analysed.profile["columns"])
        training = analysed.groups.filter(~pl.col("group").is_in(test_groups))
        settings = replace(SCREEN, **dict(screen_keys))
        features, table = screen(data, training, analysed.table.labels, settings)
        assert table["column"].n_unique() == table.height
        lines = {row["column"]: row for row in table.iter_rows(named=True)}
        return json.loads(json.dumps(features, allow_nan=False)), lines

    return screened


@pytest.fixture
def frame(table):
    """The small table with thirty groups."""
    return table(n_groups=30, rows=12)


def is_donor():
    return pl.col("splice_type") == "donor"


def draws(frame, seed=1):
    return pl.Series(np.random.default_rng(seed).normal(size=frame.height)).round(3)


def in_test(*groups):
    return pl.col("gene_id").is_in(groups)


def with_scores(frame):
    """Base scores that know something of the classes."""
    hit = {name: pl.col("splice_type") == name for name in CLASSES}
    return frame.with_columns(
        (0.2 + 0.2 * hit[name].cast(pl.Float64) + 0.2 * draws(frame, number).abs().clip(0, 3))
        .clip(0, 1)
        .alias(f"p_{name}")
        for number, name in enumerate(CLASSES)
    )


SCORES = {name: f"p_{name}" for name in CLASSES}


# ---- leaks, one of each kind

LEAKS = {
    "the label itself": lambda f: is_donor().cast(pl.Float32) + draws(f) / 1000,
    "the label upside down": lambda f: draws(f) / 1000 - is_donor().cast(pl.Float32),
    "the label as a flag": lambda f: is_donor(),
    "the label as a count": lambda f: is_donor().cast(pl.UInt8) * 3,
    "missing where it is a donor": lambda f: pl.when(~is_donor()).then(draws(f)),
    "missing elsewhere": lambda f: pl.when(is_donor()).then(draws(f)),
    "NaN where it is a donor": lambda f: pl.when(is_donor()).then(float("nan")).otherwise(draws(f)),
    "a value for all that is no donor": lambda f: pl.when(is_donor()).then(draws(f)).otherwise(0.0),
    "infinite where it is a donor": lambda f: (
        pl.when(is_donor()).then(float("inf")).otherwise(draws(f))
    ),
}
REASONS = {
    "the label itself": "leak: alone it has AUC 1.0000 for 'donor'",
    "the label upside down": "leak: alone it has AUC 1.0000 for 'donor'",
    "the label as a flag": "leak: alone it has AUC 1.0000 for 'donor'",
    "the label as a count": "leak: alone it has AUC 1.0000 for 'donor'",
    "missing where it is a donor": "leak: being missing has AUC 1.0000 for 'donor'",
    "missing elsewhere": "leak: being missing has AUC 1.0000 for 'donor'",
    "NaN where it is a donor": "leak: being missing has AUC 1.0000 for 'donor'",
    "a value for all that is no donor": "leak: the value 0 has AUC 1.0000 for 'donor'",
    "infinite where it is a donor": "leak: being missing has AUC 1.0000 for 'donor'",
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_dropped_with_its_reason(run, frame, kind, caplog):
    planted = frame.with_columns(LEAKS[kind](frame).alias("planted"))
    with caplog.at_level(logging.WARNING, "genebatch.dataset.screen"):
        features, lines = run(planted, infinite="missing")
    assert "planted" not in features["names"]
    assert lines["planted"]["role"] == "dropped"
    assert not lines["planted"]["kept"]
    assert REASONS[kind] in lines["planted"]["reason"]
    assert "column 'planted': leak" in caplog.text
    assert sorted(features["names"]) == ["kmer", "noise", "ties"]


def test_two_columns_that_are_equal_where_it_is_a_donor_lose_one(run, frame):
    left, right = draws(frame, 1), draws(frame, 2)
    planted = frame.with_columns(
        left.alias("left"), pl.when(is_donor()).then(left).otherwise(right).alias("right")
    )
    features, lines = run(planted)
    assert len({"left", "right"} & set(features["names"])) == 1
    (dropped,) = {"left", "right"} - set(features["names"])
    (kept,) = {"left", "right"} - {dropped}
    assert f"leak: being equal to '{kept}' has AUC 1.0000" in lines[dropped]["reason"]
    assert lines[kept]["reason"] == "passed every test"


def test_of_a_telling_pair_the_base_score_stays(run, frame):
    scored = with_scores(frame)
    planted = scored.with_columns(
        pl.when(is_donor()).then(pl.col("p_donor")).otherwise(draws(frame, 9)).alias("nearly")
    )
    features, lines = run(planted, scores=SCORES)
    assert "p_donor" in features["names"]
    assert "leak: being equal to 'p_donor'" in lines["nearly"]["reason"]


def test_missingness_is_judged_by_its_own_limit(run, frame):
    some = is_donor() & (pl.col("gene_id") < "g15")  # half of the donors: AUC 0.75
    planted = frame.with_columns(pl.when(~some).then(draws(frame)).alias("gaps"))
    features, lines = run(planted, test_groups=["g29"], folder="strict")
    assert "leak: being missing has AUC 0.7586 for 'donor'" in lines["gaps"]["reason"]  # 15 of 29
    assert "gaps" not in features["names"]
    features, _ = run(planted, screen_keys={"max_missing_auc": 0.8}, folder="lax")
    assert "gaps" in features["names"]


def test_gaps_that_know_nothing_are_no_leak(run, frame):
    gaps = pl.when(pl.col("gene_id") < "g15").then(draws(frame)).alias("gaps")
    features, lines = run(frame.with_columns(gaps))
    assert "gaps" in features["names"]
    assert lines["gaps"]["reason"] == "passed every test"


# ---- columns without use


def test_constant_empty_and_duplicate_columns_are_dropped(run, frame):
    planted = frame.with_columns(
        pl.lit(2.5).alias("same"),
        pl.lit(None, pl.Float32).alias("empty"),
        pl.lit(float("nan")).alias("no numbers"),
        pl.col("noise").alias("copy"),
        pl.col("noise").cast(pl.Float64).alias("wide copy"),
    )
    features, lines = run(planted)
    assert sorted(features["names"]) == ["kmer", "noise", "ties"]
    assert lines["same"]["reason"] == "constant (2.5)"
    assert lines["empty"]["reason"] == lines["no numbers"]["reason"] == "empty in every row"
    assert lines["copy"]["reason"] == lines["wide copy"]["reason"] == "duplicate of 'noise'"


def test_of_duplicates_the_base_score_stays(run, frame):
    scored = with_scores(frame)
    planted = scored.select(pl.col("p_donor").alias("a copy"), pl.all())
    features, lines = run(planted, scores=SCORES)
    assert lines["a copy"]["reason"] == "duplicate of 'p_donor'"
    assert "p_donor" in features["names"]


def test_columns_that_differ_in_one_row_are_no_duplicates(run, frame):
    nearly = pl.when(pl.int_range(pl.len()) == 50).then(7.5).otherwise(pl.col("noise"))
    features, _ = run(frame.with_columns(nearly.cast(pl.Float32).alias("nearly")))
    assert {"noise", "nearly"} <= set(features["names"])


# ---- what is kept all the same


def test_base_scores_are_flagged_and_never_dropped(run, frame):
    perfect = pl.when(is_donor()).then(0.9).otherwise(0.1)
    scored = with_scores(frame).with_columns(
        perfect.alias("p_donor"),
        pl.lit(0.5).alias("p_acceptor"),
    )
    features, lines = run(scored, scores=SCORES)
    assert set(SCORES.values()) <= set(features["names"])
    reason = lines["p_acceptor"]["reason"]
    assert "constant (0.5)" in reason
    assert reason.endswith("kept all the same: a base score")
    assert all((lines[n]["role"], lines[n]["kept"]) == ("feature", True) for n in SCORES.values())


def test_a_feature_may_be_as_good_as_the_base_score_but_not_halve_its_rest(run, frame):
    noise = draws(frame, 3)
    position = pl.col("position")
    misses = is_donor() & (pl.col("gene_id") < "g02")  # 2 of 30 donors look like anything else
    score = pl.when(is_donor() & ~misses).then(0.9).otherwise(0.3 + noise.clip(-2, 2) / 10)
    scored = with_scores(frame).with_columns(score.alias("p_donor"))
    planted = scored.with_columns(
        (pl.col("p_donor").log() * 2 + position / 1e6).alias("made of it"),
        (is_donor().cast(pl.Float64) + noise / 100).alias("knows more"),
    )
    features, lines = run(planted, scores=SCORES, screen_keys={"max_auc": 0.9}, test_groups=["g29"])
    base = lines["p_donor"]["auc_donor"]
    assert 0.9 < base < 1
    assert lines["made of it"]["auc_donor"] == pytest.approx(base, abs=0.01)
    assert "made of it" in features["names"]
    assert "knows more" not in features["names"]


def test_screen_keep_keeps_and_still_says_why(run, frame):
    planted = frame.with_columns(
        is_donor().cast(pl.Float32).alias("planted_a"), is_donor().alias("planted_b")
    )
    features, lines = run(planted, screen_keys={"keep": ("planted_a",)})
    assert "planted_a" in features["names"]
    assert "planted_b" not in features["names"]
    assert lines["planted_a"]["reason"].startswith("leak: alone it has AUC 1.0000")
    assert lines["planted_a"]["reason"].endswith("kept all the same: screen.keep")


def test_screen_keep_takes_patterns_and_refuses_unknown_names(run, frame):
    planted = frame.with_columns(is_donor().alias("planted"), pl.lit(1).alias("plain"))
    features, _ = run(planted, screen_keys={"keep": ("pla*",)}, folder="pattern")
    assert {"planted", "plain"} <= set(features["names"])
    with pytest.raises(InputError, match=r"'plated' is missing .*planted.*screen\.keep"):
        run(planted, screen_keys={"keep": ("plated",)}, folder="misspelt")


def test_a_screen_that_leaves_nothing_is_an_error(run, frame):
    bare = frame.drop("noise", "ties", "kmer").with_columns(is_donor().alias("planted"))
    with pytest.raises(
        InputError, match=r"leaves no feature; see screen\.max_auc and screen\.keep"
    ):
        run(bare)


# ---- whose rows are read


def test_what_only_test_groups_hold_is_not_seen(run, frame):
    test = ["g03", "g11", "g20"]
    leak = pl.when(in_test(*test)).then(is_donor().cast(pl.Float64) * 100).otherwise(draws(frame))
    features, lines = run(frame.with_columns(leak.alias("wild")), test_groups=test)
    assert "wild" in features["names"]
    assert lines["wild"]["reason"] == "passed every test"


def test_test_groups_hide_no_leak_of_the_training_groups(run, frame):
    test = [f"g{number:02d}" for number in range(0, 30, 2)]
    leak = pl.when(in_test(*test)).then(draws(frame)).otherwise(is_donor().cast(pl.Float64))
    features, _ = run(frame.with_columns(leak.alias("planted")), test_groups=test)
    assert "planted" not in features["names"]


def test_aucs_are_those_of_the_training_groups(run, frame):
    _, lines = run(frame, test_groups=["g03", "g11"])
    training = frame.filter(~in_test("g03", "g11"))
    for column in ("noise", "ties", "kmer"):
        for name in CLASSES:
            wanted = roc_auc_score(training["splice_type"] == name, training[column])
            assert lines[column][f"auc_{name}"] == pytest.approx(wanted)


@pytest.mark.parametrize("shards", [1, 4])
def test_the_order_of_rows_does_not_matter(run, frame, shards):
    plain = run(frame, folder="plain")
    mixed = run(frame.sample(fraction=1, shuffle=True, seed=4), folder="mixed", shards=shards)
    assert plain[0] == mixed[0]
    for column, line in plain[1].items():
        assert mixed[1][column] == pytest.approx(line), column


def test_a_sample_is_whole_groups_with_about_the_wanted_rows(frame, analyse):
    groups = analyse(frame).groups
    sampled = sample_groups(groups, 120, seed=7)
    assert sampled["rows"].sum() == 120
    assert set(sampled["group"]) < set(groups["group"])
    assert sample_groups(groups, 360, seed=7).equals(groups)
    assert not sampled.equals(sample_groups(groups, 120, seed=8))


def test_a_sample_of_large_groups_holds_one_at_least(table, analyse):
    groups = analyse(table(n_groups=3, rows=500)).groups
    assert sample_groups(groups, 100, seed=7)["group"].to_list() == ["g00"]


# ---- the feature set and its table


def test_every_column_has_one_line(run, frame):
    wide = with_scores(frame).with_columns(
        pl.lit("x").alias("note"), pl.lit("y").alias("other"), pl.lit(1).alias("out_1")
    )
    keys = {"metadata": ["chrom", "note", "other"], "exclude": ["out_*", "note"], "scores": SCORES}
    features, lines = run(wide, **keys)
    assert sorted(lines) == sorted(wide.columns)
    roles = {column: line["role"] for column, line in lines.items()}
    assert roles["gene_id"] == "group"
    assert roles["splice_type"] == "label"
    assert roles["sample_weight"] == "weight"
    assert roles["position"] == "position"
    assert roles["note"] == roles["other"] == roles["chrom"] == "metadata"
    assert roles["out_1"] == "excluded"
    assert lines["out_1"]["reason"] == "set by dataset.exclude"
    assert {column for column, role in roles.items() if role == "feature"} == set(features["names"])


def test_features_are_dense_first_then_counts(run, frame):
    moved = frame.select("kmer", pl.exclude("kmer"))
    features, lines = run(moved)
    assert features["names"] == ["noise", "ties", "kmer"]
    assert features["n_dense"] == 2
    assert lines["kmer"]["kind"] == "count"
    assert features["counts_per_row"] == pytest.approx((frame["kmer"] != 0).mean())
    assert features["digest"] == Features.from_json(features).digest


def test_what_memory_depends_on_is_counted(run, frame):
    rng = np.random.default_rng(4)
    size = frame.height

    def count(density, most=3):
        hits = rng.random(size) < density
        return pl.Series((hits * rng.integers(1, most + 1, size)).astype(np.int32))

    made = frame.with_columns(
        rare=count(0.05), frequent=count(0.2), common=count(0.7), far=count(0.7, 1000)
    )
    features, _ = run(made)
    assert features["names"] == ["noise", "ties", "common", "far", "kmer", "rare", "frequent"]
    assert features["n_wide"] == 3  # of the first four; common takes four values
    assert features["n_frequent"] == 2  # kmer and frequent


def test_empty_labels_are_screened_as_the_null_class(run, frame):
    unnamed = frame.with_columns(pl.when(pl.col("splice_type") != "neither").then("splice_type"))
    plain, other = run(frame, folder="plain"), run(unnamed, folder="null", null_label="neither")
    assert plain[1]["noise"] == other[1]["noise"]


# ---- AUC


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 3
    )
)
def test_aucs_are_those_of_scikit_learn(rows):
    values, labels = np.array(rows).T
    positives = labels[:, None] == np.arange(3)
    _, codes = np.unique(values, return_inverse=True)
    wanted = [roc_auc_score(positives[:, number], values) for number in range(3)]
    np.testing.assert_allclose(aucs_by_value(codes, positives), wanted)


def test_auc_by_hand():
    # Of the four pairs (1, 0), (1, 1), (2, 0), (2, 1) three are in order and one is a tie.
    positives = np.array([[False], [False], [True], [True]])
    assert aucs_by_value(np.array([0, 1, 1, 2]), positives)[0] == 3.5 / 4


def test_auc_without_both_sides_is_not_a_number():
    positives = np.array([[True, False], [True, False]])
    assert np.isnan(aucs_by_value(np.array([0, 1]), positives)).all()
    assert np.isnan(aucs_by_value(np.array([], int), positives[:0])).all()


def test_tracks_are_told_with_what_is_kept_and_their_best_column():
    table = pl.DataFrame(
        {
            "column": ["track_a_x", "track_a_y", "other"],
            "kept": [True, False, True],
            "auc_donor": [0.2, 0.7, 0.99],
            "auc_neither": [None, None, 0.6],
        },
        schema_overrides={"auc_neither": pl.Float64},
    )
    told = {"a": {"kind": "number", "columns": ["track_a_x", "track_a_y"]}}
    assert list(say_tracks(table, told, ["donor", "neither"])) == [
        "track a: 1 of 2 columns kept; best AUC of one alone: donor 0.800, neither -"
    ]


# ---- categories


def categorical(frame, values):
    return frame.with_columns(c=values), {"categorical": ["c"]}


def test_a_category_is_a_feature_with_the_categories_of_training(run, frame):
    values = (
        pl.when(in_test("g00"))
        .then(pl.lit("of test"))
        .otherwise(pl.lit("c") + (pl.int_range(pl.len()) % 3).cast(pl.String))
    )
    told, keys = categorical(frame, values)
    features, lines = run(told, **keys)
    assert features["categories"] == {"c": ["c0", "c1", "c2"]}
    assert features["names"].index("c") < features["n_dense"]
    assert lines["c"]["kind"] == "category"
    assert lines["c"]["role"] == "feature"


def test_categories_that_give_a_class_away_are_a_leak(run, frame):
    words = pl.lit("c") + (pl.int_range(pl.len()) % 3).cast(pl.String)
    told, keys = categorical(frame, pl.when(is_donor()).then(words + "d").otherwise(words))
    features, lines = run(told, **keys)
    assert "c" not in features["names"]
    assert lines["c"]["reason"] == "leak: alone it has AUC 1.0000 for 'donor'"


def test_missing_categories_that_give_a_class_away_are_a_leak(run, frame):
    words = pl.lit("c") + (pl.int_range(pl.len()) % 3).cast(pl.String)
    told, keys = categorical(frame, pl.when(~is_donor()).then(words))
    assert "being missing has AUC 1.0000 for 'donor'" in run(told, **keys)[1]["c"]["reason"]


@pytest.mark.parametrize("kept", [(), ("c",)])
def test_categories_that_tell_the_group_are_dropped_unless_kept(run, frame, kept):
    told, keys = categorical(frame, pl.col("gene_id"))
    features, lines = run(told, screen_keys={"keep": kept}, **keys)
    assert ("c" in features["names"]) == bool(kept)
    assert lines["c"]["reason"].startswith(
        "tells the group: 100% of its rows have a category of one training group only"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pl.lit("same"), "constant"),
        (pl.lit(None, pl.String), "empty in every row"),
        (
            pl.when(in_test("g00")).then(pl.lit("of test")),
            "empty in every row of the training groups",
        ),
    ],
)
def test_a_constant_or_empty_category_is_dropped(run, frame, values, reason):
    told, keys = categorical(frame, values)
    kept = ("c",) if reason != "constant" else ()  # there is nothing to keep
    features, lines = run(told, screen_keys={"keep": kept}, **keys)
    assert lines["c"]["reason"] == reason
    assert "c" not in features["names"]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_the_auc_of_categories_is_the_best_of_all_orders(cells):
    codes, positive = map(np.array, zip(*cells, strict=True))
    (found,) = aucs_by_category(codes, positive[:, None])
    if positive.all() or not positive.any():
        assert np.isnan(found)
        return
    orders = (np.array(order)[codes] for order in permutations(range(5)))
    assert found == pytest.approx(max(roc_auc_score(positive, order) for order in orders))
