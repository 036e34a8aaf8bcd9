"""Predicts tables of any size into Parquet files."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from genebatch.dataset.rows import probability_columns
from genebatch.io.files import InputError, whole
from genebatch.io.tables import read_table, table_columns
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)


def predict_file(
    model_file: str | Path, table: str | Path, out: str | Path, threads: int = 1
) -> int:
    """Predict a table on disk with a model on disk; see `predict_table`."""
    return predict_table(load_model(model_file, threads=threads), table, out)


def predict_table(model: EnsembleModel, table: str | Path, out: str | Path) -> int:
    """Predict a table on disk into a Parquet file, in the order of its rows.

    Streams the table; holds one record batch of `tables.BATCH_ROWS` rows.

    Parameters
    ----------
    model
        A loaded model.
    table
        Parquet or CSV file, folder or glob of Parquet shards.
    out
        Parquet file. Its columns are the group and position columns that the table has,
        `prediction`, `probability_{class}` and `std_{class}`. The last is the standard deviation
        of the members' probabilities, before the change of prevalence.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError
        If a needed column is missing or the table has no rows. Nothing is written then.
    """
    if Path(out).suffix != ".parquet":
        raise InputError(f"predictions are written as Parquet; {out} should end in .parquet")
    present = set(table_columns(table))
    named = [model.columns.get("group"), model.columns.get("position")]
    identity = [name for name in named if name in present]
    columns = list(dict.fromkeys([*identity, *model.columns_in_]))
    rows = 0
    with whole(out) as temporary:
        writer = None
        for frame in read_table(table, columns):
            part = predict_frame(model, frame, identity).to_arrow()
            if writer is None:
                writer = pq.ParquetWriter(temporary, part.schema.with_metadata(model.origin))
            writer.write_table(part.cast(writer.schema))
            rows += part.num_rows
        if writer is None:
            raise InputError(f"{table} has no rows")
        writer.close()
    log.info("%s rows predicted into %s", f"{rows:,}", out)
    return rows


def predict_frame(model: EnsembleModel, frame: pl.DataFrame, identity: list[str]) -> pl.DataFrame:
    """Predict a frame in memory; see `predict_table` for the columns.

    The probabilities are those after the change of prevalence, the deviation is that before it.
    """
    probability, deviation = model.frame_predictions(frame)
    label = pl.Series("prediction", np.array(model.classes)[probability.argmax(axis=1)])
    columns = [label, *probability_columns(model.classes, probability, deviation)]
    return pl.DataFrame([*(frame[name] for name in identity), *columns])
