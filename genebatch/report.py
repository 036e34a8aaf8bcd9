"""What a batch is worth, in figures and numbers; the page and the model card of a whole run."""

import base64
import hashlib
import json
import logging
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import polars as pl
from scipy.special import expit

from genebatch import plots
from genebatch.explain import START
from genebatch.files import read_json, write_json, write_text
from genebatch.metrics import COUNTS_ROWS, METRICS, Metric, reliability
from genebatch.model import MODEL_JSON, EnsembleModel, load_model
from genebatch.plots import Reliability, Scored, format_value
from genebatch.resources import read_usage
from genebatch.screen import label_codes
from genebatch.training import normalised, plain_weights, score_columns

log = logging.getLogger(__name__)

BEESWARM_FEATURES = 15
TOP_FEATURES = 10
DASH = "\N{EN DASH}"  # a number that does not exist
LOSSES = ("log_loss", "brier", "ece")
# Metrics of a class on the page, in this order.
COLUMNS = {
    "average_precision": "average precision",
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "top_k": "top-k",
}
OVERALL = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_average_precision": "macro average precision",
    "log_loss": "log loss",
}
VERDICTS = ("better", "worse", "not distinguishable", "no verdict")
FIGURES = {
    "pr": "Precision and recall on test groups",
    "roc": "ROC on test groups",
    "calibration": "Calibration on test groups",
    "members": "Average precision of members, ensemble and base scores",
}


class Cell(NamedTuple):
    """A number as the page shows it; the note is its full value, or why there is none."""

    text: str
    note: str


class Verdict(NamedTuple):
    """Ensemble beside base scores on one class, weighted or in rows.

    `difference` is that of average precision, `low` and `high` its 95 % interval (of the ensemble
    itself where there are no base scores), `cells` metric to base and ensemble.
    """

    name: str
    weighted: bool
    n: int
    word: str
    difference: Cell
    low: Cell
    high: Cell
    cells: dict[str, tuple[Cell, Cell]]


class Evaluation(NamedTuple):
    """What the evaluation wrote."""

    classes: list[str]
    rows: pl.DataFrame
    metrics: pl.DataFrame
    comparison: pl.DataFrame
    corrections: pl.DataFrame

    @property
    def weighted(self) -> bool:
        """Whether test rows have weights."""
        return "weight" in self.rows.columns

    @property
    def has_base(self) -> bool:
        """Whether there are base scores."""
        return "base" in self.metrics["system"].to_list()


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


def diagnose_batch(
    inputs: Mapping[str, str | Path],
    batch: str,
    dataset: Mapping[str, Any],
    outputs: Mapping[str, str | Path],
) -> None:
    """Draw a batch's figures and sum its numbers up.

    Holds the out-of-fold table, and the SHAP values of the most important features.

    Parameters
    ----------
    inputs
        Paths `out_of_fold`, `folds`, `metrics`, `curves`, `calibration`, `shap`, `sample`,
        `importance` and `families` of the batch.
    batch
        Batch id.
    dataset
        Part of the config.
    outputs
        PNG paths `roc`, `pr`, `calibration`, `learning_curves`, `shap` and `importance`, and
        `summary` (JSON: see `summarise`).
    """
    classes = list(dataset["classes"])
    rows = pl.read_parquet(inputs["out_of_fold"])
    folds, metrics = _read_tsv(inputs["folds"]), _read_tsv(inputs["metrics"])
    calibration = read_json(inputs["calibration"])["classes"]
    importance, families = _read_tsv(inputs["importance"]), _read_tsv(inputs["families"])
    scored = out_of_fold(rows, classes)
    size = f"{rows.height:,} out-of-fold rows"
    plots.roc(outputs["roc"], scored, f"Batch {batch}: ROC of {size}")
    plots.precision_recall(outputs["pr"], scored, f"Batch {batch}: precision and recall of {size}")
    lines, heads = _calibrators(calibration)
    title = f"Batch {batch}: calibration of {size}, cross-fitted"
    plots.calibration(outputs["calibration"], lines, heads, title)
    title = f"Batch {batch}: log loss by trees, a line per fold"
    curves = pl.read_parquet(inputs["curves"])
    plots.learning_curves(outputs["learning_curves"], curves, folds, classes, title)
    features = importance.filter(pl.col("feature") != START)
    values, heads = _swarms(inputs, features, classes)
    title = f"Batch {batch}: SHAP values; {START} is what the trees correct, mean ± mean deviation"
    plots.shap_values(outputs["shap"], values, heads, title)
    title = f"Batch {batch}: importance of features and families"
    plots.importance(outputs["importance"], features, families, classes, title)
    summary = summarise(classes, rows, folds, metrics, calibration, features)
    write_json(outputs["summary"], {"batch": batch} | summary)
    log.info("batch %s: 6 figures of %s rows", batch, f"{rows.height:,}")


