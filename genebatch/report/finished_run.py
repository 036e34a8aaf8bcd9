"""Holds everything that a finished run wrote and that the page tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from genebatch.model.ensemble import EnsembleModel
from genebatch.report.candidate_tables import ComparedModels
from genebatch.report.evidence import EvidenceTables
from genebatch.report.settings import PrintedSettings
from genebatch.report.tracks import TrackTables
from genebatch.report.verdicts import EvaluationResults


@dataclass(frozen=True)
class ModelFile:
    """The file of the delivered model.

    Attributes
    ----------
    path
        Where it is.
    size, sha256
        Of its content, in bytes.
    versions
        Program or library to the version that wrote the file.
    """

    path: str
    size: int
    sha256: str
    versions: Mapping[str, str]


class Link(NamedTuple):
    """A file of the run: what it is, its path, and where it lies as seen from the page."""

    text: str
    path: str
    address: str


@dataclass(frozen=True)
class FinishedRun:
    """Everything that a run wrote and that the page tells.

    Attributes
    ----------
    settings
        The settings that are printed.
    dataset
        `dataset.json` of the plan: digest, files, bytes, rows, groups, classes and problems of the
        data set.
    model, file
        The delivered model and its file.
    results
        The evaluation of the model on the test groups.
    compared
        All candidates, as the evaluation compared them.
    combiners
        Content of `combiners.json`.
    candidates, estimate, thresholds, screen, manifest, coverage, times_held
        The tables of these names.
    summaries
        Content of each batch's `summary.json`.
    usage
        Memory and time of every job, as `genebatch.jobs.run.read_usage` gives them.
    importance
        What the delivered model looks at; see `evaluation.importance`.
    families
        Importance of families of features in the delivered model, from the same evaluation.
    links
        Files that the first screen leads to.
    tracks
        The evaluation on complete tracks, or None where there is none.
    neighbours
        Scores around annotated sites, as `genebatch.metrics.neighbours.summarise` gives them, or
        None where they were not asked for.
    evidence
        The tables on tracks of evidence, or None where there are none.
    """

    settings: PrintedSettings
    dataset: Mapping[str, Any]
    model: EnsembleModel
    file: ModelFile
    results: EvaluationResults
    compared: ComparedModels
    combiners: Mapping[str, Any]
    candidates: pl.DataFrame
    estimate: pl.DataFrame
    thresholds: pl.DataFrame
    screen: pl.DataFrame
    manifest: pl.DataFrame
    coverage: pl.DataFrame
    times_held: pl.DataFrame
    summaries: Sequence[Mapping[str, Any]]
    usage: Sequence[Mapping[str, Any]]
    importance: pl.DataFrame
    families: pl.DataFrame
    links: Sequence[Link]
    tracks: TrackTables | None
    neighbours: pl.DataFrame | None
    evidence: EvidenceTables | None

    @property
    def n_batches(self) -> int:
        """Number of batches that have a model."""
        return len(self.combiners["members"])

    @property
    def rest(self) -> str | None:
        """The class of what is none of the others, or None where there is none."""
        return self.settings.table.labels.rest_class

    @property
    def page_order(self) -> list[int]:
        """Places of the classes in the order of the page: the rest is last."""
        names = self.results.classes
        return sorted(range(len(names)), key=lambda place: names[place] == self.rest)
