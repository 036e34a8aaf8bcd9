"""Computes features from the scores of further base models, and where they disagree.

A further base model gives the same columns as the first one: those of its scores, of its landscape,
and of its chains of sites, named `scores_{name}_{column}`. `scores_{name}_donor_gap` and
`scores_{name}_acceptor_gap` are its log-odds minus those of the first. Labels and annotation are
not arguments.
"""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from genebatch.config.base_models import KEY, BaseModels
from genebatch.features import base_scores
from genebatch.features.base_scores import CHANNELS, log_odds
from genebatch.features.positions import Spec
from genebatch.genome.genes import Gene
from genebatch.genome.scores.tracks import ScoreTracks, open_scores

OF_SCORES = (*base_scores.COLUMNS, "landscape", "structure")  # families without sequence alone
GAPS = tuple(f"{channel}_gap" for channel in CHANNELS)


def prefix(name: str) -> str:
    """How the columns of a further base model begin."""
    return f"scores_{name}_"


class FurtherScores(NamedTuple):
    """The open scores of a further base model.

    Attributes
    ----------
    name
        Its name.
    scores
        Its scores.
    spec
        The features that are made from them, under the names of the first base model's.
    gaps
        The wanted ones among `GAPS`.
    """

    name: str
    scores: ScoreTracks
    spec: Spec
    gaps: tuple[str, ...] = GAPS

    @classmethod
    def of(cls, name: str, scores: ScoreTracks, spec: Spec) -> Self:
        """All features of a base model, of the families of the first one's `spec`."""
        return cls(name, scores, of_scores(spec))

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Names of the features in order, and their types."""
        names = (*self.spec.columns, *self.gaps)
        return {prefix(self.name) + name: pl.Float32() for name in names}

    def needing(self, columns: Collection[str]) -> Self | None:
        """The same for some columns; None if none of them is of this base model."""
        head = prefix(self.name)
        wanted = {name.removeprefix(head) for name in columns if name.startswith(head)}
        if not wanted:
            return None
        gaps = tuple(name for name in GAPS if name in wanted)
        return self._replace(spec=self.spec.only(wanted), gaps=gaps)

    def named(self, made: pl.DataFrame, own: np.ndarray, first: np.ndarray) -> pl.DataFrame:
        """Features under the names of this base model, with the gaps.

        Parameters
        ----------
        made
            n rows, the columns of `spec`.
        own, first
            (2, n) scores of this base model and of the first, donor and acceptor.
        """
        gaps = log_odds(own.astype(np.float64)) - log_odds(first.astype(np.float64))
        series = [
            pl.Series(name, gap.astype(np.float32))
            for name, gap in zip(GAPS, gaps, strict=True)
            if name in self.gaps
        ]
        return made.hstack(series).rename(lambda name: prefix(self.name) + name)


def open_base_models(
    models: BaseModels,
    genes: Sequence[Gene],
    spec: Spec,
    files: ExitStack,
    unscored: str = "error",
    key: str = KEY,
) -> tuple[ScoreTracks, tuple[FurtherScores, ...]]:
    """Open the scores of all base models of some genes.

    Parameters
    ----------
    models
        Where they are.
    genes, unscored, key
        As `tracks.open_scores` takes them.
    spec
        The features of the first one's scores.
    files
        Closes them.

    Returns
    -------
    scores, further
        Those of the first base model, and those of the others with all of their features.

    Raises
    ------
    InputError
        As `tracks.open_scores` does.
    """
    first, *others = (
        files.enter_context(open_scores(source, genes, unscored, key))
        for source in models.sources.values()
    )
    named = zip(models.further, others, strict=True)
    return first, tuple(FurtherScores.of(name, scores, spec) for name, scores in named)


def of_scores(spec: Spec) -> Spec:
    """The families of a spec that see scores."""
    return replace(spec, families=tuple(f for f in spec.families if f in OF_SCORES))


def further_columns(name: str, spec: Spec) -> tuple[str, ...]:
    """Names of the features of a further base model, beside a first one with this spec."""
    return tuple(prefix(name) + column for column in (*of_scores(spec).columns, *GAPS))
