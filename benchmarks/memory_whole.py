"""Estimated and measured peak memory of the rules about the data set and all batches, over sizes.

Each rule runs in a process of its own on a made table, with few trees, since trees take time and
little memory. Writes sections of benchmarks/memory_whole.md. `--points` limits the points. With
`--text`, measures the rule about a table of text alone. With `--runs`, compares what the jobs of
finished workflows declared and took.

    .venv/bin/python benchmarks/memory_whole.py
    .venv/bin/python benchmarks/memory_whole.py --text
    .venv/bin/python benchmarks/memory_whole.py --runs "simulated genome=results" ...
"""

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from made import GROUP_ROWS, config, write_table
from memory import measure, prepare, run_batch_rule, run_data_step
from memory import paths as batch_paths
from sections import write_section

if TYPE_CHECKING:
    from genebatch.config.settings import Settings

# Rows, dense features, count features, density of the counts, batches, classes, depth.
POINTS = [
    (20_000, 60, 1_100, 0.10, 4, 3, 4),
    (60_000, 100, 0, 0.0, 4, 3, 4),
    (60_000, 60, 500, 0.10, 12, 3, 4),
    (150_000, 60, 300, 0.10, 4, 3, 4),
    (400_000, 40, 100, 0.10, 8, 3, 4),
    (800_000, 20, 0, 0.0, 14, 3, 4),
    (12_000, 60, 0, 0.0, 3, 12, 6),
]

# Rows, dense features, count features, density of the counts, rows of a row group, rows that are
# screened, threads of the analysis.
DATA_POINTS = [
    (10_000, 20, 0, 0.0, 8_192, 5_000, 1),
    (60_000, 60, 1_100, 0.10, 8_192, 50_000, 2),
    (100_000, 60, 1_100, 0.10, 50_000, 50_000, 1),
    (100_000, 600, 100, 0.10, 50_000, 5_000, 2),
    (200_000, 60, 1_100, 0.10, 8_192, 100_000, 1),
    (400_000, 100, 300, 0.10, 4_096, 20_000, 2),
    (2_000_000, 20, 0, 0.0, 25_000, 200_000, 2),
]

# Rows, dense features, count features, density of the counts: about 100 MB of text, and 0.7 GB.
TEXT_POINTS = [
    (600_000, 0, 80, 0.10),
    (40_000, 60, 1_100, 0.10),
    (8_000, 1_160, 0, 0.0),
    (17_000, 0, 3_000, 0.10),
    (3_000, 3_000, 0, 0.0),
    (2_500, 0, 20_000, 0.10),
    (280_000, 60, 1_100, 0.10),
]


def run_data_rule(
    rule: str, folder: Path, settings: dict, threads: int, estimate: int, result: str
) -> None:
    """Run a rule about the data set in a process bound as its job is, and write its peak in MB."""
    resource.setrlimit(resource.RLIMIT_DATA, (estimate << 20, estimate << 20))
    from genebatch.jobs.run import peak_mb

    run_data_step(rule, folder, settings, 1_000_000, threads)
    Path(result).write_text(str(peak_mb()))


