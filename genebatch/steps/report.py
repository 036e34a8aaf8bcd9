"""Steps of `rules/report.smk`: the figures and the summary of a batch, the page, the model card.

Functions import the libraries of their own rule: no job pays for those of another.
"""

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import polars as pl
import polars.selectors as cs

from genebatch.dataset.columns import START, own_name
from genebatch.io.files import read_json, read_parquet, scan_parquet, write_json, write_text
from genebatch.io.tables import read_tsv
from genebatch.jobs.run import read_usage
from genebatch.report.settings import PrintedSettings

if TYPE_CHECKING:
    from genebatch.report.batch import BatchResults
    from genebatch.report.evidence import EvidenceTables
    from genebatch.report.figures.boosters import Swarm
    from genebatch.report.figures.vector import Drawing
    from genebatch.report.finished_run import FinishedRun, Link, ModelFile
    from genebatch.report.tracks import TrackTables

log = logging.getLogger(__name__)

BEESWARM_FEATURES = 15
# Figures with one or more panels for every class.
OF_CLASSES = ("roc", "pr", "calibration", "members", "weights", "importance")


def diagnose_batch(
    *,
    batch: str,
    classes: list[str],
    out_of_fold: str,
    folds: str,
    metrics: str,
    curves: str,
    calibration: str,
    shap: str,
    sample: str,
    importance: str,
    families: str,
    roc_figure: str,
    pr_figure: str,
    calibration_figure: str,
    learning_curves_figure: str,
    shap_figure: str,
    importance_figure: str,
    summary: str,
) -> None:
    """Draw the figures of a batch and sum its results up.

    Holds the out-of-fold table, and the SHAP values of the most important features.

    Parameters
    ----------
    batch, classes
        The batch, and the names of the classes.
    out_of_fold, folds, metrics, curves, calibration, shap, sample, importance, families
        Files that the other rules of the batch wrote.
    roc_figure, pr_figure, calibration_figure
        PNG files of the out-of-fold scores to write.
    learning_curves_figure, shap_figure, importance_figure
        PNG files of the boosters to write.
    summary
        JSON file to write; see `genebatch.report.batch.summarise`.
    """
    from genebatch.report.batch import BatchResults, summarise
    from genebatch.report.figures.batch import batch_figures
    from genebatch.report.figures.style import save_figure

    results = BatchResults(
        name=batch,
        classes=list(classes),
        rows=read_parquet(out_of_fold),
        folds=read_tsv(folds),
        metrics=read_tsv(metrics),
        curves=read_parquet(curves),
        calibration=read_json(calibration)["classes"],
        importance=read_tsv(importance),
        families=read_tsv(families),
    )
    paths = {
        "roc": roc_figure,
        "pr": pr_figure,
        "calibration": calibration_figure,
        "learning_curves": learning_curves_figure,
        "shap": shap_figure,
        "importance": importance_figure,
    }
    for name, figure in batch_figures(results, _read_swarms(shap, sample, results)):
        save_figure(paths[name], figure)
    write_json(summary, summarise(results))
    log.info("batch %s: %d figures of %s rows", batch, len(paths), f"{results.rows.height:,}")