def summarise(
    classes: Sequence[str],
    rows: pl.DataFrame,
    folds: pl.DataFrame,
    metrics: pl.DataFrame,
    calibration: Mapping[str, Any],
    features: pl.DataFrame,
) -> dict[str, Any]:
    """Numbers of a batch as plain JSON.

    Returns
    -------
    dict
        `rows`; `groups`; `classes`: for each its rows, trees over folds, counts of the folds'
        verdicts, calibrator with losses before and after (cross-fitted, weighted as in training)
        and most important features; `metrics`: the mean over folds of every metric, with the
        number of folds that have it, and the reason where one lacks it.
    """
    return {
        "rows": rows.height,
        "groups": rows["group"].n_unique(),
        "classes": {
            name: {
                "rows": int((rows["label"] == name).sum()),
                "trees": _spread(folds.filter(pl.col("class") == name)["n_trees"]),
                "verdicts": _counts(folds.filter(pl.col("class") == name)["verdict"]),
                "calibration": _calibration_summary(calibration[name]),
                "top_features": _top(features.filter(pl.col("class") == name)),
            }
            for name in classes
        },
        "metrics": _fold_means(metrics),
    }


def out_of_fold(rows: pl.DataFrame, classes: Sequence[str]) -> Scored:
    """Raw out-of-fold scores through the logistic, beside the base scores where there are any."""
    margins = rows.select(f"margin_{name}" for name in classes).to_numpy().astype(np.float64)
    systems = {"model": expit(margins)} | _base(rows, classes)
    return Scored(classes, label_codes(rows["label"], classes, None), systems, plain_weights(rows))


def write_report(
    inputs: Mapping[str, Any], config: Mapping[str, Any], outputs: Mapping[str, str | Path]
) -> None:
    """Write the page and the model card of a run.

    Holds the test rows with their probabilities, no features.

    Parameters
    ----------
    inputs
        Paths `profile`, `screen`, `manifest`, `metrics`, `comparison`, `corrections`,
        `predictions` and `model`; lists of paths `summaries` (of the batches) and `usage`
        (`.../{rule}/{batch}.json`, batch `all` for rules on the whole data set).
    config
        The resolved config.
    outputs
        Paths `page` (one HTML file that needs no other), `card` (Markdown) and PNG paths `roc`,
        `pr`, `calibration` and `members`.
    """
    model = load_model(inputs["model"])
    evaluation = read_evaluation(inputs, model)
    usage = read_usage([str(path) for path in inputs["usage"]])
    _draw_evaluation(evaluation, outputs)
    facts = {
        **_model_facts(model, inputs["model"]),
        **_evaluation_facts(evaluation),
        **_screen_facts(_read_tsv(inputs["screen"])),
        "batches": _batch_lines(inputs["summaries"], inputs["manifest"]),
        "profile": read_json(inputs["profile"]),
        "config": config,
        "model_weighted": bool(config["dataset"]["weight"] and config["learner"]["use_weights"]),
        "test_choice": _test_choice(config["test"]),
        "usage": usage_by_rule(usage),
        "over": [u for u in usage if u["peak_mb"] > u["declared_mb"]],
        "jobs": len(usage),
    }
    images = {name: _embedded(outputs[name]) for name in FIGURES}
    images["memory"] = _embedded_drawing(
        lambda path: plots.memory(path, usage, "Memory: estimate and measured peak of every job")
    )
    write_text(outputs["page"], _render("report.html.jinja", facts | {"images": images}))
    write_text(outputs["card"], _render("model_card.md.jinja", facts))
    log.info("page and model card of %d batches, %d jobs", len(facts["batches"]), len(usage))


