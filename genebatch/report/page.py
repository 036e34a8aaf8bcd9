"""The page and the model card of a whole run."""

import base64
import hashlib
import json
import logging
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import polars as pl

from genebatch.dataset.rows import base_scores, label_codes, plain_weights
from genebatch.evaluation.systems import MEMBER
from genebatch.io.files import read_json, write_text
from genebatch.io.tables import read_tsv
from genebatch.jobs.run import read_usage
from genebatch.metrics.binary import COUNTS_ROWS, METRICS, reliability
from genebatch.model.archive import MODEL_JSON, load_model
from genebatch.model.ensemble import EnsembleModel
from genebatch.report.figures import scored_rows as plots
from genebatch.report.figures import systems as system_plots
from genebatch.report.figures.scored_rows import Reliability, Scored
from genebatch.report.numbers import DASH, cell, format_value, loss_text
from genebatch.report.system_tables import Systems, overall_lines
from genebatch.report.system_text import choice, class_systems, delivered_name, estimates, unit_text
from genebatch.report.tracks import threshold_lines, track_facts
from genebatch.report.verdicts import (
    COLUMNS,
    OVERALL,
    VERDICTS,
    Evaluation,
    missing,
    overall,
    read_evaluation,
    verdicts,
)

log = logging.getLogger(__name__)

FIGURES = {
    "pr": "Precision and recall on test groups",
    "roc": "ROC on test groups",
    "calibration": "Calibration on test groups",
    "members": "Average precision of base scores, combiners, rivals and members",
    "weights": "Weights that the combiners learned",
}


class RuleUsage(NamedTuple):
    """Memory and time of a rule's jobs; ratios are measured peak by estimate."""

    rule: str
    jobs: int
    declared_mb: int
    peak_mb: float
    lowest_ratio: float
    highest_ratio: float
    seconds: float
    threads: int


def write_report(
    inputs: Mapping[str, Any], config: Mapping[str, Any], outputs: Mapping[str, str | Path]
) -> None:
    """Write the page and the model card of a run.

    Holds the test rows with their probabilities, no features.

    Parameters
    ----------
    inputs
        Paths `profile`, `screen`, `manifest`, `coverage`, `times_held`, `metrics`, `systems`,
        `comparison`, `corrections`, `predictions`, `model`, `candidates`, `combiners`,
        `estimate` and `thresholds`; where there are complete tracks, paths `tracks_comparison`,
        `tracks_corrections`, `tracks_hybrid`, `tracks_summary` and `tracks_figure`; lists of paths
        `summaries` (of the batches) and `usage` (`.../{rule}/{batch}.json`, batch `all` for rules
        on the whole data set).
    config
        The resolved config.
    outputs
        Paths `page` (one HTML file that needs no other), `card` (Markdown) and PNG paths `roc`,
        `pr`, `calibration`, `members` and `weights`.
    """
    model = load_model(inputs["model"])
    evaluation = read_evaluation(inputs, model)
    profile = read_json(inputs["profile"])
    usage = read_usage([str(path) for path in inputs["usage"]])
    combiners = read_json(inputs["combiners"])
    final, combiner = model.facts["final"], config["ensemble"]["combiner"]
    systems = Systems(read_tsv(inputs["systems"]), combiner, final)
    n_batches = len(combiners["members"])
    left_out = n_batches - len(model.members) if final == "ensemble" else 0
    absent = _missing_batches(model, inputs["manifest"])
    partial = bool(left_out or absent) and final == "ensemble"
    _draw_evaluation(evaluation, outputs)
    _draw_systems(evaluation, systems, combiners, outputs)
    facts = {
        **_model_facts(model, inputs["model"]),
        "n_batches": n_batches,
        "left_out": left_out,
        "absent": absent,
        # Members may share groups (batching.overlap), so their own rows do not add up.
        "model_rows": None if partial else profile["rows"] - evaluation.rows.height,
        **_evaluation_facts(evaluation),
        **_system_facts(systems, evaluation, n_batches),
        "choice": choice(read_tsv(inputs["candidates"]), config["final"]),
        "estimates": estimates(
            read_tsv(inputs["estimate"]),
            combiner if final == "ensemble" else final,
            evaluation.weighted,
        ),
        "routed": combiners["combiners"].get("routed"),
        **_screen_facts(read_tsv(inputs["screen"])),
        "batches": _batch_lines(inputs["summaries"], inputs["manifest"]),
        **_coverage_facts(inputs["coverage"], inputs["times_held"]),
        "profile": profile,
        "config": config,
        "model_weighted": bool(config["dataset"]["weight"] and config["learner"]["use_weights"]),
        "test_choice": _test_choice(config["test"]),
        "tracks": track_facts(inputs),
        "thresholds": threshold_lines(inputs["thresholds"]),
        "usage": usage_by_rule(usage),
        "over": [u for u in usage if u["peak_mb"] > u["declared_mb"]],
        "jobs": len(usage),
    }
    images = {name: _embedded(outputs[name]) for name in FIGURES}
    if facts["tracks"]:
        images["tracks"] = _embedded(inputs["tracks_figure"])
    images["memory"] = _embedded_drawing(
        lambda path: plots.memory(path, usage, "Memory: estimate and measured peak of every job")
    )
    write_text(outputs["page"], _render("report.html.jinja", facts | {"images": images}))
    write_text(outputs["card"], _render("model_card.md.jinja", facts))
    log.info("page and model card of %d batches, %d jobs", len(facts["batches"]), len(usage))


