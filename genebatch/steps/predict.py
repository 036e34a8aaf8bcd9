"""Predicts a table with the delivered model: the step of the rule `predict`."""

from genebatch.model.prediction import predict_file


def predict(*, model: str, table: str, predictions: str, threads: int) -> None:
    """Write the predictions of a table; see `predict_table` for their columns.

    Parameters
    ----------
    model
        The model file.
    table
        Parquet or CSV file, folder or glob of Parquet shards, of any size.
    predictions
        The Parquet file to write.
    threads
        Threads of the prediction.
    """
    predict_file(model, table, predictions, threads=threads)
