# What a run makes, and what it says at its end.

import csv
import os

# What says that a batch's model is there and was made from what is there.
MEMBER_RESULTS = [
    f"{BATCH_FILES}/{name}"
    for name in (
        "out_of_fold.parquet",
        "uncalibrated.gbm",
        "calibration.json",
        "model.gbm",
    )
]
BATCH_RESULTS = MEMBER_RESULTS + [
    f"{BATCH_FILES}/{name}"
    for name in (
        "folds.tsv",
        "metrics.tsv",
        "learning_curves.parquet",
        "folds.gbm",
        "shap.parquet",
        "sample.parquet",
        "importance.tsv",
        "families.tsv",
        "summary.json",
    )
]
BATCH_RESULTS += [f"{BATCH_FILES}/figures/{name}.png" for name in BATCH_FIGURES]


def results_of_the_whole():
    """What is not about one batch; listed one by one, so that a deleted file is made again."""
    names = {
        "dataset": ["profile.json", "genes.parquet", "test_groups.tsv"],
        "features": ["features.json", "screen.tsv"],
        "batches": [
            "manifest.tsv",
            "genes.parquet",
            "coverage.tsv",
            "times_held.tsv",
            "memory.json",
        ],
        "ensemble": [
            "cross_batch.parquet",
            "combined.parquet",
            "combiners.json",
            "model.gbm",
            "estimate.tsv",
            "ranks.tsv",
        ],
        "ensemble/figures": ["ranks.png"],
        "model": [
            "model_multiclass_all_genes.gbm",
            "model_multiclass_all_genes.pkl",
            "thresholds.tsv",
            "candidates.tsv",
        ],
        "evaluation": [
            "metrics.tsv",
            "systems.tsv",
            "comparison.tsv",
            "corrections.tsv",
            "predictions.parquet",
        ],
        "evaluation/figures": [f"{name}.png" for name in EVALUATION_FIGURES],
        "report": ["index.html", "MODEL_CARD.md"],
    }
    if SIMILARITY:
        names["dataset"] += ["group_features.parquet", "similarity.json"]
    if BUILT:
        names["table"] = ["genes.tsv"]
        names["tracks"] = [
            "comparison.tsv",
            "corrections.tsv",
            "hybrid.tsv",
            "summary.json",
            "pr.png",
        ]
        # Tracks of a finished run would not be made without being asked for: Snakemake compares no
        # parameters of a job that has outputs it knows nothing of.
        files = ["positions.parquet", "calls.bed", "coverage.tsv", *BIGWIG_NAMES]
        names |= {
            f"calls/{calls}": files for calls in ("test", *config["call"]["sets"])
        }
    return [
        f"results/{folder}/{name}" for folder, files in names.items() for name in files
    ]


def usage_records(wildcards):
    """Memory and time of every job before the report."""
    batch_rules = ("cross_validate", "train", "calibrate", "explain", "diagnose")
    whole_rules = ("analyze_dataset", "screen_features", "plan_batches")
    whole_rules += (
        "cross_batch_scores",
        "combine_batches",
        "rank_groups",
        "consolidate",
        "estimate",
        "evaluate",
    )
    whole_rules += tuple(RIVAL_RULES[name] for name in trained_rivals())
    per_job = expand(
        "results/usage/{name}_batch/{batch}.json",
        name=batch_rules,
        batch=members(wildcards),
    )
    whole_rules += ("describe_groups",) if SIMILARITY else ()
    if BUILT:
        whole_rules += ("build_dataset", "evaluate_tracks")
        whole_rules += ("score_genes",) if SEQUENCE["scorer"] else ()
        per_job.append("results/usage/call_genes/test.json")
    return per_job + expand("results/usage/{name}/all.json", name=whole_rules)


def batch_figure(name):
    """A figure of a batch, listed in Snakemake's report."""
    return report(
        f"{BATCH_FILES}/figures/{name}.png",
        caption="../report/batch_figure.rst",
        category="Batches",
        subcategory="{batch}",
        labels={"batch": "{batch}", "figure": name},
    )


def evaluation_figure(name):
    """A figure of the finished model on test groups, listed in Snakemake's report."""
    return report(
        f"results/evaluation/figures/{name}.png",
        caption="../report/evaluation_figure.rst",
        category="Evaluation",
        labels={"figure": name},
    )


def print_closing_words():
    """Say where the model is and how it did, if the evaluation is of that model."""
    comparison = "results/evaluation/comparison.tsv"
    model = "results/model/model_multiclass_all_genes.gbm"
    candidates = "results/model/candidates.tsv"
    predictions = "results/evaluation/predictions.parquet"
    older = (model, candidates, "results/dataset/test_groups.tsv")
    if all(os.path.exists(path) for path in (comparison, predictions, *older)):
        if os.path.getmtime(comparison) >= max(
            os.path.getmtime(path) for path in older
        ):
            from genebatch.steps.results import read_closing_words

            print(
                read_closing_words(
                    comparison=comparison,
                    candidates=candidates,
                    model=model,
                    predictions=predictions,
                    tracks="results/tracks/comparison.tsv" if BUILT else None,
                )
            )


def print_unfinished_batches():
    """After a failed run, say which batches are not finished, and what the next run does."""
    path = "results/batches/manifest.tsv"
    if not os.path.exists(path):
        return
    with open(path, newline="") as stream:
        batches = [row["batch"] for row in csv.DictReader(stream, delimiter="\t")]
    unfinished = lacking(BATCH_RESULTS, batches)
    coming = (
        "leaves out those without a model, and consolidates the others; to train all of them, set "
        "ensemble.allow_missing to false."
        if config["ensemble"]["allow_missing"]
        else "repeats only what is missing, and then consolidates. To consolidate the others "
        "first, set ensemble.allow_missing to true."
    )
    if unfinished:
        print(
            f"{len(unfinished)} of {len(batches)} batches are not finished: "
            f"{', '.join(unfinished)}. Their logs are logs/*/{{batch}}.log; the next run {coming}"
        )
