"""Turns the parameters of the estimator into settings, and messages about keys into its words."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from genebatch.config.schema import resolve
from genebatch.config.settings import Settings
from genebatch.io.files import InputError
from genebatch.jobs.limits import RUN_MEMORY

# Parameter to its key in the configuration.
KEYS = {
    **{
        name: f"batching.{name}"
        for name in (
            *("strategy", "similar_by", "max_groups", "max_rows", "min_groups"),
            *("min_positives", "overlap"),
        )
    },
    **{name: f"cv.{name}" for name in ("n_splits", "stop_fraction")},
    **{
        name: f"learner.{name}"
        for name in (
            *("n_estimators", "learning_rate", "max_depth", "min_child_weight", "subsample"),
            *("colsample_bytree", "max_bin", "early_stopping_rounds", "device", "params"),
        )
    },
    "reg_lambda": "learner.lambda",
    "select_top": "learner.select.top",
    "calibration": "calibration.method",
    "prevalence": "calibration.prevalence",
    **{
        name: f"ensemble.{name}"
        for name in (
            *("combiner", "top_k", "score_rows", "rivals", "with_single", "distil_mix"),
            "uncertainty",
        )
    },
    "single_n_splits": "single.n_splits",
    "final": "final",
    "rest_class": "dataset.rest_class",
    "categorical": "dataset.categorical",
    "memory_mb": "resources.memory_mb",
}
SEEDS = ("batching.seed", "cv.seed", "learner.seed")
# What messages say that name no parameter, and what the estimator says.
WORDS = {
    f" and {RUN_MEMORY}": "",
    "set learner.use_weights: false": "leave out sample_weight",
    "the column of dataset.weight": "sample_weight",
    "in the table (dataset.group)": "(groups)",
    ", or take the column out of dataset.categorical and list it in dataset.metadata": "",
    "raise screen.max_categories (up to 250)": "leave it out of X, or join some of them",
    "rename it in the table, or list it in dataset.exclude": "rename it, or leave it out of X",
    "dataset.weight": "sample_weight",
    "dataset.group": "groups",
    "dataset.label": "y",
    "dataset.classes": "the classes",
    "dataset.scores": "base_scores",
    "configuration:": "parameters:",
    **{key: name for name, key in KEYS.items() if key != name},
}
WORD = re.compile("|".join(map(re.escape, sorted(WORDS, key=len, reverse=True))))


def settings_of(parameters: Mapping[str, Any], dataset: Mapping[str, Any]) -> Settings:
    """Build the settings of a run, with the defaults of the schema for all other keys.

    Parameters
    ----------
    parameters
        Those of the estimator.
    dataset
        The section `dataset`, without `rest_class`.

    Raises
    ------
    InputError
        With a line for each parameter that the schema refuses.
    """
    seed = _seed(parameters["random_state"])
    config: dict[str, Any] = {"dataset": dict(dataset)}
    for key in SEEDS:
        _put(config, key, seed)
    # The time of a run is the user's own matter, who waits for it.
    _put(config, "single.max_hours", None)
    for name, key in KEYS.items():
        _put(config, key, _plain(parameters[name]))
    if parameters["params"] is None:
        config["learner"]["params"] = {}
    if parameters["select_top"] is None:
        config["learner"]["select"] = None
    return Settings.build(resolve(config))


@contextmanager
def in_words_of_parameters(table: str | Path) -> Iterator[None]:
    """Raise an `InputError` about keys of the configuration as one about parameters.

    `table` is the path of the rows, which tells a caller nothing.
    """
    try:
        yield
    except InputError as error:
        text = str(error).replace(f"data set {table}:", "the rows:").replace(f"{table}: ", "")
        raise InputError(WORD.sub(lambda match: WORDS[match[0]], text)) from error


def _seed(random_state: Any) -> int:
    """The number itself, or a number that is drawn."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, such as `learner.select.top`."""
    *sections, name = key.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    config[name] = value


def _plain(value: Any) -> Any:
    """The value as YAML would give it: searches set numbers of NumPy, and labels may be any."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    return value
