"""Explains the delivered model on test groups: what its trees look at, and what it would lose."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.settings import Explaining
from genebatch.dataset.families import built_families, families, unmatched
from genebatch.dataset.row_file import Rows
from genebatch.dataset.rows import group_codes, label_codes
from genebatch.groups import hashed
from genebatch.io.files import first_names
from genebatch.metrics.binary import own_log_loss
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.explanation import (
    contributions,
    family_table,
    feature_table,
    gains,
    shap_table,
)

log = logging.getLogger(__name__)


class FinalExplanation(NamedTuple):
    """What explains the delivered model.

    Attributes
    ----------
    features
        `class, feature, family, total_gain, mean_abs_shap`, the most important first, with a line
        for what is known before any feature.
    families
        `class, family, features, gain_share, mean_abs_shap, log_loss_rise, standard_error`.
    shap
        SHAP values of the sample: `group, label, class`, `(start)`, and every feature that the
        model uses; class after class. Of those that a feature is called like the name begins with
        `row.`.
    """

    features: pl.DataFrame
    families: pl.DataFrame
    shap: pl.DataFrame


def chosen_rows(identity: pl.DataFrame, n_rows: int, seed: int) -> np.ndarray:
    """Choose rows: as many of every class, as far as it has them, from as many groups as can be.

    Parameters
    ----------
    identity
        `group` and `label` of all rows.
    n_rows
        About how many rows.
    seed
        Of the draw; a group's rows do not depend on other groups.

    Returns
    -------
    numpy.ndarray
        Rising numbers of rows.
    """
    labels = identity["label"].unique().sort()
    quota = max(n_rows // len(labels), 1)
    numbered = identity.select(
        pl.int_range(pl.len()).alias("row"), pl.col("group").cast(pl.String), "label"
    )
    chosen = []
    for label in labels:
        own = numbered.filter(pl.col("label") == label)
        drawn = []
        for (group,), part in own.group_by("group", maintain_order=True):
            tie = hashed(group, seed)
            rows = np.random.default_rng(tie).permutation(part["row"].to_numpy())[:quota]
            drawn.append([np.arange(len(rows)), np.full(len(rows), tie), rows])
        # In turns: a first row of every group, then a second of those that have one.
        turns, ties, rows = np.concatenate(drawn, axis=1)
        chosen.append(rows[np.lexsort([ties, turns])[:quota]])
    return np.sort(np.concatenate(chosen))


def drawn_rows(parts: Iterable[Rows], chosen: np.ndarray) -> Rows:
    """The chosen rows of successive parts, with their features."""
    identity, features, start = [], [], 0
    for part in parts:
        stop = start + part.identity.height
        kept = chosen[slice(*np.searchsorted(chosen, (start, stop)))] - start
        identity.append(part.identity[kept])
        features.append(part.features[kept])
        start = stop
    return Rows(pl.concat(identity), pl.concat(features))


def explain_final(model: EnsembleModel, sample: Rows, settings: Explaining) -> FinalExplanation:
    """Explain a model on rows that it has not seen.

    Gain and SHAP values are of the trees; of several members they are means by the combiner's
    weights. The rise of the log loss is of the delivered probabilities, calibrated and combined:
    the columns of a family are permuted among the rows of the sample, and with the base scores
    what boosters start from. Rows of the sample count alike, so the loss is that of classes that
    are equally frequent.

    Holds the SHAP values of the sample, 4 bytes x rows x classes x features that the model uses.

    Parameters
    ----------
    model
        The delivered model.
    sample
        Rows with the columns that the model asks for.
    settings
        The section `explain`.
    """
    _warn_of_families(model, settings)
    scores = list((model.scores or {}).values())
    given = {**settings.families, "base scores": scores, **built_families(model.facts)}
    family_of = families(model.feature_names_in_.tolist(), given)
    values, gain = contributions(model, sample.features), gains(model)
    rises = _rises(model, sample, {**family_of, **_starting(model, family_of, given)}, settings)
    features, by_family = [], []
    for column, label in enumerate(model.classes):
        own = values[column]
        features.append(feature_table(label, family_of, own, gain[column]))
        of_class = {family: of_classes[column] for family, of_classes in rises.items()}
        table = family_table(label, family_of, own, gain[column], of_class)
        by_family.append(table.sort("log_loss_rise", "family", descending=[True, False]))
    leading = sample.identity.select("group", "label")
    shap = shap_table(model, leading, values)
    return FinalExplanation(pl.concat(features), pl.concat(by_family), shap)


def _warn_of_families(model: EnsembleModel, settings: Explaining) -> None:
    """Warn of names of families that no feature has, whether a tree splits on it or not."""
    absent = unmatched(model.features.names, settings.families)
    if absent:
        log.warning(
            "%s names of explain.families match no feature: %s; they may be misspelt, or columns "
            "that the screen dropped",
            *(f"{len(absent):,}", first_names(absent)),
        )


def _starting(
    model: EnsembleModel, family_of: Mapping[str, str], given: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Family of the columns that boosters start from and that no tree splits on."""
    columns = [name for name in model.columns_in_ if name not in family_of]
    return families(columns, given)


def _rises(
    model: EnsembleModel, sample: Rows, family_of: Mapping[str, str], settings: Explaining
) -> dict[str, list[tuple[float, float | None]]]:
    """Family to the rise of the log loss of each class, with its standard error over groups."""
    codes = label_codes(sample.identity["label"], model.classes, None)
    groups = group_codes(sample.identity)
    before = _losses(model, sample.features, codes)
    rng = np.random.default_rng(settings.seed)
    rises = {}
    for family in dict.fromkeys(family_of.values()):
        columns = [name for name, own in family_of.items() if own == family]
        order = rng.permutation(len(codes))
        moved = sample.features.with_columns(sample.features[name][order] for name in columns)
        risen = _losses(model, moved, codes) - before
        rises[family] = [_mean_and_error(part, groups) for part in risen.T]
    return rises


def _losses(model: EnsembleModel, frame: pl.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Log loss of every row for each class against the others, (rows, classes)."""
    probability = model.frame_predictions(frame).probability
    own = codes[:, None] == np.arange(len(model.classes))
    return own_log_loss(np.where(own, probability, 1 - probability))


def _mean_and_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, float | None]:
    """Mean of rows and its standard error, of whole groups; None of a single group."""
    mean = float(values.mean())
    sums = np.bincount(groups, values - mean)
    n_groups = len(sums)
    if n_groups < 2:
        return mean, None
    spread = np.sqrt(n_groups / (n_groups - 1) * (sums**2).sum())
    return mean, float(spread / len(values))