def read_evaluation(inputs: Mapping[str, Any], model: EnsembleModel) -> Evaluation:
    """Read the files of the evaluation of `model`."""
    tables = [_read_tsv(inputs[key]) for key in ("metrics", "comparison", "corrections")]
    return Evaluation(list(model.classes), pl.read_parquet(inputs["predictions"]), *tables)


def verdict_word(low: float | None, high: float | None) -> str:
    """What the interval of a difference says; one that includes zero says nothing either way."""
    if low is None or high is None:
        return "no verdict"
    if low <= 0 <= high:
        return "not distinguishable"
    return "better" if low > 0 else "worse"


def verdicts(evaluation: Evaluation) -> list[Verdict]:
    """Ensemble beside base scores for every class, weighted before rows."""
    known = _lookup(evaluation.metrics)
    counted = [True, False] if evaluation.weighted else [False]
    return [
        _verdict(evaluation, known, name, weighted)
        for name in evaluation.classes
        for weighted in counted
    ]


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


def cell(value: float | None, reason: str | None, signed: bool = False) -> Cell:
    """A number as the page shows it, or a dash with the reason."""
    if value is None:
        return Cell(DASH, reason or "not computed")
    return Cell(format_value(value, signed), repr(value))


def _base(rows: pl.DataFrame, classes: Sequence[str]) -> dict[str, np.ndarray]:
    columns = list(score_columns(list(classes)).values())
    if not set(columns) <= set(rows.columns):
        return {}
    return {"base": normalised(rows.select(columns).to_numpy().astype(np.float64))}


def _calibrators(
    calibration: Mapping[str, Any],
) -> tuple[dict[str, list[Reliability]], list[str]]:
    """Lines of each class's calibration panel, and its title."""
    lines, heads = {}, []
    for name, facts in calibration.items():
        before, after = _losses(facts)
        tables = {side: pl.DataFrame(facts[side]) for side in ("before", "after")}
        shown = {"before": before, "after": after}
        if facts["method"] == "identity":
            shown = {"model": before}
            tables["model"] = tables["before"]
        lines[name] = [
            Reliability(side, f"{side}: {_loss_text(losses)}", tables[side])
            for side, losses in shown.items()
        ]
        heads.append(f"{name}: {facts['method']}")
    return lines, heads


