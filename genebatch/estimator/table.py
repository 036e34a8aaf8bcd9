"""Checks what the estimator is given, and writes it as a table of the workflow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from genebatch.dataset.columns import own_name
from genebatch.io.columns import is_number, no_number
from genebatch.io.files import InputError, first_names
from genebatch.io.given_tables import given_frames, named_columns, read_whole

ROW_GROUP = 32_768  # rows of a row group of the table: as many as a thread analyses at a time
# Columns of base scores that are given beside the features.
SCORE = "base_score_"


class Target(NamedTuple):
    """The labels: the classes, sorted, and the class of each row, (rows,)."""

    classes: np.ndarray
    codes: np.ndarray

    @property
    def names(self) -> list[str]:
        """The classes as text, as the model knows them."""
        return [str(name) for name in self.classes.tolist()]


def checked_target(estimator: Any, y: Any) -> Target:
    """Check the labels as scikit-learn does.

    Raises
    ------
    InputError
        If a label is missing, or there is one class only.
    ValueError
        If there are no labels, or they are no classes.
    """
    missing = 0 if y is None else _n_missing(y)
    if missing:
        raise InputError(f"y has {missing:,} rows without a label; leave them out, or label them")
    y = validate_data(estimator, y=y)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"a classifier needs rows of two classes at least, and y has {len(classes)} class"
            f"{'es' if not len(classes) else f': {classes[0]}'}"
        )
    return Target(classes, codes)


def checked_features(
    estimator: Any, X: Any, names: list[str] | None = None, categorical: Sequence[str] = ()
) -> pl.DataFrame:
    """Check the features as scikit-learn does, and give them as a frame.

    Parameters
    ----------
    estimator
        The classifier. In fitting it is told their number and, where they have any, their names.
    X
        Table or array.
    names
        The names of the columns in fitting, in their order. None: this is the fitting.
    categorical
        Names of columns that may hold text.

    Raises
    ------
    InputError
        If a column holds no numbers, or infinite ones.
    ValueError
        If X has another shape, or other columns than in fitting.
    """
    fitting = names is None
    X = _unmasked(read_whole(X))
    if _is_table(X):
        X = validate_data(estimator, X, skip_check_array=True, reset=fitting)
        if not len(X):
            raise InputError(f"Found array with 0 sample(s) (shape={X.shape}); wanted 1 at least")
        frame = _of_table(X)
        _refuse_text(frame, categorical)
    else:
        # Infinite values are looked for below, as float32 has them.
        X = validate_data(estimator, X, reset=fitting, ensure_all_finite=False)
        frame = named_columns(X, [f"x{number}" for number in range(X.shape[1])])
    if names is not None:
        frame = pl.DataFrame([s.alias(n) for s, n in zip(frame, names, strict=True)])
    _refuse_infinite(frame)
    return frame


def checked_groups(groups: Any, n_rows: int) -> pl.Series:
    """Give the group of every row as text; without groups every row is its own.

    Raises
    ------
    InputError
        If a group is missing.
    ValueError
        If there are not as many groups as rows.
    """
    if groups is None:
        return pl.Series(range(n_rows)).cast(pl.String)
    missing = _n_missing(groups)
    if missing:
        raise InputError(f"groups has {missing:,} rows without a group; every row needs one")
    values = column_or_1d(groups)
    check_consistent_length(values, np.empty(n_rows))
    return pl.Series([str(value) for value in values.tolist()], dtype=pl.String)


def checked_scores(base_scores: Any, classes: list[str], features: pl.DataFrame) -> pl.DataFrame:
    """Give base scores as columns, from values of (rows, classes) in the order of the classes.

    Their names are none of the features, which have the same rows.

    Raises
    ------
    ValueError
        If they have another shape, or are no finite numbers.
    """
    values, taken = check_array(_unmasked(base_scores), input_name="base_scores"), features.columns
    if values.shape != (features.height, len(classes)):
        raise InputError(
            f"base_scores has shape {values.shape}; wanted ({features.height:,}, {len(classes)}): "
            "a probability of every row for each of classes_, in their order"
        )
    return named_columns(values, [own_name(SCORE + name, taken) for name in classes])


def named_scores(base_scores: Mapping[Any, Any], columns: list[str]) -> dict[str, str]:
    """Class to column of its base scores; `base_scores` has names of columns or their places.

    Raises
    ------
    InputError
        If X has no such column.
    """
    named = {}
    for label, column in base_scores.items():
        place = column if isinstance(column, int | np.integer) else None
        if place is None and column not in columns:
            raise InputError(
                f"base_scores names column {column!r} for class {label}, which X lacks (columns: "
                f"{first_names(columns)})"
            )
        if place is not None and not 0 <= place < len(columns):
            raise InputError(
                f"base_scores names column {place} for class {label}, but X has {len(columns):,} "
                "columns, counted from 0"
            )
        named[str(label)] = column if place is None else columns[place]
    return named


def write_table(
    path: Path,
    features: pl.DataFrame,
    target: Target,
    groups: pl.Series,
    sample_weight: Any,
) -> dict[str, Any]:
    """Write the table of a run, and give what its columns are, as the section `dataset` says it.

    Raises
    ------
    ValueError
        If the weights are not of these rows, or negative.
    """
    taken = features.columns
    roles = {key: own_name(key, taken) for key in ("group", "label")}
    label = pl.Series(target.names, dtype=pl.String).gather(target.codes)
    columns = [groups.alias(roles["group"]), label.alias(roles["label"])]
    if sample_weight is not None:
        given, rows = _unmasked(sample_weight), np.empty(features.height)
        weight = _check_sample_weight(given, rows, dtype=np.float64, ensure_non_negative=True)
        roles["weight"] = own_name("weight", taken)
        columns.append(pl.Series(roles["weight"], weight))
    table = features.with_columns(columns)
    table.write_parquet(path, compression="lz4", row_group_size=ROW_GROUP)
    return {"path": str(path), **roles, "classes": target.names}


def _unmasked(values: Any) -> Any:
    """A masked array with NaN in place of what it hides: scikit-learn does not see masks."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return values.astype(np.float64).filled(np.nan)


def _n_missing(values: Any) -> int:
    """Number of values that are missing in any library, or hidden by a mask."""
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()  # with None for what is hidden
    return sum(map(_is_missing, np.asarray(values, dtype=object).ravel().tolist()))


def _is_missing(value: Any) -> bool:
    # pandas need not be installed, and its NA cannot be compared.
    nothing = value is None or type(value).__name__ in ("NAType", "NaTType")
    return nothing or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _is_table(X: Any) -> bool:
    pandas = type(X).__module__.partition(".")[0] == "pandas" and hasattr(X, "columns")
    return pandas or isinstance(X, pl.DataFrame | pa.Table)


def _of_table(X: Any) -> pl.DataFrame:
    """A table as a polars frame with the same columns."""
    columns = [str(name) for name in (X.column_names if isinstance(X, pa.Table) else X.columns)]
    return pl.concat(given_frames(X, columns))


def _refuse_text(frame: pl.DataFrame, categorical: Sequence[str]) -> None:
    for column in frame:
        if column.name not in categorical and not is_number(column.dtype):
            raise InputError(f"{no_number(column)}, or name it in the parameter categorical")


def _refuse_infinite(frame: pl.DataFrame) -> None:
    for column in frame:
        values = column.alias("")  # polars takes some names for patterns
        if column.dtype.is_float() and values.cast(pl.Float32).is_infinite().any():
            raise InputError(
                "Input X contains infinity or a value too large for dtype('float32') in column "
                f"'{column.name}'; NaN stands for a missing value"
            )
