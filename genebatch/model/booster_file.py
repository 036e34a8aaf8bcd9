"""Whether bytes are a booster that XGBoost can be given: it trusts what it reads.

A child beyond the nodes of its tree ends the process, and one that is its own ancestor never ends
a prediction, so a file of unknown origin is looked through before XGBoost sees it.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genebatch.io.files import InputError

DEEPEST = 16  # levels of nested values; a booster has 7
# Markers of UBJSON that XGBoost writes: of a number, and of the cells of a typed array.
NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
CELLS = {ord(marker): np.dtype(kind) for marker, kind in NUMBERS.items()}
# Arrays with a cell for every node of a tree.
PER_NODE = {
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "i"),
    **dict.fromkeys(("split_conditions", "base_weights", "sum_hessian", "loss_changes"), "f"),
    **dict.fromkeys(("default_left", "split_type"), "u"),
}
NO_PARENT = 2**31 - 1  # of the root
NO_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def check_booster(data: bytes, n_features: int) -> None:
    """Raise unless bytes are trees of one output that XGBoost wrote and can follow.

    Takes some 100 microseconds a tree.

    Parameters
    ----------
    data
        What `learner.to_bytes` wrote, or somebody who says so.
    n_features
        Features that the booster must have.

    Raises
    ------
    InputError
        Saying what is wrong with it.
    """
    try:
        content = _Reader(data).whole()
        _check_content(content, n_features)
    except InputError:
        raise
    except (struct.error, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it is no booster: {error!r}") from error


def _check_content(content: Mapping[str, Any], n_features: int) -> None:
    learner = content["learner"]
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
    _require(not model.get("cats", {}).get("enc"), "it has categories")
    for number, tree in enumerate(trees):
        _require(tree["id"] == number, f"tree {number} is out of order")
        _check_tree(tree, number, n_features)


def _check_tree(tree: Mapping[str, Any], number: int, n_features: int) -> None:
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
    _require(not any(len(tree[name]) for name in NO_CATEGORIES), wrong + "categories")
    _require(not tree["split_type"].any(), wrong + "categories")
    _require(not np.isnan(tree["split_conditions"]).any(), wrong + "no number in split_conditions")
    left, right = tree["left_children"], tree["right_children"]
    splits = np.flatnonzero(left != -1)
    _require(np.array_equal(splits, np.flatnonzero(right != -1)), wrong + "a node of one child")
    # Every node but the root is the child of one that stands before it: nothing goes in circles.
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


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


class _Reader:
    """Universal binary JSON as far as XGBoost writes it; arrays of numbers stay views."""

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
        """The object that the bytes are, all of them."""
        found = self._value(0)
        if self.place != len(self.data):
            raise InputError(f"{len(self.data) - self.place:,} bytes follow the booster")
        return found

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
        """A length; never more than the bytes that are left."""
        found = self._number(self._take(1))
        if not isinstance(found, int) or not 0 <= found <= len(self.data) - self.place:
            raise InputError(f"it claims {found} of something")
        return found

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
        found: dict[str, Any] = {}
        while self.data[self.place : self.place + 1] != b"}":
            name = self._text()
            if name in found:
                raise InputError(f"it has '{name}' twice")
            found[name] = self._value(depth + 1)
        self._take(1)
        return found

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
