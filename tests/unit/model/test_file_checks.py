"""Bytes that are no booster are refused before XGBoost sees them."""

import json
import zipfile

import numpy as np
import pytest
import xgboost as xgb

from genebatch.io.files import InputError
from genebatch.model.file_checks import check_booster
from tests.builders import DATA

KEPT = DATA / "model_format_1.gbm"
FEATURES = 6
NUMBERS = np.zeros(FEATURES, int)  # no feature has categories


@pytest.fixture(scope="module")
def kept() -> bytes:
    with zipfile.ZipFile(KEPT) as archive:
        return archive.read("members/000.ubj")


def cells(data: bytes, name: str) -> int:
    """Where the cells of a tree's array begin, of the first tree that has it."""
    return data.index(name.encode() + b"[$") + len(name) + 4 + 9


def with_cell(data: bytes, name: str, number: int, value: int) -> bytes:
    """The booster with another whole number in a cell of an array of its first tree."""
    place = cells(data, name) + 4 * number
    return data[:place] + value.to_bytes(4, "big", signed=True) + data[place + 4 :]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_depth": 8, "gamma": 0.5},
        {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
        {"max_depth": 1, "learning_rate": 1.0},
        {"min_child_weight": 1e9},  # trees of one leaf
    ],
)
def test_what_xgboost_wrote_is_a_booster(settings):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, FEATURES))
    x[rng.random(x.shape) < 0.3] = np.nan
    matrix = xgb.QuantileDMatrix(x, (np.nan_to_num(x[:, 0]) > 0.3).astype(float), nthread=1)
    given = {"objective": "binary:logistic", "nthread": 1, "tree_method": "hist"} | settings
    booster = xgb.train(given, matrix, 7)
    check_booster(bytes(booster.save_raw("ubj")), NUMBERS)
    check_booster(bytes(booster[:3].save_raw("ubj")), NUMBERS)


def test_kept_booster_is_one(kept):
    check_booster(kept, NUMBERS)


@pytest.mark.parametrize(
    ("name", "number", "value", "message"),
    [
        ("left_children", 0, 1_000_000, "children that make no tree"),
        ("left_children", 0, 0, "children that make no tree"),  # its own child, for ever
        ("right_children", 0, 1, "children that make no tree"),  # the same child twice
        ("left_children", 0, -1, "a node of one child"),
        ("parents", 1, 4, "parents of other children"),
        ("split_indices", 0, FEATURES, "an unknown feature"),
        ("split_indices", 0, -1, "an unknown feature"),
    ],
)
def test_tree_that_cannot_be_followed_is_refused(kept, name, number, value, message):
    with pytest.raises(InputError, match=message):
        check_booster(with_cell(kept, name, number, value), NUMBERS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"num_nodesSL" + bytes(7) + b"\x017", b"num_nodesSL" + bytes(7) + b"\x019", "for 9 nodes"),
        (b"binary:logistic", b"reg:squarederro", "another objective"),
        (
            b"num_treesSL" + bytes(7) + b"\x013",
            b"num_treesSL" + bytes(7) + b"\x014",
            "number of tr",
        ),
        (b"parents[$l", b"parents[$d", "parents of another type"),
    ],
)
def test_parts_that_disagree_are_refused(kept, old, new, message):
    assert old in kept
    with pytest.raises(InputError, match=message):
        check_booster(kept.replace(old, new, 1), NUMBERS)


def test_other_number_of_features_is_refused(kept):
    with pytest.raises(InputError, match="not 5 features"):
        check_booster(kept, NUMBERS[1:])


@pytest.mark.parametrize("share", [0, 0.2, 0.9, 0.999])
def test_part_of_a_booster_is_refused(kept, share):
    with pytest.raises(InputError):
        check_booster(kept[: int(share * len(kept))], NUMBERS)


def test_bytes_after_a_booster_are_refused(kept):
    with pytest.raises(InputError, match="3 bytes follow"):
        check_booster(kept + b"abc", NUMBERS)


def test_claimed_length_beyond_the_file_is_refused(kept):
    place = cells(kept, "left_children") - 8
    huge = kept[:place] + (2**62).to_bytes(8, "big") + kept[place + 8 :]
    with pytest.raises(InputError, match="it claims 4611686018427387904"):
        check_booster(huge, NUMBERS)


def test_deep_nesting_is_refused():
    with pytest.raises(InputError, match="nested too deep"):
        check_booster(b"[#i\x01" * 100, NUMBERS)


def test_json_is_no_booster():
    with pytest.raises(InputError):
        check_booster(json.dumps({"learner": {}}).encode(), NUMBERS)


@pytest.fixture(scope="module")
def of_categories() -> bytes:
    """A booster of a number and of a feature with 6 categories."""
    rng = np.random.default_rng(1)
    x = np.column_stack([rng.normal(size=400), rng.integers(0, 6, 400)])
    y = (x[:, 1] % 2 == 0) ^ (x[:, 0] > 1)
    matrix = xgb.DMatrix(x, y, feature_types=["q", "c"], enable_categorical=True, nthread=1)
    given = {"objective": "binary:logistic", "nthread": 1, "max_depth": 2}
    return bytes(xgb.train(given, matrix, 3).save_raw("ubj"))


def test_splits_by_sets_of_categories_are_taken(of_categories):
    check_booster(of_categories, np.array([0, 6]))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([0, 0], "categories of a number"),
        ([3, 6], "categories of a number"),
        ([0, 4], "an unknown category"),
    ],
)
def test_categories_of_other_features_are_refused(of_categories, sizes, message):
    with pytest.raises(InputError, match=message):
        check_booster(of_categories, np.array(sizes))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("categories", -1, "an unknown category"),
        ("categories", 2**30, "an unknown category"),
        ("categories_nodes", 5, "sets of categories for other splits"),
    ],
)
def test_sets_of_categories_that_cannot_be_followed_are_refused(
    of_categories, name, value, message
):
    with pytest.raises(InputError, match=message):
        check_booster(with_cell(of_categories, name, 0, value), np.array([0, 6]))


def test_sets_of_categories_beyond_the_tree_are_refused(of_categories):
    place = cells(of_categories, "categories_sizes")
    huge = of_categories[:place] + (2**40).to_bytes(8, "big") + of_categories[place + 8 :]
    with pytest.raises(InputError, match=r"overlap|no set"):
        check_booster(huge, np.array([0, 6]))
