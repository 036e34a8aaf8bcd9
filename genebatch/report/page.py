"""Gathers the facts that the page and the model card tell about a finished run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from genebatch.dataset.columns import START
from genebatch.metrics.binary import COUNTS_ROWS
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import recorded_sample
from genebatch.report.candidate_tables import ComparedModels, overall_lines
from genebatch.report.candidate_text import compare_classes, unit_text
from genebatch.report.choice import choice, delivered_name
from genebatch.report.estimates import estimates
from genebatch.report.evidence import EvidenceTables, evidence_facts
from genebatch.report.model_text import base_models
from genebatch.report.neighbours import neighbour_facts
from genebatch.report.numbers import DASH, cell
from genebatch.report.settings import PrintedSettings
from genebatch.report.tracks import TrackTables, threshold_lines, track_facts
from genebatch.report.usage import usage_by_rule
from genebatch.report.verdicts import (
    COLUMNS,
    OVERALL,
    VERDICTS,
    EvaluationResults,
    missing,
    overall,
    verdicts,
)

TOP_FEATURES = 5  # of each class, named in a sentence
FIGURES = {
    "pr": "Precision and recall on test groups",
    "roc": "ROC on test groups",
    "calibration": "Calibration on test groups",
    "members": "Average precision of every candidate and member",
    "weights": "Weights that the combiners learned",
}


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
    tracks: TrackTables | None
    neighbours: pl.DataFrame | None
    evidence: EvidenceTables | None

    @property
    def n_batches(self) -> int:
        """Number of batches that have a model."""
        return len(self.combiners["members"])


def page_facts(run: FinishedRun) -> dict[str, Any]:
    """Give the facts of a run under the names that the templates of page and card use."""
    return {
        "settings": run.settings,
        "dataset": run.dataset,
        **_model_facts(run),
        **_result_facts(run.results),
        **_candidate_facts(run),
        **_screen_facts(run.screen),
        "batches": _batch_lines(run.summaries, run.manifest),
        "n_folds": int(run.manifest["folds"].max()),
        "base_models": base_models(run.model.facts.get("sequence") or {}),
        "coverage": run.coverage.to_dicts(),
        "times_held": run.times_held.filter(pl.col("role") == "training").to_dicts(),
        "tracks": None if run.tracks is None else track_facts(run.tracks),
        "neighbours": None if run.neighbours is None else neighbour_facts(run.neighbours),
        "evidence": None if run.evidence is None else _evidence(run, run.evidence),
        "thresholds": threshold_lines(run.thresholds),
        "looks_at": _looks_at(run.importance, run.results.classes),
        "usage": usage_by_rule(run.usage),
        "over": [record for record in run.usage if record["peak_mb"] > record["declared_mb"]],
        "jobs": len(run.usage),
        "figure_titles": FIGURES,
    }


def _evidence(run: FinishedRun, tables: EvidenceTables) -> dict[str, Any]:
    tracks = run.dataset["sequence"]["tracks"]
    return evidence_facts(tracks, tables, run.screen, run.results.classes)


def _model_facts(run: FinishedRun) -> dict[str, Any]:
    model, is_ensemble = run.model, run.compared.final == "ensemble"
    methods = Counter(
        calibrator.method for member in model.members for calibrator in member.calibrators
    )
    left_out = run.n_batches - len(model.members) if is_ensemble else 0
    absent = _missing_batches(model, run.manifest)
    partial = is_ensemble and bool(left_out or absent)
    return {
        "model": model,
        "model_path": run.file.path,
        "load_path": repr(run.file.path),
        "model_mb": f"{run.file.size / 1e6:.2g}",
        "model_sha256": run.file.sha256,
        "versions": run.file.versions,
        "trees": model.n_trees,
        "model_groups": len(model.groups),
        # Members may share groups (batching.overlap), so their own rows do not add up.
        "model_rows": None if partial else run.dataset["rows"] - run.results.rows.height,
        "methods": dict(sorted(methods.items())),
        "n_batches": run.n_batches,
        "left_out": left_out,
        "absent": absent,
        "sample": recorded_sample(model),
    }


def _looks_at(importance: pl.DataFrame, classes: Sequence[str]) -> dict[str, list[str]]:
    """The most important features of every class."""
    features = importance.filter(pl.col("feature") != START, pl.col("mean_abs_shap") > 0)
    return {
        name: features.filter(pl.col("class") == name)["feature"].head(TOP_FEATURES).to_list()
        for name in classes
    }


def _missing_batches(model: EnsembleModel, manifest: pl.DataFrame) -> list[dict[str, Any]]:
    """Name, groups and rows of the batches that the ensemble goes without."""
    lines = manifest.filter(pl.col("batch").is_in(model.missing_batches))
    return lines.select("batch", "groups", "rows").to_dicts()


def _result_facts(results: EvaluationResults) -> dict[str, Any]:
    lines = verdicts(results)
    main = [line for line in lines if line.weighted == results.weighted]
    words = {line.name: line.word for line in main}
    return {
        "verdicts": lines,
        "by_word": {word: [line for line in main if line.word == word] for word in VERDICTS},
        "differing": [line for line in lines if line.word != words[line.name]],
        "overall": overall(results),
        "columns": COLUMNS,
        "overall_columns": OVERALL,
        "has_base": results.has_base,
        "weighted": results.weighted,
        "corrections": results.corrections.to_dicts(),
        "test_rows": results.rows.height,
        "test_groups": results.rows["group"].n_unique(),
        "counts_rows": COUNTS_ROWS,
        "dash": DASH,
        "missing": missing(lines),
    }


def _candidate_facts(run: FinishedRun) -> dict[str, Any]:
    compared, weighted = run.compared, run.results.weighted
    return {
        "delivered": delivered_name(compared.final, compared.combiner),
        "final": compared.final,
        "combiner": compared.combiner,
        "references": compared.references,
        "classes": compare_classes(compared, run.results, run.n_batches),
        "overall_candidates": overall_lines(compared, weighted, run.n_batches),
        "unit_text": unit_text,
        "choice": choice(run.candidates, run.settings.final),
        "estimates": estimates(run.estimate, compared.in_use, weighted),
        "routed": run.combiners["combiners"].get("routed"),
    }


def _screen_facts(screen: pl.DataFrame) -> dict[str, Any]:
    return {
        "kept": int(screen["kept"].sum()),
        "dropped": screen.filter(pl.col("role") == "dropped").select("column", "reason").rows(),
        "roles": {
            role: screen.filter(pl.col("role") == role)["column"].to_list()
            for role in screen["role"].unique(maintain_order=True)
            if role not in ("dropped", "feature")
        },
    }


def _batch_lines(
    summaries: Sequence[Mapping[str, Any]], manifest: pl.DataFrame
) -> list[dict[str, Any]]:
    """Summary of every batch, with all its groups, mean average precision and log losses."""
    groups = dict(manifest.select("batch", "groups").iter_rows())
    return [
        {
            **summary,
            "groups": groups[summary["batch"]],
            "means": _mean_precision(summary["metrics"]),
            "losses": {name: _log_losses(facts) for name, facts in summary["classes"].items()},
        }
        for summary in sorted(summaries, key=lambda summary: summary["batch"])
    ]


def _mean_precision(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Mean average precision over folds by candidate and class; weighted if there are weights."""
    weighted = any(line["weighted"] for line in lines)
    return {
        (line["system"], line["class"]): cell(line["mean"], line["reason"])
        for line in lines
        if line["metric"] == "average_precision" and line["weighted"] == weighted
    }


def _log_losses(facts: Mapping[str, Any]) -> list[Any]:
    """Log loss of a class before and after its calibrator."""
    calibration = facts["calibration"]
    return [
        cell(calibration[side]["log_loss"], calibration["reason"]) for side in ("before", "after")
    ]
