"""Explains a batch's model: SHAP values and importances on a sample balanced by group."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb
from scipy import sparse

from genebatch.config.settings import Explaining
from genebatch.dataset.categories import named
from genebatch.dataset.columns import START, own_name
from genebatch.dataset.families import families
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.dataset.rows import label_codes, row_weights, score_columns
from genebatch.metrics.binary import log_loss_rows
from genebatch.model import boosting
from genebatch.model.ensemble import EnsembleModel, Member
from genebatch.model.explanation import Rise, family_table, feature_table

log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """Some rows of a batch: identity columns with `fold`, and dense features with NaN as absent."""

    rows: pl.DataFrame
    values: np.ndarray


class Explanation(NamedTuple):
    """What explains a batch's model.

    Attributes
    ----------
    shap
        Class, `(start)`, identity columns and one SHAP value of the margin per feature. Of those
        that a feature is called like the name begins with `row.`.
    sample
        The same rows once, with their feature values.
    importance
        Gain and mean absolute SHAP value by class and feature.
    families
        The same by family, and the rise of the log loss when the family's columns are permuted
        among rows that the scoring fold model never saw.
    """

    shap: pl.DataFrame
    sample: pl.DataFrame
    importance: pl.DataFrame
    families: pl.DataFrame


def explain(
    model: EnsembleModel,
    folds: EnsembleModel,
    sample: Sample,
    settings: Explaining,
    use_weights: bool,
    built: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Explanation:
    """Explain a batch's model on a sample of its rows.

    The tables leave out features on which neither the model nor a fold model splits. Holds the
    sample as float32 and the SHAP values of one class at a time.

    Parameters
    ----------
    model
        The batch's model, of one member.
    folds
        The fold models of the cross-validation.
    sample
        What `draw_sample` gives.
    settings
        The section `explain`.
    use_weights
        `learner.use_weights`.
    built
        What `families.built_families` gives. Families of the settings come first.
    """
    scores = list((model.scores or {}).values())
    given = {**settings.families, "base scores": scores, **built}
    family_of = families(model.features.names, given)
    used = np.union1d(model.used, folds.used)
    shown = model.features.some(used)
    tables, importances, by_family = [], [], []
    rises = permutation(folds, sample, family_of, use_weights, settings.seed)
    for column, name in enumerate(model.classes):
        start = _starts(model, sample.rows)[column]
        booster = model.members[0].boosters[column]
        matrix = boosting.to_matrix(sample.values, model.threads)
        values = boosting.contributions(booster, matrix, start)
        gain = boosting.gains(booster, model.features)
        table = family_table(name, family_of, values, gain, rises[column])
        by_family.append(table.sort("log_loss_rise", descending=True, nulls_last=True))
        values = values[:, [*used, -1]]
        tables.append(_shap_table(sample, name, values, shown))
        of_shown = {feature: family_of[feature] for feature in shown.names}
        importances.append(feature_table(name, of_shown, values, gain[used]))
    drawn = _labelled(sample, [], _present(sample.values[:, used], shown), shown)
    drawn = drawn.with_columns(named(drawn[name], own) for name, own in shown.categories.items())
    return Explanation(pl.concat(tables), drawn, pl.concat(importances), pl.concat(by_family))


def draw_sample(stored: RowFile, settings: Explaining) -> Sample:
    """Draw about `explain.rows` rows of a batch, the same number from every group that has them."""
    groups = stored.groups
    chosen = _chosen_rows(groups, settings.rows, settings.seed)
    met = dict.fromkeys(groups["group"].to_list(), 0)
    rows, features = [], []
    for part in stored.frames():
        names = part.identity["group"].to_list()
        kept = np.flatnonzero(_is_chosen(names, met, chosen))
        rows.append(part.identity[kept])
        features.append(part.features[kept])
    # Taking the features of many small frames one by one costs a second a batch.
    sample = Sample(pl.concat(rows), _dense(stored.features.select(pl.concat(features))))
    log.info("%s: %s rows of %s groups", stored.name, *(f"{n:,}" for n in _size(sample)))
    return sample


Rises = dict[str, Rise]


def permutation(
    folds: EnsembleModel,
    sample: Sample,
    family_of: Mapping[str, str],
    use_weights: bool,
    seed: int,
) -> list[Rises]:
    """Rise of the mean log loss of each class when a family's columns are permuted.

    Each row is scored by the fold model that never saw its group; a family's columns are permuted
    together, among the rows of a fold. Where the base scores are permuted, so are the log-odds
    that the boosters start from. All classes see the same permutations.

    Returns
    -------
    list of dict
        For each class: family to mean rise over folds and its standard error. Folds of which no
        row, or none with a weight above zero, was drawn are left out; None where there is no
        other.
    """
    names = np.array([family_of[name] for name in folds.features.names])
    scores = set((folds.scores or {}).values())
    scored = {family_of[name] for name in folds.features.names if name in scores}
    codes = label_codes(sample.rows["label"], folds.classes, None)
    weight = row_weights(sample.rows, use_weights)
    starts = _starts(folds, sample.rows)
    rises: list[dict[str, list[float]]] = [
        {family: [] for family in dict.fromkeys(names)} for _ in folds.classes
    ]
    rng = np.random.default_rng(seed)
    for member in folds.members:
        held = np.flatnonzero(sample.rows["fold"].to_numpy() == member.facts["fold"])
        if not weight[held].any():
            continue
        fold = _Fold(member, codes[held], weight[held], [_at(start, held) for start in starts])
        risen = fold.rises(sample.values[held], names, scored, rng, folds.threads)
        for column, family, rise in risen:
            rises[column][family].append(rise)
    return [
        {family: _mean_and_error(values) for family, values in of_class.items()}
        for of_class in rises
    ]


class _Fold(NamedTuple):
    """The rows of a fold and the model that never saw their groups."""

    member: Member
    codes: np.ndarray
    weight: np.ndarray
    starts: list[np.ndarray | None]

    def rises(
        self,
        values: np.ndarray,
        names: np.ndarray,
        scored: set[str],
        rng: np.random.Generator,
        threads: int,
    ) -> Iterator[tuple[int, str, float]]:
        """Yield class, family and rise of the loss when the family's columns are permuted.

        `names` has the family of each column, and `scored` the families with base scores.
        """
        used = [_used(booster, names) for booster in self.member.boosters]
        columns = range(len(used))
        before = self.losses(values, columns, threads)
        for family in dict.fromkeys(names):
            order, own = rng.permutation(len(values)), names == family
            moved, after = self, before
            if family in scored:
                moved = self._replace(starts=[_at(start, order) for start in self.starts])
            # A family without a split changes nothing, unless the boosters start from it.
            touched = [c for c in columns if family in used[c] or family in scored]
            if touched:
                permuted = values.copy()
                permuted[:, own] = values[order][:, own]
                after = before | moved.losses(permuted, touched, threads)
            for column in columns:
                yield column, family, after[column] - before[column]

    def losses(self, values: np.ndarray, columns: Sequence[int], threads: int) -> dict[int, float]:
        """Mean log loss of some classes; the matrix of the values is made once."""
        matrix = boosting.to_matrix(values, threads)
        losses = {}
        for column in columns:
            booster, start = self.member.boosters[column], self.starts[column]
            rows = log_loss_rows(
                self.codes == column, boosting.predict_margin(booster, matrix, start)
            )
            losses[column] = float(np.average(rows, weights=self.weight))
        return losses


def _at(start: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if start is None else start[rows]


def _used(booster: xgb.Booster, names: np.ndarray) -> set[str]:
    """Families with a feature that the booster splits on."""
    return set(names[boosting.used_features([booster])].tolist())


def _mean_and_error(values: list[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def _starts(model: EnsembleModel, rows: pl.DataFrame) -> list[np.ndarray | None]:
    if model.scores is None:
        return [None] * len(model.classes)
    margins = boosting.base_margins(rows, score_columns(list(model.classes)))
    return [margins[name] for name in model.classes]


def _chosen_rows(groups: pl.DataFrame, n_rows: int, seed: int) -> dict[str, set[int]]:
    """Numbers of the rows to take from each group, counted in reading order."""
    sizes = groups["rows"].to_numpy().astype(int)
    quota = 1
    while quota < sizes.max() and np.minimum(sizes, quota).sum() < n_rows:
        quota += 1
    chosen = {}
    for group, size in zip(groups["group"], sizes, strict=True):
        state = hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8]
        rng = np.random.default_rng(int.from_bytes(state, "big"))
        chosen[group] = set(rng.permutation(size)[:quota].tolist())
    return chosen


def _is_chosen(
    groups: list[str], met: dict[str, int], chosen: Mapping[str, set[int]]
) -> list[bool]:
    """Which rows of a frame are in the sample; counts the rows of each group in `met`."""
    flags = []
    for group in groups:
        flags.append(met[group] in chosen[group])
        met[group] += 1
    return flags


def _dense(block: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """Give the block with absent cells as NaN; XGBoost treats both alike."""
    if not sparse.issparse(block):
        return block
    values = np.full(block.shape, np.nan, np.float32)
    coordinates = block.tocoo()
    values[coordinates.row, coordinates.col] = coordinates.data
    return values


def _size(sample: Sample) -> tuple[int, int]:
    return sample.rows.height, sample.rows["group"].n_unique()


def _shap_table(sample: Sample, name: str, values: np.ndarray, features: Features) -> pl.DataFrame:
    taken = set(features.names)
    leading = [
        pl.lit(name).alias(own_name("class", taken)),
        pl.Series(START, values[:, -1]),
    ]
    return _labelled(sample, leading, values[:, :-1], features)


def _labelled(
    sample: Sample, leading: Sequence[pl.Expr | pl.Series], values: np.ndarray, features: Features
) -> pl.DataFrame:
    """Leading and identity columns, and one column of `values` per feature."""
    columns = [pl.Series(name, values[:, number]) for number, name in enumerate(features.names)]
    taken = set(features.names)
    identity = sample.rows.rename({name: own_name(name, taken) for name in sample.rows.columns})
    return identity.select(*leading, pl.all()).hstack(columns)


def _present(values: np.ndarray, features: Features) -> np.ndarray:
    """Feature values as they were in the table: an absent count is a zero."""
    shown = values.copy()
    counts = shown[:, features.n_dense :]
    counts[np.isnan(counts)] = 0
    return shown
