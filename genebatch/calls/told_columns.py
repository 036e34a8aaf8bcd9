"""Compares columns of a track or base model, as a model's facts tell them, with those made now."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from genebatch.io.files import InputError


def asked_for(told: Mapping[str, Sequence[str]], columns: Collection[str]) -> list[str]:
    """Names of the sources of which a model asks for a column; `told` has the columns of each."""
    wanted = set(columns)
    return [name for name, own in told.items() if not wanted.isdisjoint(own)]


def check_made(
    told: Sequence[str], made: Sequence[str], source: str, model_file: str | Path
) -> None:
    """Refuse a source of which this version makes other columns than the training did.

    Raises
    ------
    InputError
        With the remedy.
    """
    if list(told) != list(made):
        raise InputError(
            f"{model_file} needs other columns of {source} than this version makes: train again, "
            "or install the version of genebatch that model.json in the model file names"
        )