def run_text_rule(folder: Path, result: str) -> None:
    """Write the table of text of a folder as Parquet, and its peak in MB."""
    bound()
    from genebatch.config.settings import Settings
    from genebatch.jobs.run import peak_mb
    from genebatch.steps.dataset import table_of_text

    text = sorted(map(str, folder.glob("*.csv")))
    table = Settings.build(config(folder, {})).table
    table_of_text(text=text, table=table, shards=[f"{path}.parquet" for path in text])
    Path(result).write_text(str(peak_mb()))


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write its peak in MB."""
    bound()
    from genebatch.jobs.run import peak_mb

    if rule in ("estimate", "evaluate", "explain_final", "rank_groups", "neighbours"):
        run_judging_rule(rule, folder, settings)
    elif rule in ("predict", "write_report"):
        run_last_rule(rule, folder, settings)
    elif rule in ("cross_validate_single", "train_single", "add_single"):
        run_single_rule(rule, folder, settings)
    else:
        run_ensemble_rule(rule, folder, settings)
    Path(result).write_text(str(peak_mb()))


def run_ensemble_rule(rule: str, folder: Path, settings: dict) -> None:
    """From the models of the batches to the final model."""
    from genebatch.config.settings import Settings
    from genebatch.steps import ensemble as steps

    files, chosen = paths(folder), Settings.build(settings)
    plan = {name: files[name] for name in ("manifest", "planned")}
    scored = {name: files[name] for name in ("scores", "combined", "ensemble")}
    weighing = {"use_weights": chosen.learner.use_weights, "missing": []}
    if rule == "cross_batch_scores":
        given = {name: files[name] for name in ("rows", "models", "out_of_fold", "scores")}
        steps.cross_batch_scores(**plan, **given, **weighing, score_rows=None, threads=1)
    elif rule == "combine_batches":
        given = {name: files[name] for name in ("models", "scores", "combiners", "combined")}
        given |= {"combining": chosen.ensemble, "model": files["ensemble"]}
        steps.combine_batches(**plan, **given, **weighing)
    elif rule == "distil":
        training = {"method": chosen.calibration.method, "combining": chosen.ensemble}
        training |= boosting(folder, chosen)
        steps.distil(**training, **scored, **alone(folder, "distilled"))
    else:
        given = {name: alone(folder, name)["model"] for name in ALONE}
        given |= {f"{name}_held_out": alone(folder, name)["held_out"] for name in ALONE}
        given |= {name: scored[name] for name in ("ensemble", "combined")}
        given |= {"dataset": files["dataset"], "final": "best", "prevalence": None}
        given["left_out"] = {}
        steps.consolidate(**plan, **given, **outputs_of(folder))


def run_single_rule(rule: str, folder: Path, settings: dict) -> None:
    """The single model of all training rows: all of its folds, itself, or the ensemble with it."""
    from genebatch.config.settings import Settings
    from genebatch.steps import ensemble as steps

    files, chosen = paths(folder), Settings.build(settings)
    names = ("out_of_fold", "folds", "curves", "models")
    parts = [
        {file: str(folder / f"fold{fold}-{file}") for file in names}
        for fold in range(chosen.cv.n_splits)
    ]
    own = alone(folder, "single")
    if rule == "cross_validate_single":
        for fold, outputs in enumerate(parts):
            steps.cross_validate_single(fold=fold, **boosting(folder, chosen), **outputs)
    elif rule == "train_single":
        names = {"fold_scores": "out_of_fold", "fold_trees": "folds", "fold_curves": "curves"}
        given = {name: [part[file] for part in parts] for name, file in names.items()}
        given |= {"method": chosen.calibration.method}
        steps.train_single(**boosting(folder, chosen), **given, **own)
    else:
        given = {name: files[name] for name in ("ensemble", "scores", "manifest", "planned")}
        given |= {"single": own["model"], "out_of_fold": own["out_of_fold"]}
        given |= {"combining": chosen.ensemble, "use_weights": chosen.learner.use_weights}
        steps.add_single(**given, **alone(folder, "both"))


def boosting(folder: Path, chosen: "Settings") -> dict:
    """What rules are given that boost on the rows of all batches."""
    files = paths(folder)
    given = {"rows": files["rows"], "manifest": files["manifest"], "cv": chosen.cv}
    return given | {"learner": chosen.learner, "threads": 1}


def run_judging_rule(rule: str, folder: Path, settings: dict) -> None:
    """What judges models and ranks groups."""
    from genebatch.config.settings import Settings
    from genebatch.steps import evaluation as steps

    files, chosen = paths(folder), Settings.build(settings)
    judging = {name: files[name] for name in ("ensemble", "combiners")}
    judging |= {"evaluation": chosen.evaluation}
    if rule == "estimate":
        given = {f"{name}_held_out": alone(folder, name)["held_out"] for name in ALONE}
        given |= {"combined": files["combined"], "table": str(folder / "estimate.tsv")}
        steps.estimate(**judging, **given)
    elif rule == "evaluate":
        given = {name: alone(folder, name)["model"] for name in ALONE}
        given |= {"rows": str(folder / "rows" / "test.arrow"), "model": files["model"]}
        outputs = {name: str(folder / f"evaluation-{name}") for name in EVALUATION}
        steps.evaluate(**judging, **given, threads=1, **outputs)
    elif rule == "explain_final":
        names = {"shap": "shap.parquet", "importance": "importance.tsv"}
        names |= {"families": "families.tsv", "figure": "importance.png"}
        outputs = {name: str(folder / f"final-{file}") for name, file in names.items()}
        given = {"rows": str(folder / "rows" / "test.arrow"), "model": files["model"]}
        steps.explain_final(**given, explaining=chosen.explain, threads=1, **outputs)
    elif rule == "rank_groups":
        given = {"scores": files["scores"], "combined": files["combined"]}
        outputs = {"ranks": str(folder / "ranks.tsv"), "figure": str(folder / "ranks.png")}
        steps.rank_groups(**given, combiner=chosen.ensemble.combiner, **outputs)
    else:
        from genebatch.steps.neighbours import neighbours

        given = {"labels": chosen.table.labels, "neighbours": chosen.neighbours, "batches": []}
        given |= {"scores": files["scores"]}
        given |= {"predictions": str(folder / "evaluation-predictions")}
        given |= {"reading": chosen.sequence.reading}
        outputs = {"table": "neighbours.tsv", "windows": "windows.parquet", "figure": "n.png"}
        neighbours(**given, **{name: str(folder / file) for name, file in outputs.items()})


def run_last_rule(rule: str, folder: Path, settings: dict) -> None:
    """What only reads the finished model, and the drawings, whose imports the others lack."""
    files = paths(folder)
    if rule == "predict":
        from genebatch.steps.predict import predict

        given = {"model": files["model"], "table": str(folder / "data"), "threads": 1}
        predict(**given, predictions=str(folder / "predicted.parquet"))
        return
    from genebatch.report.settings import PrintedSettings
    from genebatch.steps.report import write_report

    read = {name: files[name] for name in ("manifest", "combiners", "model", "dataset")}
    read |= {name: outputs_of(folder)[name] for name in ("thresholds", "candidates")}
    read |= {name: str(folder / f"evaluation-{name}") for name in EVALUATION}
    read |= {n: str(folder / f"{n}.tsv") for n in ("coverage", "times_held", "estimate")}
    read |= {"screen": str(folder / "screened.tsv"), "summaries": []}
    read |= {"usage_records": [str(folder / "usage" / "train_batch" / "b000.json")]}
    figures = ("roc", "pr", "calibration", "members", "weights")
    written = {f"{name}_figure": str(folder / f"{name}.png") for name in figures}
    written |= {"page": str(folder / "p"), "card": str(folder / "c")}
    write_report(settings=PrintedSettings.build(settings), **read, **written)


EVALUATION = ("metrics", "systems", "comparison", "corrections", "predictions")
ALONE = ("single", "both", "distilled")  # the candidates beside the ensemble


def bound() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"


def paths(folder: Path) -> dict:
    """Files of the rules about all batches, by the names that rules have for them."""
    batches = sorted(path.name for path in folder.glob("b[0-9]*"))
    names = ["manifest.tsv", "planned.parquet", "dataset.json"]
    found = {name.split(".")[0]: str(folder / name) for name in names}
    ensemble = {"scores": "cross.parquet", "combined": "combined.parquet"}
    ensemble |= {"combiners": "combiners.json", "ensemble": "ensemble.gbm", "model": "final.gbm"}
    found |= {name: str(folder / file) for name, file in ensemble.items()}
    found["rows"] = [str(folder / "rows" / f"{batch}.arrow") for batch in batches]
    found["models"] = [str(folder / batch / "model.gbm") for batch in batches]
    found["out_of_fold"] = [str(folder / batch / "out_of_fold.parquet") for batch in batches]
    return found


def alone(folder: Path, name: str) -> dict:
    """Files of a candidate beside the ensemble."""
    further = {"single": ("calibration", "out_of_fold", "folds", "metrics", "curves")}
    further |= {"both": (), "distilled": ("calibration", "mixes")}
    files = ("model", "held_out", *further[name])
    return {file: str(folder / f"{name}-{file}") for file in files}


def outputs_of(folder: Path) -> dict:
    names = {"model": "final.gbm", "document_model": "document.gbm", "pickle": "final.pkl"}
    names |= {"thresholds": "thresholds.tsv", "candidates": "candidates.tsv"}
    return {name: str(folder / file) for name, file in names.items()}


def train(folder: Path, settings: dict, batch: str) -> None:
    """The rules of one batch that the others need."""
    bound()
    (folder / batch).mkdir()
    files = batch_paths(folder / batch) | {"rows": str(folder / "rows" / f"{batch}.arrow")}
    for rule in ("cross_validate_batch", "train_batch", "calibrate_batch"):
        run_batch_rule(rule, files, settings)


def data_lines(points: list[tuple]) -> list[str]:
    from genebatch.jobs.needs import estimate_mb, rules_of
    from genebatch.jobs.sizes import data_size

    lines = []
    for rows, n_dense, n_counts, density, row_group, screened, threads in points:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made = (rows, n_dense, n_counts, density)
            measure(write_table, folder / "data", *made, 7, row_group)
            settings = config(folder / "data", {})
            settings["screen"]["max_rows"] = screened
            size = data_size(sorted((folder / "data").iterdir()))
            size = size._replace(groups=rows // GROUP_ROWS, screened=screened)
            for rule in rules_of("data"):
                own = threads if rule == "analyze_dataset" else 1
                estimate = estimate_mb(rule, size._replace(threads=own))
                given = (rule, folder, settings, own, estimate, str(folder / "peak"))
                measure(run_data_rule, *given)
                line = f"| {rule} | {rows:,} | {n_dense} | {n_counts:,} | {row_group:,} "
                line += f"| {screened:,} | {own} "
                lines.append(line + compared(estimate, float((folder / "peak").read_text())))
                print(lines[-1], flush=True)
    return lines


def text_lines(points: list[tuple]) -> list[str]:
    import polars as pl

    from genebatch.jobs.needs import estimate_mb
    from genebatch.jobs.sizes import text_size

    lines = []
    for rows, n_dense, n_counts, density in points:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            measure(write_table, folder, rows, n_dense, n_counts, density)
            for number, shard in enumerate(sorted(folder.glob("*.parquet"))):
                with (folder / "t.csv").open("ab") as stream:
                    pl.read_parquet(shard).write_csv(stream, include_header=not number)
            size = text_size([folder / "t.csv"])
            estimate = estimate_mb("table_of_text", size)
            measure(run_text_rule, folder, str(folder / "peak"))
            line = f"| {rows:,} | {n_dense:,} | {n_counts:,} | {density:.0%} | {size.text_mb:,.0f} "
            lines.append(line + compared(estimate, float((folder / "peak").read_text())))
            print(lines[-1], flush=True)
    return lines


def compared(estimate: int, peak: float) -> str:
    """The last cells of a line."""
    kept = "yes" if peak <= estimate <= 2 * peak else "NO"
    return f"| {estimate} | {peak:.0f} | {estimate / peak:.2f} | {kept} |"


def batch_lines(points: list[tuple]) -> list[str]:
    import polars as pl

    from genebatch.io.files import write_json
    from genebatch.jobs.needs import rules_of

    lines = []
    for rows, n_dense, n_counts, density, n_batches, n_classes, depth in points:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made = (rows, n_dense, n_counts, density, 7, None, n_classes)
            measure(write_table, folder / "data", *made)
            usage = {"declared_mb": 1, "peak_mb": 1.0, "seconds": 1.0, "threads": 1}
            write_json(folder / "usage" / "train_batch" / "b000.json", usage)
            learner = {"n_estimators": 8, "early_stopping_rounds": 8, "max_depth": depth}
            settings = config(folder / "data", learner, n_classes)
            settings["batching"]["max_rows"] = int(rows / n_batches)
            settings["test"]["fraction"] = 0.1
            settings["cv"]["n_splits"] = 3
            measure(prepare, folder, settings)
            for batch in pl.read_csv(folder / "manifest.tsv", separator="\t")["batch"]:
                measure(train, folder, settings, batch)
            estimates = json.loads((folder / "memory.json").read_text())
            for rule in rules_of("whole"):
                measure(run_rule, rule, folder, settings, str(folder / "peak"))
                line = f"| {rule} | {rows:,} | {n_dense} | {n_counts:,} | {density:.0%} "
                line += f"| {n_batches} | {n_classes} | {depth} "
                peak = float((folder / "peak").read_text())
                lines.append(line + compared(estimates[rule], peak))
                print(lines[-1], flush=True)
    return lines


def run_lines(runs: dict[str, str]) -> list[str]:
    """Of each rule of finished workflows, the job that took most."""
    import polars as pl

    from genebatch.jobs.run import read_usage

    lines = []
    for name, results in runs.items():
        records = read_usage([str(path) for path in Path(results, "usage").rglob("*.json")])
        columns = ["rule", "declared_mb", "peak_mb"]
        largest = pl.DataFrame(records).select(columns).sort("peak_mb", descending=True)
        for rule, declared, peak in largest.unique("rule", keep="first").sort("rule").iter_rows():
            lines.append(f"| {name} | {rule} {compared(declared, peak)}")
    return lines


RUNS = """
Made by `python benchmarks/memory_whole.py --runs`, from `results/usage`. Of each rule, the job that
took most. These data sets are small, so some rules take less than half of what they declare:

