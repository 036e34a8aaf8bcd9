"""Gathers the facts that the page and the model card tell about a finished run."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import polars as pl

from genebatch.dataset.columns import START
from genebatch.metrics.binary import COUNTS_ROWS
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import recorded_sample
from genebatch.report.batch_lines import batch_lines
from genebatch.report.candidate_tables import overall_lines
from genebatch.report.candidate_text import compare_classes, unit_text
from genebatch.report.choice import choice, delivered_name
from genebatch.report.contents import contents, gists
from genebatch.report.estimates import estimates
from genebatch.report.evidence import EvidenceTables, evidence_facts
from genebatch.report.examples import example_facts
from genebatch.report.finished_run import FinishedRun
from genebatch.report.first_screen import (
    MOST_CLASSES,
    Standing,
    headline,
    looks,
    standings,
    track_standings,
)
from genebatch.report.limits import limits
from genebatch.report.model_text import base_models
from genebatch.report.neighbours import neighbour_facts
from genebatch.report.numbers import DASH, format_seconds
from genebatch.report.remarks import remarks
from genebatch.report.tracks import threshold_lines, track_facts
from genebatch.report.usage import listed_jobs, usage_by_rule
from genebatch.report.verdicts import (
    COLUMNS,
    OVERALL,
    VERDICTS,
    EvaluationResults,
    missing,
    overall,
    verdicts,
)

T = TypeVar("T")
MOST_TABLES = 12  # classes whose candidates the page lists, so that it stays small
TOP_FEATURES = 5  # of each class, named in a sentence


def page_facts(run: FinishedRun) -> dict[str, Any]:
    """Give the facts of a run under the names that the templates of page and card use."""
    facts = {
        "settings": run.settings,
        "dataset": run.dataset,
        **_model_facts(run),
        **_result_facts(run.results, run.rest),
        **_candidate_facts(run),
        **_screen_facts(run.screen),
        **_usage_facts(run.usage),
        "batches": batch_lines(run.summaries, run.manifest),
        "n_folds": int(run.manifest["folds"].max()),
        "base_models": base_models(run.model.facts.get("sequence") or {}),
        "coverage": run.coverage.to_dicts(),
        "times_held": run.times_held.filter(pl.col("role") == "training").to_dicts(),
        "tracks": None if run.tracks is None else track_facts(run.tracks),
        "genes": None if run.tracks is None else example_facts(run.tracks.examples),
        "neighbours": None if run.neighbours is None else neighbour_facts(run.neighbours),
        "evidence": None if run.evidence is None else _evidence(run, run.evidence),
        "thresholds": threshold_lines(run.thresholds, run.rest),
        "looks_at": _looks_at(run.importance, [run.results.classes[n] for n in run.page_order]),
        "links": run.links,
    }
    facts |= _first_screen(run, facts)
    facts["limits"] = list(limits(facts))
    facts["contents"] = contents(facts)
    facts["gists"] = gists(facts)
    return facts


def first_standings(run: FinishedRun) -> list[Standing]:
    """Give the standing of the classes that the first screen shows, which the rest is not."""
    return _shown(run, standings(run.results, verdicts(run.results), run.rest))


def _shown(run: FinishedRun, on_rows: Sequence[Standing]) -> list[Standing]:
    if run.tracks is not None:
        return track_standings(run.tracks.comparison, run.tracks.summary)
    return [line for line in on_rows if line.name != run.rest]


def _first_screen(run: FinishedRun, facts: Mapping[str, Any]) -> dict[str, Any]:
    on_rows = standings(run.results, facts["verdicts"], run.rest)
    shown = _shown(run, on_rows)
    told = {
        "standings": shown,
        "rest": next((line for line in on_rows if line.name == run.rest), None),
        "headline": headline(facts["delivered"], shown, facts["has_base"]),
        "looks": looks(run.importance, run.families, run.results.classes, run.rest),
        "most_classes": MOST_CLASSES,
    }
    return told | {"remarks": remarks(facts | told)}


def _usage_facts(usage: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "usage": usage_by_rule(usage),
        "listed_jobs": listed_jobs(usage),
        "over": [record for record in usage if record["peak_mb"] > record["declared_mb"]],
        "jobs": len(usage),
        "job_time": format_seconds(sum(record["seconds"] for record in usage)),
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


def _rest_last(lines: Iterable[T], rest: str | None, name: Callable[[T], str]) -> list[T]:
    """Put the lines of the rest class last; the others keep their order."""
    return sorted(lines, key=lambda line: name(line) == rest)


def _result_facts(results: EvaluationResults, rest: str | None) -> dict[str, Any]:
    lines = _rest_last(verdicts(results), rest, attrgetter("name"))
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
        "classes": _rest_last(
            compare_classes(compared, run.results, run.n_batches), run.rest, attrgetter("name")
        ),
        "overall_candidates": overall_lines(compared, weighted, run.n_batches),
        "unit_text": unit_text,
        "most_tables": MOST_TABLES,
        "choice": choice(run.candidates, run.settings.final),
        "estimates": _rest_last(
            estimates(run.estimate, compared.in_use, weighted), run.rest, attrgetter("name")
        ),
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
