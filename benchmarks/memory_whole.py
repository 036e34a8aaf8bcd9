"""Estimated and measured peak memory of the rules about the data set and all batches, over sizes.

Each rule runs in a process of its own on a made table, with few trees, since trees take time and
little memory. Writes benchmarks/memory_whole.md. A number as argument limits the points.

    .venv/bin/python benchmarks/memory_whole.py
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from made import GROUP_ROWS, config, write_table
from memory import measure, prepare
from memory import paths as batch_paths

# Rows, dense features, count features, density of the counts, batches.
POINTS = [
    (20_000, 60, 1_100, 0.10, 4),
    (60_000, 100, 0, 0.0, 4),
    (60_000, 60, 500, 0.10, 12),
    (150_000, 60, 300, 0.10, 4),
    (400_000, 40, 100, 0.10, 8),
    (800_000, 20, 0, 0.0, 14),
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


def run_data_rule(
    rule: str, folder: Path, settings: dict, threads: int, estimate: int, result: str
) -> None:
    """Run a rule about the data set in a process bound as its job is, and write its peak in MB."""
    resource.setrlimit(resource.RLIMIT_DATA, (estimate << 20, estimate << 20))
    from genebatch.jobs.run import peak_mb

    out = batch_paths(folder)
    first = (out["profile"], out["genes"], out["test_groups"])
    if rule == "analyze_dataset":
        from genebatch.dataset import profile as analysis

        analysis.analyze_dataset(settings["dataset"], None, *first[:2], threads)
    elif rule == "screen_features":
        from genebatch.dataset import screen

        parts = (settings["dataset"], settings["screen"])
        screen.screen_features(*first, *parts, out["features"], out["screen"])
    elif rule == "describe_groups":
        from genebatch.dataset import similarity as group_features

        outputs = (folder / "group_features.parquet", folder / "similarity.json")
        group_features.describe_groups(*first, out["features"], ["*"], *outputs)
    else:
        from genebatch.plan import planning

        if rule == "choose_test_groups":
            planning.choose_test_groups(first[1], settings["test"], None, first[2])
        else:
            outputs = {"manifest": out["manifest"], "genes": out["plan"]}
            outputs |= {"memory": folder / "memory.json"}
            outputs |= {name: folder / f"{name}.tsv" for name in ("coverage", "times_held")}
            planning.plan_batches(*first, out["features"], settings, 1_000_000, outputs)
    Path(result).write_text(str(peak_mb()))


def run_rule(rule: str, folder: Path, settings: dict, result: str) -> None:
    """Run one rule in this process and write its peak in MB."""
    bound()
    from genebatch.ensemble import combining, distillation
    from genebatch.ensemble import cross_scores as cross_batch
    from genebatch.ensemble import final as consolidation
    from genebatch.evaluation import test_groups as evaluation
    from genebatch.evaluation import training_groups as estimate
    from genebatch.jobs.run import peak_mb
    from genebatch.training import single

    inputs, learner = paths(folder), settings["learner"]
    dataset, ensemble = settings["dataset"], settings["ensemble"]
    parts = [settings[key] for key in ("cv", "learner", "calibration")]
    if rule == "cross_batch_scores":
        cross_batch.cross_batch_scores(inputs, dataset, True, 1, inputs["scores"])
    elif rule == "combine_batches":
        outputs = inputs | {"model": inputs["ensemble"]}
        combining.combine_batches(inputs, ensemble, learner["use_weights"], outputs)
    elif rule == "train_single":
        single.train_single(inputs, dataset, *parts, rival(folder, "single"))
    elif rule == "distil":
        outputs = rival(folder, "distilled")
        distillation.distil(inputs, dataset, *parts, ensemble, outputs)
    elif rule == "consolidate":
        trained = {name: rival(folder, name) for name in ("single", "distilled")}
        given = {name: files["model"] for name, files in trained.items()}
        given |= {f"{name}_honest": files["honest"] for name, files in trained.items()}
        consolidation.consolidate(inputs | given, "best", None, outputs_of(folder))
    elif rule == "estimate":
        given = {f"{n}_honest": rival(folder, n)["honest"] for n in ("single", "distilled")}
        estimate.estimate(inputs | given, settings["evaluation"], folder / "estimate.tsv")
    elif rule == "evaluate":
        given = {name: rival(folder, name)["model"] for name in ("single", "distilled")}
        outputs = {name: str(folder / f"evaluation-{name}") for name in EVALUATION}
        evaluation.evaluate(inputs | given, dataset, settings["evaluation"], 1, outputs)
    else:
        run_last_rule(rule, folder, settings, inputs)
    Path(result).write_text(str(peak_mb()))


def run_last_rule(rule: str, folder: Path, settings: dict, inputs: dict) -> None:
    """What only reads the finished model, and the drawings, whose imports the others lack."""
    if rule == "predict":
        from genebatch.model import prediction as inference

        inference.predict_file(inputs["model"], folder / "data", folder / "predicted.parquet")
        return
    if rule == "rank_groups":
        from genebatch.evaluation import group_ranks as gene_ranks

        given = {"cross_batch": inputs["scores"], "combined": inputs["combined"]}
        outputs = {"ranks": folder / "ranks.tsv", "figure": folder / "ranks.png"}
        gene_ranks.rank_groups(given, outputs, settings["ensemble"]["combiner"])
        return
    from genebatch.report.settings import PrintedSettings
    from genebatch.steps.report import write_report

    read = {name: inputs[name] for name in ("manifest", "combiners", "model")}
    read |= {name: outputs_of(folder)[name] for name in ("thresholds", "candidates")}
    read |= {name: str(folder / f"evaluation-{name}") for name in EVALUATION}
    read |= {n: str(folder / f"{n}.tsv") for n in ("screen", "coverage", "times_held", "estimate")}
    read |= {"dataset": str(folder / "dataset.json"), "summaries": []}
    read |= {"usage_records": [str(folder / "usage" / "train_batch" / "b000.json")]}
    figures = ("roc", "pr", "calibration", "members", "weights")
    written = {f"{name}_figure": str(folder / f"{name}.png") for name in figures}
    written |= {"page": str(folder / "p"), "card": str(folder / "c")}
    write_report(settings=PrintedSettings.build(settings), **read, **written)


EVALUATION = ("metrics", "systems", "comparison", "corrections", "predictions")


def bound() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"


def paths(folder: Path) -> dict:
    batches = sorted(path.name for path in folder.glob("b[0-9]*"))
    names = ["profile.json", "features.json", "plan.parquet", "genes.parquet", "test_groups.tsv"]
    found = {name.split(".")[0]: str(folder / name) for name in [*names, "manifest.tsv"]}
    ensemble = {"scores": "cross.parquet", "combined": "combined.parquet"}
    ensemble |= {"combiners": "combiners.json", "ensemble": "ensemble.gbm", "model": "final.gbm"}
    found |= {name: str(folder / file) for name, file in ensemble.items()}
    found["models"] = [str(folder / batch / "model.gbm") for batch in batches]
    found["out_of_fold"] = [str(folder / batch / "out_of_fold.parquet") for batch in batches]
    return found


def rival(folder: Path, name: str) -> dict:
    files = ("model", "honest", "folds", "metrics", "curves", "calibration", "mixes")
    return {file: str(folder / f"{name}-{file}") for file in files}


def outputs_of(folder: Path) -> dict:
    names = {"model": "final.gbm", "pickle": "final.pkl"}
    names |= {"thresholds": "thresholds.tsv", "candidates": "candidates.tsv"}
    return {name: str(folder / file) for name, file in names.items()}


def train(folder: Path, settings: dict, batch: str) -> None:
    """The rules of one batch that the others need."""
    bound()
    from genebatch.training import recipe as training

    (folder / batch).mkdir()
    files = {name: folder / batch / name for name in ("out_of_fold", "folds", "metrics", "curves")}
    files["out_of_fold"] = folder / batch / "out_of_fold.parquet"
    files |= {"models": folder / batch / "folds.gbm", "calibration": folder / batch / "c.json"}
    inputs = paths(folder) | {"folds": files["folds"]}
    dataset, learner = settings["dataset"], settings["learner"]
    raw = folder / batch / "raw.gbm"
    training.cross_validate_batch(inputs, batch, dataset, settings["cv"], learner, files)
    training.train_batch(inputs, batch, dataset, learner, raw)
    inputs = {"out_of_fold": files["out_of_fold"], "model": raw}
    outputs = files | {"model": folder / batch / "model.gbm"}
    training.calibrate_batch(inputs, dataset, settings["calibration"], True, outputs)


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


def compared(estimate: int, peak: float) -> str:
    """The last cells of a line."""
    kept = "yes" if peak <= estimate <= 2 * peak else "NO"
    return f"| {estimate} | {peak:.0f} | {estimate / peak:.2f} | {kept} |"


def batch_lines(points: list[tuple]) -> list[str]:
    import polars as pl

    from genebatch.io.files import write_json
    from genebatch.jobs.needs import rules_of

    lines = []
    for rows, n_dense, n_counts, density, n_batches in points:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            measure(write_table, folder / "data", rows, n_dense, n_counts, density)
            usage = {"declared_mb": 1, "peak_mb": 1.0, "seconds": 1.0, "threads": 1}
            write_json(folder / "usage" / "train_batch" / "b000.json", usage)
            settings = config(folder / "data", {"n_estimators": 8, "early_stopping_rounds": 8})
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
                line += f"| {n_batches} "
                peak = float((folder / "peak").read_text())
                lines.append(line + compared(estimates[rule], peak))
                print(lines[-1], flush=True)
    return lines


def main() -> None:
    bound()  # children read it as they import numpy
    limit = int((sys.argv[1:] or [99])[0])
    last = "| estimate MB | measured MB | ratio | measured <= estimate <= 2 x measured |"
    data = [
        "| rule | rows | dense | counts | rows of a row group | rows screened | threads " + last
    ]
    data += ["|" + "---|" * 11, *data_lines(DATA_POINTS[:limit])]
    batches = ["| rule | rows | dense | counts | density | batches " + last]
    batches += ["|" + "---|" * 10, *batch_lines(POINTS[:limit])]
    text = "# Memory of the rules about the data set and about all batches\n\nMade by `python "
    text += "benchmarks/memory_whole.py`. Peak resident memory of each rule in a process of its "
    text += "own.\n\n## About the data set\n\nThe data segment of each rule was limited to its "
    text += "estimate. That limit counts reserved memory.\n\n" + "\n".join(data) + "\n\n"
    text += "## About all batches\n\nOne thread.\n\n" + "\n".join(batches) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
