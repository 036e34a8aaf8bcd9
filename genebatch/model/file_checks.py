"""Checks a model file's description and its boosters before they are used.

XGBoost trusts what it reads: a child beyond the nodes of its tree ends the process, and a node that
is its own ancestor makes a prediction run for ever. So a file of unknown origin is checked before
XGBoost sees it.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from jsonschema import Draft202012Validator

from genebatch.io.files import InputError

TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
NAMES = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
NONE_OR_TEXT = {"type": ["string", "null"]}


def _object(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required, "required": list(required), **more}


COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
TEXTS = {"type": "array", "items": TEXT}
BY_CLASS = {"type": ["object", "null"], "additionalProperties": NUMBER}
THRESHOLD = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
THRESHOLDS = {
    "type": ["object", "null"],
    "additionalProperties": _object({"rows": THRESHOLD, "weighted": THRESHOLD}),
}
# What the package reads of facts. A later version may record others, which nothing reads.
MEMBER_FACTS = {
    "type": "object",
    "required": ["rows"],
    "properties": {
        **dict.fromkeys(("rows", "fold"), COUNT),
        "key": TEXT,
        "seed": {"type": "integer"},
        "n_trees": {"type": "object", "additionalProperties": COUNT},
        **dict.fromkeys(("class_rows", "class_weights"), BY_CLASS),
        "metrics": {"type": ["array", "null"], "items": {"type": "object"}},
        "mix": NUMBER,
        "teachers": TEXTS,
        "settings": {"type": "object"},
    },
}
FACTS = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("final", "data_digest", "no_std"), TEXT),
        **dict.fromkeys(("data_rows", "data_groups", "algorithm"), COUNT),
        "batches": {
            "type": "array",
            "items": _object({"batch": TEXT, "key": TEXT, "groups": COUNT, "rows": COUNT}),
        },
        "missing_batches": TEXTS,
        "sample": _object(dict.fromkeys(("groups", "rows", "of_groups", "of_rows"), COUNT)),
        "trained_genes": {"type": ["array", "null"], "items": TEXT},
        "sequence": {
            "type": ["object", "null"],
            "required": ["features"],
            "properties": {
                "features": {"type": "object"},
                "least_score": THRESHOLD,
                "min_intron": {"type": "integer", "minimum": 1},
                "structure": {"type": "object", "required": ["ends", "lengths", "pairs"]},
                "tracks": {
                    "type": "object",
                    "additionalProperties": _object({"kind": TEXT, "columns": NAMES}),
                },
            },
        },
        **dict.fromkeys(("thresholds", "base_thresholds"), THRESHOLDS),
    },
}
WEIGHTS = {"type": "array", "items": {"type": "number", "minimum": 0}}  # of the classes
MEMBER = _object(
    {
        "name": TEXT,
        "calibrators": {"type": "array", "items": {"type": "object"}},
        "groups": {"type": "array", "items": TEXT},
        "groups_digest": TEXT,
        "class_weight": WEIGHTS,
        "facts": MEMBER_FACTS,
    }
)
MEMBER["properties"]["folds"] = COUNT  # models of folds that are kept; absent where there are none
DESCRIPTION = _object(
    {
        "genebatch": TEXT,
        "classes": NAMES | {"minItems": 2},
        "features": {
            "type": "object",
            "properties": {
                "names": NAMES,
                "n_dense": {"type": "integer", "minimum": 0},
                "categories": {"type": "object", "additionalProperties": NAMES},
            },
            "required": ["names", "n_dense"],
        },
        "scores": {"type": ["object", "null"], "additionalProperties": TEXT},
        "combiner": _object({"name": TEXT, "parameters": {"type": "object"}}),
        "prevalence": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        },
        "columns": _object({"group": TEXT}, additionalProperties=NONE_OR_TEXT),
        "facts": FACTS,
        "members": {"type": "array", "items": MEMBER, "minItems": 1},
        "files": {
            "type": "object",
            "additionalProperties": _object(
                {"sha256": TEXT, "bytes": {"type": "integer", "minimum": 0}}
            ),
        },
    }
)
DESCRIPTION["properties"]["class_weight"] = WEIGHTS  # absent where it is that of the members
VALIDATOR = Draft202012Validator(DESCRIPTION)

DEEPEST = 16  # levels of nested values; a booster has 7
# Markers of UBJSON that XGBoost writes for numbers and for the cells of typed arrays.
NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
CELLS = {ord(marker): np.dtype(kind) for marker, kind in NUMBERS.items()}
# Arrays with one cell for every node of a tree, and the kind of their cells.
PER_NODE = {
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "i"),
    **dict.fromkeys(("split_conditions", "base_weights", "sum_hessian", "loss_changes"), "f"),
    **dict.fromkeys(("default_left", "split_type"), "u"),
}
NO_PARENT = 2**31 - 1  # of the root
# The sets of categories of a tree, one after the other; the split of each, its first and length.
CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def read_description(data: bytes, newest: int) -> dict[str, Any]:
    """Read and check `model.json`.

    Parameters
    ----------
    data
        Its bytes.
    newest
        The newest format that this version reads.

    Raises
    ------
    InputError
        If it is no description, has a later format, or contradicts itself.
    """
    description = json.loads(data, parse_constant=_no_number)
    if not isinstance(description, dict) or type(description.get("format")) is not int:
        raise InputError("model.json names no format")
    if description["format"] > newest:
        raise InputError(
            f"format {description['format']} is newer than this version reads ({newest}); "
            f"install genebatch {description.get('genebatch')} or later"
        )
    problem = next(VALIDATOR.iter_errors(description), None)
    if problem is not None:
        raise InputError(f"model.json: {problem.json_path[:100]}: {problem.message[:200]}")
    _check_parts(description)
    return description


def _check_parts(description: Mapping[str, Any]) -> None:
    """Raise unless the parts agree about classes and features."""
    classes, features = description["classes"], description["features"]
    if features["n_dense"] > len(features["names"]):
        raise InputError("model.json: more dense features than features")
    if not set(features.get("categories", {})) <= set(features["names"][: features["n_dense"]]):
        raise InputError("model.json: categories of what is no dense feature")
    for key in ("scores", "prevalence"):
        if description[key] is not None and set(description[key]) != set(classes):
            raise InputError(f"model.json: {key} names other classes than {', '.join(classes)}")
    for key in ("thresholds", "base_thresholds"):
        if not set(description["facts"].get(key) or {}) <= set(classes):
            raise InputError(f"model.json: {key} names other classes than {', '.join(classes)}")
    if description.get("rest_class") not in (None, *classes):  # absent from older files
        raise InputError("model.json: rest_class is none of the classes")
    for member in description["members"]:
        _check_weights(member["class_weight"], f" of member {member['name']}")
    # A member with another number of classes is refused where its boosters are read.
    summed = zip(*(member["class_weight"] for member in description["members"]), strict=False)
    weights = description.get("class_weight", list(map(sum, summed)))
    _check_weights(weights)
    if "class_weight" in description and len(weights) != len(classes):
        raise InputError(f"model.json: class_weight is of {len(weights)} classes")
    if description["prevalence"] is not None:
        if not math.isclose(sum(description["prevalence"].values()), 1, abs_tol=1e-6):
            raise InputError("model.json: prevalence does not add up to 1")
        if not all(weight > 0 for weight in weights):
            raise InputError("model.json: prevalence of a class that no member was trained on")


def _check_weights(weights: Sequence[float], whose: str = "") -> None:
    if not all(map(math.isfinite, weights)) or not math.isfinite(sum(weights)):
        raise InputError(f"model.json: class_weight{whose} is not finite")


def _no_number(text: str) -> NoReturn:
    raise InputError(f"model.json has {text} where a number belongs")


def check_booster(data: bytes, categories: np.ndarray) -> None:
    """Raise unless the bytes are trees of one output, as XGBoost writes them and can follow.

    Takes some 100 microseconds a tree.

    Parameters
    ----------
    data
        Bytes that `boosting.to_bytes` wrote, or that claim to be so.
    categories
        (features,) number of categories of each feature that the booster must have; 0 for numbers.

    Raises
    ------
    InputError
        The message says what is wrong with it.
    """
    try:
        content = _Reader(data).whole()
        _check_content(content, categories)
    except InputError:
        raise
    except (struct.error, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it is no booster: {error!r}") from error


def _check_content(content: Mapping[str, Any], categories: np.ndarray) -> None:
    learner, n_features = content["learner"], len(categories)
    given = learner["learner_model_param"]
    _require(int(given["num_feature"]) == n_features, f"it has not {n_features} features")
    _require(int(given["num_class"]) == 0 and int(given["num_target"]) == 1, "it has many outputs")
    start = float(given["base_score"].strip("[]"))
    _require(0 < start < 1, f"its base score is {start}")
    _require(learner["objective"]["name"] == "binary:logistic", "it is of another objective")
    _require(learner["gradient_booster"]["name"] == "gbtree", "it is of another kind than gbtree")
    model = learner["gradient_booster"]["model"]
    trees = model["trees"]
    parameters = model["gbtree_model_param"]
    _require(int(parameters["num_trees"]) == len(trees), "it has another number of trees")
    _require(int(parameters["num_parallel_tree"]) == 1, "a round has more than one tree")
    _require(list(model["tree_info"]) == [0] * len(trees), "its trees are of many outputs")
    rounds = list(model["iteration_indptr"])
    _require(rounds == list(range(len(trees) + 1)), "its rounds are not one tree each")
    _require(not model.get("cats", {}).get("enc"), "it has names of categories")
    types = learner.get("feature_types", [])
    _require(len(types) in (0, n_features), "it has types of other features")
    for number, tree in enumerate(trees):
        _require(tree["id"] == number, f"tree {number} is out of order")
        _check_tree(tree, number, categories)


def _check_tree(tree: Mapping[str, Any], number: int, categories: np.ndarray) -> None:
    n_features = len(categories)
    parameters = tree["tree_param"]
    n_nodes = int(parameters["num_nodes"])
    wrong = f"tree {number} has "
    _require(n_nodes > 0, wrong + "no node")
    _require(int(parameters["num_feature"]) == n_features, wrong + "another number of features")
    _require(int(parameters["size_leaf_vector"]) <= 1, wrong + "many outputs")
    for name, kind in PER_NODE.items():
        cells = tree[name]
        _require(isinstance(cells, np.ndarray), wrong + f"no array {name}")
        _require(len(cells) == n_nodes, wrong + f"{len(cells)} {name} for {n_nodes} nodes")
        _require(cells.dtype.kind == kind, wrong + f"{name} of another type")
    _require(not np.isnan(tree["split_conditions"]).any(), wrong + "no number in split_conditions")
    left, right = tree["left_children"], tree["right_children"]
    splits = np.flatnonzero(left != -1)
    _require(np.array_equal(splits, np.flatnonzero(right != -1)), wrong + "a node of one child")
    # Every node but the root is the child of a node before it, so there are no cycles.
    children = np.concatenate([left[splits], right[splits]])
    _require(
        np.array_equal(np.sort(children), np.arange(1, n_nodes))
        and bool((children > np.concatenate([splits, splits])).all()),
        wrong + "children that make no tree",
    )
    parents = np.full(n_nodes, NO_PARENT)
    parents[children] = np.concatenate([splits, splits])
    _require(np.array_equal(tree["parents"], parents), wrong + "parents of other children")
    features = tree["split_indices"][splits]
    _require(bool(((features >= 0) & (features < n_features)).all()), wrong + "an unknown feature")
    _check_categories(tree, splits, categories, wrong)


def _check_categories(
    tree: Mapping[str, Any], splits: np.ndarray, categories: np.ndarray, wrong: str
) -> None:
    """Raise unless just the splits of features with categories go by sets of these."""
    sizes = np.zeros(len(tree["split_type"]), np.int64)
    sizes[splits] = categories[tree["split_indices"][splits]]
    _require(np.array_equal(tree["split_type"], sizes > 0), wrong + "categories of a number")
    nodes = np.flatnonzero(sizes)
    sets, of_node, first, length = (tree[name] for name in CATEGORIES)
    for name in CATEGORIES:
        _require(isinstance(tree[name], np.ndarray) or not tree[name], wrong + f"no array {name}")
    _require(np.array_equal(of_node, nodes), wrong + "sets of categories for other splits")
    _require(len(first) == len(length) == len(nodes), wrong + "another number of sets")
    # The sets follow each other, and each category is one of its feature.
    _require(bool((np.asarray(length) >= 0).all()), wrong + "a set of less than no category")
    ends = np.cumsum(length)
    _require(np.array_equal(first, ends - length), wrong + "sets of categories that overlap")
    _require(len(sets) == (ends[-1] if len(ends) else 0), wrong + "categories of no set")
    most = np.repeat(sizes[nodes], length)
    known = (np.asarray(sets) >= 0) & (np.asarray(sets) < most)
    _require(bool(known.all()), wrong + "an unknown category")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


class _Reader:
    """Reads universal binary JSON as XGBoost writes it; arrays of numbers are views of the data."""

    def __init__(self, data: bytes):
        self.data, self.place = data, 0
        self.readers: dict[bytes, Callable[[int], Any]] = {
            b"{": self._object,
            b"[": self._array,
            b"S": lambda _: self._text(),
            b"T": lambda _: True,
            b"F": lambda _: False,
            b"Z": lambda _: None,
        }

    def whole(self) -> Mapping[str, Any]:
        """Read the one object that all the bytes hold."""
        content = self._value(0)
        if self.place != len(self.data):
            raise InputError(f"{len(self.data) - self.place:,} bytes follow the booster")
        return content

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.place:
            raise InputError("it ends too early")
        self.place += size
        return self.data[self.place - size : self.place]

    def _number(self, marker: bytes) -> int | float:
        kind = NUMBERS[marker]
        (value,) = struct.unpack(kind, self._take(struct.calcsize(kind)))
        return value

    def _length(self) -> int:
        """Read a length, which is never more than the bytes that are left."""
        length = self._number(self._take(1))
        if not isinstance(length, int) or not 0 <= length <= len(self.data) - self.place:
            raise InputError(f"it claims {length} of something")
        return length

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise InputError("its values are nested too deep")
        marker = self._take(1)
        if marker in NUMBERS:
            return self._number(marker)
        return self.readers[marker](depth)

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while self.data[self.place : self.place + 1] != b"}":
            name = self._text()
            if name in values:
                raise InputError(f"it has '{name}' twice")
            values[name] = self._value(depth + 1)
        self._take(1)
        return values

    def _array(self, depth: int) -> Any:
        marker = self.data[self.place : self.place + 1]
        if marker == b"$":
            _, cell, hash_sign = self._take(3)
            if hash_sign != ord("#"):
                raise InputError("an array has a type but no length")
            kind = CELLS[cell]
            return np.frombuffer(self._take(self._length() * kind.itemsize), kind)
        if marker != b"#":
            raise InputError("an array has no length")
        self._take(1)
        return [self._value(depth + 1) for _ in range(self._length())]