def _losses(facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Losses of the logistic alone and of the chosen calibrator."""
    before = next(line for line in facts["methods"] if line["method"] == "identity")
    after = next(line for line in facts["methods"] if line["chosen"])
    return before, after


def _loss_text(losses: Mapping[str, float | None]) -> str:
    names = {"log_loss": "log loss", "ece": "ECE"}
    return ", ".join(f"{text} {cell(losses[key], None).text}" for key, text in names.items())


def _swarms(
    inputs: Mapping[str, str | Path], features: pl.DataFrame, classes: Sequence[str]
) -> tuple[dict[str, plots.Swarm], list[str]]:
    """SHAP and feature values of each class's most important features, and its panel's title."""
    lazy = pl.scan_parquet(inputs["shap"])
    swarms, heads = {}, []
    for name in classes:
        top = features.filter(pl.col("class") == name).head(BEESWARM_FEATURES)["feature"].to_list()
        table = lazy.filter(pl.col("class") == name).select(START, *top).collect()
        start = table[START].cast(pl.Float64)
        swing = (start - start.mean()).abs().mean()
        sample = pl.read_parquet(inputs["sample"], columns=top)
        swarms[name] = plots.Swarm(table.drop(START), sample.select(top))
        heads.append(f"{name}; left out: {START} {start.mean():.2f} ± {swing:.2f}")
    return swarms, heads


def _spread(values: pl.Series) -> dict[str, float]:
    return {"median": values.median(), "min": values.min(), "max": values.max()}


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows()))


def _calibration_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    before, after = _losses(facts)
    return {
        "method": facts["method"],
        "reason": facts["reason"],
        "before": {key: before[key] for key in LOSSES},
        "after": {key: after[key] for key in LOSSES},
    }


def _top(features: pl.DataFrame) -> list[dict[str, Any]]:
    ordered = features.sort("mean_abs_shap", "feature", descending=[True, False])
    return ordered.head(TOP_FEATURES).select("feature", "family", "mean_abs_shap").to_dicts()


def _fold_means(metrics: pl.DataFrame) -> list[dict[str, Any]]:
    """Mean over folds of every metric; a fold that lacks it is named with its reason."""
    keys = ["system", "class", "metric", "weighted"]
    lines = []
    for key, part in metrics.group_by(keys, maintain_order=True):
        lacking = part.filter(pl.col("value").is_null()).select("fold", "reason").iter_rows()
        reasons = [f"fold {fold}: {reason}" for fold, reason in lacking]
        line = dict(zip(keys, key, strict=True)) | {"mean": part["value"].mean()}
        line["folds"] = part.height - len(reasons)
        lines.append(line | {"reason": "; ".join(reasons) or None})
    return lines


def _draw_evaluation(evaluation: Evaluation, outputs: Mapping[str, str | Path]) -> None:
    classes, rows = evaluation.classes, evaluation.rows
    codes = label_codes(rows["label"], classes, None)
    probability = rows.select(f"probability_{name}" for name in classes).to_numpy()
    systems = {"ensemble": probability} | _base(rows, classes)
    scored = Scored(classes, codes, systems, plain_weights(rows))
    size = f"{rows.height:,} rows of {rows['group'].n_unique():,} test groups"
    plots.roc(outputs["roc"], scored, f"ROC of {size}")
    notes = _member_range(evaluation)
    plots.precision_recall(outputs["pr"], scored, f"Precision and recall of {size}", notes)
    lines = {name: _reliabilities(scored, number) for number, name in enumerate(classes)}
    how = "weighted" if evaluation.weighted else "by rows"
    plots.calibration(outputs["calibration"], lines, classes, f"Calibration of {size}, {how}")
    title = f"Average precision on {size}, with 95 % intervals over groups"
    plots.members(outputs["members"], evaluation.metrics, evaluation.comparison, classes, title)


def _reliabilities(scored: Scored, number: int) -> list[Reliability]:
    y, lines = scored.codes == number, []
    for system in reversed(scored.systems):
        probability = scored.systems[system][:, number]
        losses = {key: METRICS[key](y, probability, scored.weight).value for key in LOSSES}
        table = reliability(y, probability, scored.weight)
        lines.append(Reliability(system, f"{system}: {_loss_text(losses)}", table))
    return lines


def _member_range(evaluation: Evaluation) -> dict[str, str]:
    """Lowest and highest average precision of the members, by class."""
    members = evaluation.metrics.filter(
        pl.col("system").str.starts_with("member ")
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == evaluation.weighted)
        & pl.col("value").is_not_null()
    )
    notes = {}
    for (name,), part in members.group_by("class", maintain_order=True):
        low, high = (format_value(value) for value in (part["value"].min(), part["value"].max()))
        several = f"{part.height} members alone: {low} to {high}"
        notes[name] = several if part.height > 1 else f"its one member: {low}"
    return notes


def _lookup(metrics: pl.DataFrame) -> dict[tuple[str, str, str, bool], Metric]:
    columns = metrics.select("system", "class", "metric", "weighted", "value", "reason")
    return {tuple(key): Metric(value, reason) for *key, value, reason in columns.iter_rows()}


def _verdict(
    evaluation: Evaluation,
    known: Mapping[tuple[str, str, str, bool], Metric],
    name: str,
    weighted: bool,
) -> Verdict:
    line = evaluation.comparison.row(
        by_predicate=(pl.col("class") == name)
        & (pl.col("metric") == "average_precision")
        & (pl.col("weighted") == weighted),
        named=True,
    )
    ends = "difference" if evaluation.has_base else "ensemble"
    low, high = line[f"{ends}_low"], line[f"{ends}_high"]
    score = known["ensemble", name, "average_precision", weighted]
    why = score.reason or "too few resamples have a positive row"
    return Verdict(
        name,
        weighted,
        int((evaluation.rows["label"] == name).sum()),
        verdict_word(low, high) if evaluation.has_base else "no verdict",
        cell(line["difference"], score.reason or "no base scores", signed=True),
        cell(low, why),
        cell(high, why),
        {metric: _sides(known, name, metric, weighted) for metric in COLUMNS},
    )


def _sides(
    known: Mapping[tuple[str, str, str, bool], Metric], name: str, metric: str, weighted: bool
) -> tuple[Cell, Cell]:
    nothing = Metric(None, "no base scores")
    base = known.get(("base", name, metric, weighted), nothing)
    return cell(*base), cell(*known["ensemble", name, metric, weighted])


def _evaluation_facts(evaluation: Evaluation) -> dict[str, Any]:
    lines = verdicts(evaluation)
    main = [line for line in lines if line.weighted == evaluation.weighted]
    words = {line.name: line.word for line in main}
    counted = [True, False] if evaluation.weighted else [False]
    known = _lookup(evaluation.metrics)
    return {
        "verdicts": lines,
        "by_word": {word: [line for line in main if line.word == word] for word in VERDICTS},
        "differing": [line for line in lines if line.word != words[line.name]],
        "overall": [
            (weighted, {metric: _sides(known, "all", metric, weighted) for metric in OVERALL})
            for weighted in counted
        ],
        "columns": COLUMNS,
        "overall_columns": OVERALL,
        "has_base": evaluation.has_base,
        "weighted": evaluation.weighted,
        "corrections": evaluation.corrections.to_dicts(),
        "test_rows": evaluation.rows.height,
        "test_groups": evaluation.rows["group"].n_unique(),
        "counts_rows": COUNTS_ROWS,
        "dash": DASH,
        "missing": _missing(lines),
        "figure_titles": FIGURES,
    }


def _missing(lines: Sequence[Verdict]) -> list[str]:
    """Every metric of the ensemble without a value, and why."""
    return [
        f"{text} of {line.name} ({'weighted' if line.weighted else 'rows'}): {ensemble.note}"
        for line in lines
        for metric, text in COLUMNS.items()
        for _, ensemble in [line.cells[metric]]
        if ensemble.text == DASH and not (line.weighted and metric in COUNTS_ROWS)
    ]


def _model_facts(model: EnsembleModel, path: str | Path) -> dict[str, Any]:
    data = Path(path).read_bytes()
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read(MODEL_JSON))
    groups = {group for member in model.members for group in member.groups}
    methods = [calibrator.method for member in model.members for calibrator in member.calibrators]
    return {
        "model": model,
        "model_path": str(path),
        "load_path": repr(str(path)),
        "model_mb": f"{len(data) / 1e6:.2g}",
        "model_sha256": hashlib.sha256(data).hexdigest(),
        "versions": {"genebatch": described["genebatch"]} | described["libraries"],
        "model_groups": len(groups),
        "model_rows": sum(member.facts["rows"] for member in model.members),
        "methods": _counts(pl.Series(methods)),
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
    groups = dict(_read_tsv(manifest).select("batch", "genes").iter_rows())
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


def _test_choice(test: Mapping[str, Any]) -> str:
    if test["groups"] is not None:
        return "the groups named in test.groups"
    if test["column"] is not None:
        values = ", ".join(str(value) for value in test["values"])
        return f"the groups whose {test['column']} is one of {values}"
    return f"groups drawn with seed {test['seed']} that hold {test['fraction']:.0%} of the rows"


def _read_tsv(path: str | Path) -> pl.DataFrame:
    """Read a table of this package with its types, even where a column is empty throughout."""
    text = ("system", "class", "reason", "batch", "column", "feature", "family", "verdict", "role")
    numbers = ("value", "base", "ensemble", "difference", "mean_abs_shap", "standard_error")
    ends = (f"{s}_{e}" for s in ("base", "ensemble", "difference") for e in ("low", "high"))
    kinds = dict.fromkeys(text, pl.String) | dict.fromkeys((*numbers, *ends), pl.Float64)
    kinds |= {"weighted": pl.Boolean, "kept": pl.Boolean}
    with open(path, encoding="utf-8") as stream:
        names = next(stream).rstrip("\n").split("\t")
    present = {name: kind for name, kind in kinds.items() if name in names}
    return pl.read_csv(path, separator="\t", schema_overrides=present, infer_schema_length=None)


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
    text = files("genebatch").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts)


def _markdown(value: object) -> str:
    """Text that Markdown shows as it is, in a table as well."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]|#~$" else mark for mark in text)