def usage_by_rule(usage: Sequence[Mapping[str, Any]]) -> list[RuleUsage]:
    """Sum the usage records of each rule up, the largest peak first."""
    lines = []
    for rule in dict.fromkeys(record["rule"] for record in usage):
        own = [record for record in usage if record["rule"] == rule]
        ratios = [record["peak_mb"] / record["declared_mb"] for record in own]
        lines.append(
            RuleUsage(
                rule,
                len(own),
                max(record["declared_mb"] for record in own),
                max(record["peak_mb"] for record in own),
                min(ratios),
                max(ratios),
                sum(record["seconds"] for record in own),
                max(record["threads"] for record in own),
            )
        )
    return sorted(lines, key=lambda line: -line.peak_mb)


def _draw_evaluation(evaluation: Evaluation, outputs: Mapping[str, str | Path]) -> None:
    classes, rows = evaluation.classes, evaluation.rows
    codes = label_codes(rows["label"], classes, None)
    probability = rows.select(f"probability_{name}" for name in classes).to_numpy()
    systems = {"model": probability} | base_scores(rows, classes)
    scored = Scored(classes, codes, systems, plain_weights(rows))
    size = f"{rows.height:,} rows of {rows['group'].n_unique():,} test groups"
    plots.roc(outputs["roc"], scored, f"ROC of {size}")
    notes = _member_range(evaluation)
    plots.precision_recall(outputs["pr"], scored, f"Precision and recall of {size}", notes)
    lines = {name: _reliabilities(scored, number) for number, name in enumerate(classes)}
    how = "weighted" if evaluation.weighted else "by rows"
    plots.calibration(outputs["calibration"], lines, classes, f"Calibration of {size}, {how}")


def _draw_systems(
    evaluation: Evaluation,
    systems: Systems,
    combiners: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    size = f"{evaluation.rows['group'].n_unique():,} test groups"
    title = f"{'Weighted average' if evaluation.weighted else 'Average'} precision on {size}"
    if systems.references:
        against = next(iter(systems.references.values()))
        title += f"; bars: 95 % interval of the difference to {against}"
    tables = (evaluation.metrics, systems.table)
    system_plots.members(outputs["members"], *tables, evaluation.classes, title)
    equal = f"{1 / len(combiners['members']):.3g}"
    title = f"Weights of {len(combiners['members'])} members; equal shares are {equal}"
    system_plots.weights(outputs["weights"], combiners, evaluation.classes, title)


def _system_facts(systems: Systems, evaluation: Evaluation, n_members: int) -> dict[str, Any]:
    return {
        "delivered": delivered_name(systems.final, systems.combiner),
        "final": systems.final,
        "combiner": systems.combiner,
        "references": systems.references,
        "classes": class_systems(systems, evaluation, n_members),
        "overall_systems": overall_lines(systems, evaluation.weighted, n_members),
        "unit_text": unit_text,
    }


def _reliabilities(scored: Scored, number: int) -> list[Reliability]:
    y, lines = scored.codes == number, []
    for system in reversed(scored.systems):
        probability = scored.systems[system][:, number]
        losses = {
            key: METRICS[key](y, probability, scored.weight).value for key in ("log_loss", "ece")
        }
        table = reliability(y, probability, scored.weight)
        lines.append(Reliability(system, f"{system}: {loss_text(losses)}", table))
    return lines


def _member_range(evaluation: Evaluation) -> dict[str, str]:
    """Lowest and highest average precision of the members, by class."""
    members = evaluation.metrics.filter(
        pl.col("system").str.starts_with(MEMBER)
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == evaluation.weighted)
        & pl.col("value").is_not_null()
    )
    notes = {}
    for (name,), part in members.group_by("class", maintain_order=True):
        low, high = (format_value(value) for value in (part["value"].min(), part["value"].max()))
        several = f"{part.height} members alone: {low} to {high}"
        notes[name] = several if part.height > 1 else f"the one member alone: {low}"
    return notes


