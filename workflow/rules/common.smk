import csv
import math
import os
from functools import lru_cache

from snakemake.exceptions import WorkflowError

try:
    from genebatch import ALGORITHM
    from genebatch.config import resolve
    from genebatch.files import InputError
    from genebatch.resources import SCHEDULER_MB, WHOLE_DATA_MB, process_limit_mb
    from genebatch.tables import find_shards, fingerprint
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error}: install genebatch into the environment that runs Snakemake "
        "(`make` does; or `pip install .` in the folder of this workflow)"
    )

try:
    resolved = resolve(dict(config))
except InputError as error:
    raise WorkflowError(str(error))
config.clear()
config.update(resolved)


wildcard_constraints:
    batch=r"b\d+",
    table=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


BATCH_FILES = "results/batches/{batch}"
# What reading and labelling rows depends on; the feature columns are in the batch key.
ROW_KEYS = ("group", "label", "classes", "null_label", "scores", "weight", "position")


def memory_limit_mb():
    """Memory of the run in MB: the config's, else the cap of the run, else what is there."""
    cap = workflow.global_resources.get("mem_mb")
    if config["resources"]["memory_mb"] is not None:
        return config["resources"]["memory_mb"]
    if cap is not None and cap.value is not None:
        return cap.value
    return int(0.9 * process_limit_mb()[0])


# Without a cap Snakemake starts every job at once, whatever memory they declare.
if workflow.is_main_process and workflow.local_exec:
    if "mem_mb" not in workflow.global_resources:
        workflow.register_resource("mem_mb", memory_limit_mb())


def shards(wildcards):
    """Files of the data set; an input function, so that linting needs no data."""
    try:
        return [str(path) for path in find_shards(config["dataset"]["path"])]
    except InputError as error:
        raise WorkflowError(str(error))


def data_fingerprint(wildcards):
    """Names, sizes and Parquet footers of the shards: touching a file changes nothing."""
    try:
        return fingerprint(find_shards(config["dataset"]["path"]))
    except InputError as error:
        raise WorkflowError(str(error))


@lru_cache(maxsize=4)
def read_manifest(path, mtime_ns):
    with open(path, newline="") as stream:
        return {row["batch"]: row for row in csv.DictReader(stream, delimiter="\t")}


def manifest():
    """Rows of the plan's manifest by batch; only there once the checkpoint is through."""
    path = str(checkpoints.plan_batches.get().output.manifest)
    return read_manifest(path, os.stat(path).st_mtime_ns)


def per_batch(pattern):
    """Input function: `pattern` for every batch of the manifest."""

    def inner(wildcards):
        return expand(pattern, batch=sorted(manifest()))

    return inner


def batch_key(wildcards):
    """Digest of the rows, folds and features of a batch.

    Takes wildcards only: a params function of input is ignored by the rerun trigger.
    """
    return manifest()[wildcards.batch]["key"]


def batch_memory(rule_name):
    """Resource function: a batch rule's estimate from the manifest."""

    def inner(wildcards, attempt):
        return scaled(
            float(manifest()[wildcards.batch][f"mem_mb_{rule_name}"]), attempt
        )

    return inner


def whole_memory(rule_name):
    """Resource function: the estimate of a rule that is not about one batch."""

    def inner(wildcards, attempt):
        return scaled(WHOLE_DATA_MB[rule_name], attempt)

    return inner


def scaled(estimate_mb, attempt):
    """An estimate in MB times mem_factor; on a cluster with Snakemake's own share, and growing.

    Retries never grow locally: the scheduler goes on counting what the first attempt declared.
    """
    needed = estimate_mb * config["resources"]["mem_factor"]
    if workflow.local_exec and not workflow.remote_exec:
        return math.ceil(needed)
    return math.ceil((needed + SCHEDULER_MB) * 1.5 ** (attempt - 1))


def planning_budget(wildcards):
    """What an estimate may be at most, in MB; a resource, since another machine's limit must
    not plan the batches anew."""
    return int(memory_limit_mb() / config["resources"]["mem_factor"])


def predictions():
    return expand(
        "results/predictions/{table}.parquet", table=config["predict"]["tables"]
    )


def table_shards(wildcards):
    try:
        return [
            str(path)
            for path in find_shards(config["predict"]["tables"][wildcards.table])
        ]
    except InputError as error:
        raise WorkflowError(f"predict.tables.{wildcards.table}: {error}")


def without(block, *keys):
    """A part of the config without the keys that change no result."""
    return {key: value for key, value in config[block].items() if key not in keys}


row_config = {key: config["dataset"][key] for key in ROW_KEYS}
learner_config = without("learner", "threads")
plan_config = {
    "dataset": {"classes": config["dataset"]["classes"]},
    "batching": config["batching"],
    "cv": {key: config["cv"][key] for key in ("n_splits", "seed")},
    "learner": {
        key: config["learner"][key] for key in ("max_bin", "max_depth", "threads")
    },
    "explain": {"rows": config["explain"]["rows"]},
}
# The report prints settings; those that only say where to run would redo it for nothing.
report_config = {
    key: value for key, value in config.items() if key not in ("predict", "resources")
}


def usage_records(wildcards):
    """Memory and time of every job before the report."""
    batch_rules = ("cross_validate", "train", "calibrate", "explain", "diagnose")
    whole_rules = ("analyze_dataset", "screen_features", "consolidate", "evaluate")
    per_job = expand(
        "results/usage/{name}_batch/{batch}.json",
        name=batch_rules,
        batch=sorted(manifest()),
    )
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
    """Say where the model is and how it did, if this run came that far."""
    comparison = "results/evaluation/comparison.tsv"
    model = "results/model/model_multiclass_all_genes.gbm"
    if os.path.exists(comparison) and os.path.exists(model):
        from genebatch.summary import closing_words

        print(closing_words(comparison, model))
