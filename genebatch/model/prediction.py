"""Predicts tables of any size into files of Parquet or text."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import polars as pl

from genebatch.dataset.categories import Unseen
from genebatch.dataset.columns import own_name
from genebatch.dataset.rows import probability_columns
from genebatch.io.data_files import find_shards
from genebatch.io.files import InputError
from genebatch.io.tables import parquet_rows, read_table, table_columns, text_rows
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel

SEPARATORS = {".csv": ",", ".tsv": "\t"}  # of predictions written as text

log = logging.getLogger(__name__)


def predict_file(
    model_file: str | Path, table: str | Path, out: str | Path, threads: int = 1
) -> int:
    """Predict a table on disk with a model on disk; see `predict_table`."""
    return predict_table(load_model(model_file, threads=threads), table, out)


def predict_table(model: EnsembleModel, table: str | Path, out: str | Path) -> int:
    """Predict a table on disk into a file, in the order of its rows.

    Streams the table; holds one record batch of `tables.BATCH_ROWS` rows.

    Parameters
    ----------
    model
        A loaded model.
    table
        File, folder or glob of Parquet or of text; see `tables.read_table`.
    out
        File `.parquet`, `.csv` or `.tsv`. Its columns are the group and position columns that the
        table has, `prediction`, `probability_{class}` and `std_{class}`. The last is the standard
        deviation of the members' probabilities, before the change of prevalence.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError
        If a needed column is missing, the table has no rows, or the output is one of its files.
        Nothing is written then.
    """
    if Path(out).suffix not in (".parquet", *SEPARATORS):
        raise InputError(f"{out} should end in .parquet, .csv or .tsv, the kinds that are written")
    refuse_as_output(out, table)
    identity = _identity(model, table_columns(table))
    columns = list(dict.fromkeys([*identity, *model.columns_in_]))
    kinds = {name: kind for name, kind in identity.items() if name not in model.columns_in_}
    kinds |= dict.fromkeys(model.categories_, "text")
    rows, unseen = 0, Unseen(model.categories_)
    with _written(out, model.origin) as write:
        for frame in read_table(table, columns, kinds):
            write(_predicted(model, frame, list(identity), table))
            unseen.count(frame)
            rows += frame.height
        if not rows:
            raise InputError(f"{table} has no rows")
    unseen.warn(str(table))
    log.info("%s rows predicted into %s", f"{rows:,}", out)
    return rows


def _written(
    out: str | Path, origin: Mapping[str, str]
) -> AbstractContextManager[Callable[[pl.DataFrame], None]]:
    """Give a function that appends frames to a file; text does not carry the origin."""
    separator = SEPARATORS.get(Path(out).suffix)
    return parquet_rows(out, origin) if separator is None else text_rows(out, separator)


def refuse_as_output(out: str | Path, table: str | Path) -> None:
    """Refuse an output that is a file of the table, also through links, or would become one."""
    target = Path(out).resolve()
    source = Path(table)
    inputs = find_shards(table)
    same = any(
        path.resolve() == target or (target.exists() and path.samefile(target)) for path in inputs
    )
    if same:
        raise InputError(f"{out} is a file of the table {table}; give the predictions another name")
    if source.is_dir() and target.is_relative_to(source.resolve()):
        raise InputError(
            f"{out} lies in the folder of the table {table}, whose files are all read; write the "
            "predictions into another folder"
        )
    if not source.exists() and fnmatch(str(target), str(source.absolute())):
        raise InputError(
            f"{out} matches {table}, so it would be read as part of the table; write the "
            "predictions into another folder"
        )


def _identity(model: EnsembleModel, present: Sequence[str]) -> dict[str, str]:
    """The group and position columns that a table has, and what they were in training."""
    named = {key: model.columns.get(key) for key in ("group", "position")}
    kinds = model.facts.get("identity_kinds") or {}  # absent from older files
    return {
        name: kinds.get(key, "")
        for key, name in named.items()
        if name is not None and name in present
    }


def _predicted(
    model: EnsembleModel, frame: pl.DataFrame, identity: list[str], table: str | Path
) -> pl.DataFrame:
    """Predict a frame of a table; errors about its values name the table."""
    try:
        return predict_frame(model, frame, identity)
    except InputError as error:
        raise InputError(f"{table}: {error}") from error


def predict_frame(model: EnsembleModel, frame: pl.DataFrame, identity: list[str]) -> pl.DataFrame:
    """Predict a frame in memory; see `predict_table` for the columns.

    A column of `identity` that is called like one of the predictions begins with `row.`. The
    probabilities are those after the change of prevalence, the deviation is that before it.
    """
    probability, deviation = model.frame_predictions(frame)
    label = pl.Series("prediction", np.array(model.classes)[probability.argmax(axis=1)])
    columns = [label, *probability_columns(model.classes, probability, deviation)]
    taken = {column.name for column in columns}
    kept = (frame[name].alias(own_name(name, taken)) for name in identity)
    return pl.DataFrame([*kept, *columns])