def write_report(
    *,
    settings: PrintedSettings,
    dataset: str,
    screen: str,
    manifest: str,
    coverage: str,
    times_held: str,
    summaries: list[str],
    usage_records: list[str],
    metrics: str,
    systems: str,
    comparison: str,
    corrections: str,
    predictions: str,
    model: str,
    candidates: str,
    estimate: str,
    combiners: str,
    thresholds: str,
    importance: str,
    final_families: str,
    page: str,
    card: str,
    roc_figure: str,
    pr_figure: str,
    calibration_figure: str,
    members_figure: str,
    weights_figure: str,
    tracks_comparison: str | None = None,
    tracks_corrections: str | None = None,
    tracks_hybrid: str | None = None,
    tracks_tiers: str | None = None,
    tracks_curves: str | None = None,
    tracks_examples: str | None = None,
    tracks_summary: str | None = None,
    calls: str | None = None,
    session: str | None = None,
    neighbours: str | None = None,
    evidence: str | None = None,
    families: Sequence[str] = (),
) -> None:
    """Write the page and the model card of a run.

    Holds the test rows with their probabilities, and no features.

    Parameters
    ----------
    settings
        The settings that the page prints.
    dataset, screen, manifest, coverage, times_held
        What the plan and the screen tell of the data set and the batches.
    summaries
        The summary of every batch that has a model.
    usage_records
        Memory and time of jobs, as `{rule}/{batch}.json`; the batch of rules about the whole data
        set is `all`.
    metrics, systems, comparison, corrections, predictions
        The evaluation on test groups.
    model, candidates, estimate, combiners, thresholds
        The delivered model, and the tables that led to it.
    importance, final_families
        What the delivered model looks at: features and families of them.
    page, card
        The files to write: HTML that needs no other file, and Markdown.
    roc_figure, pr_figure, calibration_figure, members_figure, weights_figure
        PNG files to write.
    tracks_comparison, tracks_corrections, tracks_hybrid, tracks_tiers, tracks_curves, \
    tracks_examples, tracks_summary
        The evaluation on complete tracks, where there is one.
    calls, session
        The calls in the test genes and their session for IGV, where there is a genome. The page
        only leads to these files.
    neighbours
        Scores around annotated sites, where they were asked for.
    evidence, families
        With tracks of evidence: how much of each is used, and importances by family of every batch.
    """
    from genebatch.model.archive import load_model
    from genebatch.report.candidate_tables import ComparedModels
    from genebatch.report.finished_run import FinishedRun
    from genebatch.report.page import page_facts
    from genebatch.report.rendering import render_card, render_page
    from genebatch.report.verdicts import EvaluationResults

    loaded = load_model(model)
    tables = (read_tsv(path) for path in (metrics, comparison, corrections))
    tracks = (tracks_comparison, tracks_corrections, tracks_hybrid, tracks_tiers, tracks_curves)
    tracks += (tracks_summary, tracks_examples)
    files = {"model": model, "calls": calls, "session for IGV": session}
    files |= {"test predictions": predictions, "model card": card}
    run = FinishedRun(
        settings=settings,
        dataset=read_json(dataset),
        model=loaded,
        file=_model_file(model),
        results=EvaluationResults(list(loaded.classes), read_parquet(predictions), *tables),
        compared=ComparedModels(read_tsv(systems), settings.combiner, loaded.facts["final"]),
        combiners=read_json(combiners),
        candidates=read_tsv(candidates),
        estimate=read_tsv(estimate),
        thresholds=read_tsv(thresholds),
        importance=read_tsv(importance),
        families=read_tsv(final_families),
        links=[_link(page, text, path) for text, path in files.items() if path is not None],
        screen=read_tsv(screen),
        manifest=read_tsv(manifest),
        coverage=read_tsv(coverage),
        times_held=read_tsv(times_held),
        summaries=[read_json(path) for path in summaries],
        usage=read_usage(usage_records),
        tracks=None if tracks_summary is None else _read_tracks(*tracks),
        neighbours=None if neighbours is None else read_tsv(neighbours),
        evidence=None if evidence is None else _read_evidence(evidence, families),
    )
    paths = {
        "roc": roc_figure,
        "pr": pr_figure,
        "calibration": calibration_figure,
        "members": members_figure,
        "weights": weights_figure,
    }
    drawn = _draw(run, paths)
    facts = page_facts(run)
    write_text(page, render_page(facts, drawn))
    write_text(card, render_card(facts))
    log.info("page and model card of %d batches, %d jobs", len(summaries), len(run.usage))


def _draw(run: "FinishedRun", paths: Mapping[str, str]) -> "dict[str, list[Drawing]]":
    """Draw every figure of the page; write those that have a path."""
    from genebatch.report.figures.evaluation import evaluation_figures
    from genebatch.report.figures.page import page_figures, panel_places
    from genebatch.report.figures.style import save_figure
    from genebatch.report.figures.vector import drawings

    drawn = {}
    evaluated = evaluation_figures(run.results, run.compared, run.combiners)
    for name, figure in chain(evaluated, page_figures(run)):
        if name in paths:
            save_figure(paths[name], figure)
        places = panel_places(run, len(figure.axes)) if name in OF_CLASSES else None
        drawn[name] = drawings(figure, name, places)
    return drawn


def _link(page: str, text: str, path: str) -> "Link":
    from genebatch.report.finished_run import Link

    return Link(text, str(path), quote(os.path.relpath(path, Path(page).parent)))


def _read_swarms(shap: str, sample: str, results: "BatchResults") -> dict[str, "Swarm"]:
    """SHAP and feature values of each class's most important features."""
    from genebatch.report.figures.boosters import Swarm

    lazy = scan_parquet(shap)
    label = own_name("class", set(results.features["feature"]))
    swarms = {}
    for name in results.classes:
        ranked = results.features.filter(pl.col("class") == name)["feature"]
        top = ranked.head(BEESWARM_FEATURES).to_list()
        table = lazy.filter(cs.by_name(label) == name).select(cs.by_name(START, *top)).collect()
        values = read_parquet(sample)[top]
        # Categories have no order that a colour could show.
        text = [column for column, kind in values.schema.items() if kind == pl.String]
        swarms[name] = Swarm(
            table, values.with_columns(pl.lit(None, pl.Float32).alias(c) for c in text)
        )
    return swarms


def _read_tracks(*paths: str) -> "TrackTables":
    from genebatch.report.tracks import TrackTables

    *tables, summary, examples = paths
    genes = read_json(examples)["genes"]
    return TrackTables(*map(read_tsv, tables), read_json(summary), genes)


def _read_evidence(use: str, families: Sequence[str]) -> "EvidenceTables":
    from genebatch.report.evidence import EvidenceTables

    return EvidenceTables(read_tsv(use), [read_tsv(path) for path in families])


def _model_file(path: str) -> "ModelFile":
    from genebatch.model.archive import MODEL_JSON
    from genebatch.report.finished_run import ModelFile

    content = Path(path).read_bytes()
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read(MODEL_JSON))
    versions = {"genebatch": described["genebatch"]} | described["libraries"]
    return ModelFile(str(path), len(content), hashlib.sha256(content).hexdigest(), versions)