- Estimates cover reserved memory, which is 100 to 250 MB more than what is measured here.
- Rules about the genome (`build_dataset`, `score_genes`, `call_genes`, `evaluate_tracks`,
  `neighbours_batch`) declare fixed figures, for whole genomes.
- Rules about the data set allow for full buffers of rows, mostly `plan_batches`.
- Rules about all batches allow for `n_estimators` trees in every booster (`cross_batch_scores`,
  `evaluate`, `explain_final`).

| run | rule | declared MB | measured MB | ratio | measured <= declared <= 2 x measured |
|---|---|---|---|---|---|
"""


LAST = "| estimate MB | measured MB | ratio | measured <= estimate <= 2 x measured |"
TEXT = """
Made by `python benchmarks/memory_whole.py --text`, one file of CSV each. What `table_of_text` holds
grows with the columns, and hardly with the size of the file. The estimate allows for values that
are twice as large as their text.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=99, help="measure so many points at most")
    parser.add_argument("--runs", nargs="+", metavar="NAME=RESULTS", help="finished workflows")
    parser.add_argument("--text", action="store_true", help="the rule about a table of text alone")
    given = parser.parse_args()
    page = Path(__file__).with_suffix(".md")
    if given.runs:
        lines = run_lines(dict(run.rsplit("=", 1) for run in given.runs))
        write_section(page, "Runs of the workflow", RUNS + "\n".join(lines))
        return
    bound()  # children read it as they import numpy
    if given.text:
        head = ["| rows | dense | counts | density | MB of text " + LAST, "|" + "---|" * 9]
        lines = [*head, *text_lines(TEXT_POINTS[: given.points])]
        write_section(page, "About a table of text", TEXT + "\n".join(lines))
        return
    data = [
        "| rule | rows | dense | counts | rows of a row group | rows screened | threads " + LAST
    ]
    data += ["|" + "---|" * 11, *data_lines(DATA_POINTS[: given.points])]
    text = "The data segment of each rule was limited to its estimate. That limit counts reserved "
    write_section(page, "About the data set", text + "memory.\n\n" + "\n".join(data))
    batches = ["| rule | rows | dense | counts | density | batches | classes | depth " + LAST]
    batches += ["|" + "---|" * 12, *batch_lines(POINTS[: given.points])]
    write_section(page, "About all batches", "One thread.\n\n" + "\n".join(batches))


if __name__ == "__main__":
    main()