def _evaluation_facts(evaluation: Evaluation) -> dict[str, Any]:
    lines = verdicts(evaluation)
    main = [line for line in lines if line.weighted == evaluation.weighted]
    words = {line.name: line.word for line in main}
    return {
        "verdicts": lines,
        "by_word": {word: [line for line in main if line.word == word] for word in VERDICTS},
        "differing": [line for line in lines if line.word != words[line.name]],
        "overall": overall(evaluation),
        "columns": COLUMNS,
        "overall_columns": OVERALL,
        "has_base": evaluation.has_base,
        "weighted": evaluation.weighted,
        "corrections": evaluation.corrections.to_dicts(),
        "test_rows": evaluation.rows.height,
        "test_groups": evaluation.rows["group"].n_unique(),
        "counts_rows": COUNTS_ROWS,
        "dash": DASH,
        "missing": missing(lines),
        "figure_titles": FIGURES,
    }


def _model_facts(model: EnsembleModel, path: str | Path) -> dict[str, Any]:
    data = Path(path).read_bytes()
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read(MODEL_JSON))
    methods = [calibrator.method for member in model.members for calibrator in member.calibrators]
    return {
        "model": model,
        "model_path": str(path),
        "load_path": repr(str(path)),
        "model_mb": f"{len(data) / 1e6:.2g}",
        "trees": model.n_trees,
        "model_sha256": hashlib.sha256(data).hexdigest(),
        "versions": {"genebatch": described["genebatch"]} | described["libraries"],
        "model_groups": len(model.groups),
        "methods": dict(sorted(Counter(methods).items())),
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


def _batch_lines(summaries: Sequence[str | Path], manifest: str | Path) -> list[dict[str, Any]]:
    """Summary of every batch with its number of groups and out-of-fold average precision."""
    groups = dict(read_tsv(manifest).select("batch", "genes").iter_rows())
    lines = []
    for summary in sorted((read_json(path) for path in summaries), key=lambda s: s["batch"]):
        weighted = any(line["weighted"] for line in summary["metrics"])
        means = {
            (line["system"], line["class"]): cell(line["mean"], line["reason"])
            for line in summary["metrics"]
            if line["metric"] == "average_precision" and line["weighted"] == weighted
        }
        losses = {
            name: [
                cell(facts["calibration"][side]["log_loss"], facts["calibration"]["reason"])
                for side in ("before", "after")
            ]
            for name, facts in summary["classes"].items()
        }
        extra = {"genes": groups[summary["batch"]], "means": means, "losses": losses}
        lines.append(summary | extra)
    return lines


def _missing_batches(model: EnsembleModel, manifest: str | Path) -> list[dict[str, Any]]:
    """Name, groups and rows of the batches that the ensemble goes without."""
    lines = read_tsv(manifest).filter(pl.col("batch").is_in(model.missing_batches))
    return lines.select("batch", "genes", "rows").to_dicts()


def _coverage_facts(coverage: str | Path, times_held: str | Path) -> dict[str, Any]:
    times = read_tsv(times_held).filter(pl.col("role") == "training")
    return {"coverage": read_tsv(coverage).to_dicts(), "times_held": times.to_dicts()}


def _test_choice(test: Mapping[str, Any]) -> str:
    if test["groups"] is not None:
        return "the groups named in test.groups"
    if test["column"] is not None:
        values = ", ".join(str(value) for value in test["values"])
        return f"the groups whose {test['column']} is one of {values}"
    return f"groups drawn with seed {test['seed']} that hold {test['fraction']:.0%} of the rows"


def _embedded(path: str | Path) -> str:
    data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f"data:image/png;base64,{data}"


def _embedded_drawing(draw: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        return _embedded(path)


def _render(template: str, facts: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = _markdown
    text = files("genebatch.report").joinpath("templates", template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts)


def _markdown(value: object) -> str:
    """Text that Markdown shows as it is, in a table as well."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]|#~$" else mark for mark in text)
