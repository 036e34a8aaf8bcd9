import csv
import json
import math
import os
from functools import lru_cache
from importlib.metadata import version

from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import IncompleteCheckpointException, WorkflowError
from snakemake.logging import logger

try:
    from genebatch import ALGORITHM
    from genebatch.config import resolve
    from genebatch.data_size import data_size, groups_of
    from genebatch.files import InputError, check_whole
    from genebatch.resources import (
        SCHEDULER_MB,
        WHOLE_DATA_MB,
        annotation_mb,
        estimate_data_mb,
        process_limit_mb,
    )
    from genebatch.tables import find_shards, fingerprint
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error}: install genebatch into the environment that runs Snakemake "
        "(`make` does; or `pip install .` in the folder of this workflow)"
    )

# Models that another major version of XGBoost boosted are not mixed with new ones either.
ALGORITHM = f"{ALGORITHM}, XGBoost {version('xgboost').partition('.')[0]}"

if {"{", "}"} & set(workflow.basedir):
    raise WorkflowError(
        f"the workflow lies in {workflow.basedir}: Snakemake takes braces for wildcards; move it"
    )
# A job's command line has them in single quotes that nothing inside of them is guarded against.
for place in (workflow.basedir, os.getcwd()):
    if "'" in place and not workflow.local_exec:
        raise WorkflowError(
            f"{place}: Snakemake cannot start jobs on other machines from a folder with a single "
            "quote in its path; move it"
        )

try:
    resolved = resolve(dict(config))
except InputError as error:
    raise WorkflowError(str(error))
config.clear()
config.update(resolved)


# Snakemake removes a job's old outputs before it runs, and the plan is one of them.
if config["batching"]["keep"] is not None:
    if os.path.realpath(config["batching"]["keep"]).startswith(
        os.path.realpath("results") + os.sep
    ):
        raise WorkflowError(
            "'batching.keep' names a file under results/, which the plan is about to replace; "
            "copy it elsewhere first, for example to config/plan.parquet"
        )


wildcard_constraints:
    batch=r"b\d+",
    table=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    calls=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


BATCH_FILES = "results/batches/{batch}"
SIMILARITY = config["batching"]["strategy"] == "similarity"
GENES = "results/dataset/genes.parquet"
GROUP_FEATURES = "results/dataset/group_features.parquet"
BATCH_FIGURES = ("roc", "pr", "calibration", "learning_curves", "shap", "importance")
EVALUATION_FIGURES = ("roc", "pr", "calibration", "members", "weights")
SEQUENCE = config["sequence"]
BUILT = SEQUENCE["fasta"] is not None
BUILT_SHARDS = [
    f"results/table/part-{number:03d}.parquet"
    for number in range(SEQUENCE["n_shards"] if BUILT else 0)
]
BIGWIG_FILES = [
    f"results/calls/{{calls}}/{site}.{strand}.bw"
    for site in ("donor", "acceptor")
    for strand in ("plus", "minus")
    if config["call"]["bigwig"]
]
RIVAL_RULES = {"single": "train_single", "distilled": "distil"}
MADE_SCORES = "results/scores/scores.parquet"
SCORER_ENVIRONMENT = "spliceai" if SEQUENCE["scorer"] == "spliceai" else "genebatch"
# What reading and labelling rows depends on; the feature columns are in the batch key.
ROW_KEYS = ("group", "label", "classes", "null_label", "rest_class", "scores", "weight")
ROW_KEYS += ("position",)


def memory_limit_mb():
    """Memory of the run in MB: the lesser of the config's and the run's cap, else what is there."""
    cap = workflow.global_resources.get("mem_mb")
    given = [config["resources"]["memory_mb"], None if cap is None else cap.value]
    given = [limit for limit in given if limit is not None]
    return min(given) if given else int(0.9 * process_limit_mb()[0])


# Without a cap Snakemake starts every job at once, whatever memory they declare.
if workflow.is_main_process and workflow.local_exec:
    if "mem_mb" not in workflow.global_resources:
        workflow.register_resource("mem_mb", memory_limit_mb())


def files_of(path, key):
    """The files of a table; errors name the config key."""
    try:
        return [str(file) for file in find_shards(path, key)]
    except InputError as error:
        raise WorkflowError(str(error))


def shards(wildcards):
    """Files of the data set; an input function, so that linting needs no data."""
    return BUILT_SHARDS or files_of(config["dataset"]["path"], "dataset.path")


def data_fingerprint(wildcards):
    """Names, sizes and Parquet footers of the shards: touching a file changes nothing.

    None for a built table, whose content is not known before it is built; see `watched`.
    """
    return None if BUILT else fingerprint(shards(wildcards))


def watched(file):
    """A file of the whole data set: its time counts where no fingerprint tells of its content."""
    return file if BUILT else ancient(file)


def sequence_files(wildcards):
    """What features are computed from: genome, gene models, groups and base scores."""
    files = {"fasta": SEQUENCE["fasta"], "genes": SEQUENCE["genes"]}
    if SEQUENCE["groups"] is not None:
        files["groups"] = SEQUENCE["groups"]
    if SEQUENCE["scorer"] is not None:
        files["scores"] = MADE_SCORES
    elif isinstance(SEQUENCE["scores"], str):
        files["scores"] = files_of(SEQUENCE["scores"], "sequence.scores")
    else:
        files["scores"] = [
            file for strand in SEQUENCE["scores"].values() for file in strand.values()
        ]
    return files


def wanted_genes(wildcards):
    """Which genes a set of calls is of: those of the test groups, of a list, or all."""
    if wildcards.calls == "test":
        return {
            "table": "results/table/genes.tsv",
            "test_groups": "results/dataset/test_groups.tsv",
        }
    if wildcards.calls not in config["call"]["sets"]:
        raise WorkflowError(
            f"results/calls/{wildcards.calls}: no such set in 'call.sets', and not 'test'"
        )
    source = config["call"]["sets"][wildcards.calls]
    return {} if source == "all" else {"wanted": source}


def call_config(wildcards):
    """How a set is called; the test genes always completely, since they are evaluated."""
    if wildcards.calls == "test":
        return {"mode": "meta", "bigwig": config["call"]["bigwig"]}
    return without("call", "sets")


def refuse_cut(path):
    """Refuse a file that is read before any job starts and was cut off."""
    try:
        check_whole([path])
    except InputError as error:
        raise WorkflowError(str(error))


def check_plan(path, whole):
    """Refuse a file of the plan that an earlier version wrote."""
    if not whole:
        raise WorkflowError(
            f"{path} lacks what this version of genebatch plans; run again with --forcerun "
            "plan_batches (finished batches stay)"
        )


@lru_cache(maxsize=4)
def read_manifest(path, mtime_ns):
    refuse_cut(path)
    with open(path, newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        check_plan(path, "minutes_diagnose_batch" in (reader.fieldnames or ()))
        return {row["batch"]: row for row in reader}


def manifest():
    """Rows of the plan's manifest by batch; only there once the checkpoint is through."""
    path = str(checkpoints.plan_batches.get().output.manifest)
    return read_manifest(path, os.stat(path).st_mtime_ns)


def lacking(patterns, batches):
    """The batches of which a file is not there."""
    return [
        batch
        for batch in batches
        if not all(os.path.exists(name.format(batch=batch)) for name in patterns)
    ]


@lru_cache(maxsize=4)
def find_missing(path, mtime_ns):
    """The batches of a plan that the ensemble goes without; none where none has a model yet.

    Found once, so that the run and its report tell of the same ones, whatever is trained meanwhile.
    """
    batches = sorted(read_manifest(path, mtime_ns))
    found = lacking(MEMBER_RESULTS, batches)
    if len(found) in (0, len(batches)):
        return []
    if workflow.is_main_process:
        logger.warning(
            f"ensemble.allow_missing: {len(found)} of {len(batches)} batches have no model, and "
            f"the ensemble goes without: {', '.join(found)}"
        )
    return found


def missing_batches(wildcards):
    """Batches that the ensemble goes without."""
    if not config["ensemble"]["allow_missing"]:
        return []
    path = str(checkpoints.plan_batches.get().output.manifest)
    return find_missing(path, os.stat(path).st_mtime_ns)


def members(wildcards):
    """Batches whose models make the ensemble."""
    missing = missing_batches(wildcards)
    return [batch for batch in sorted(manifest()) if batch not in missing]


def per_member(pattern):
    """Input function: `pattern` for every batch of the ensemble."""

    def inner(wildcards):
        return expand(pattern, batch=members(wildcards))

    return inner


def planned(path):
    """Input function: a file of the plan, once the checkpoint is through."""

    def inner(wildcards):
        checkpoints.plan_batches.get()
        return path

    return inner


def similar_groups(wildcards):
    """What rows are routed by, where batches are of similar groups."""
    described = {"similarity": "results/dataset/similarity.json"} if SIMILARITY else {}
    return described | group_features(wildcards)


def trained_rivals():
    """The models beside the ensemble that this run trains."""
    wanted = {config["final"]} - {"ensemble", "best"}
    return sorted(wanted.union(config["ensemble"]["rivals"]))


def rival_models(wildcards):
    return {name: f"results/{name}/model.gbm" for name in trained_rivals()}


def rivals_of_the_final_model(wildcards):
    """Every trained rival with its honest probabilities."""
    honest = {
        f"{name}_honest": f"results/{name}/honest.parquet" for name in trained_rivals()
    }
    return rival_models(wildcards) | honest


def batch_key(wildcards):
    """Digest of the rows, folds and features of a batch.

    Takes wildcards only: a params function of input is ignored by the rerun trigger.
    """
    return manifest()[wildcards.batch]["key"]


def plan_keys(wildcards):
    """Batches and their keys: what consolidation depends on in the manifest."""
    return {batch: row["key"] for batch, row in manifest().items()}


def batch_memory(rule_name):
    """Resource function: a batch rule's estimate from the manifest."""

    def inner(wildcards, threads, attempt):
        row = manifest()[wildcards.batch]
        further = (threads - 1) * float(row["thread_mb"])
        return scaled(float(row[f"mem_mb_{rule_name}"]) + further, attempt)

    return inner


def batch_runtime(rule_name):
    """Resource function: minutes that a batch rule may take, from the manifest."""

    def inner(wildcards, attempt):
        row = manifest()[wildcards.batch]
        return longer(float(row[f"minutes_{rule_name}"]), attempt)

    return inner


def planned_memory(rule_name):
    """Resource function: the plan's estimate of a rule about all batches.

    Before the plan it is not known: a dry run then prints `<TBD>`. Snakemake asks again before it
    starts a job.
    """

    def inner(wildcards, threads, attempt):
        needs = planned_needs()
        if needs is None:
            return TBDString()
        return scaled(needs[rule_name] + (threads - 1) * needs["thread"], attempt)

    return inner


def planned_runtime(rule_name):
    """Resource function: minutes that a rule about all batches may take, as `planned_memory`."""

    def inner(wildcards, attempt):
        needs = planned_needs()
        return (
            TBDString()
            if needs is None
            else longer(needs["minutes"][rule_name], attempt)
        )

    return inner


def planned_needs():
    """What the plan says of the rules about all batches; None before there is one."""
    try:
        path = str(checkpoints.plan_batches.get().output.memory)
    except IncompleteCheckpointException:
        return None
    refuse_cut(path)
    with open(path) as stream:
        needs = json.load(stream)
    check_plan(path, "minutes" in needs)
    return needs


@lru_cache(maxsize=4)
def read_size(files):
    """Size of the data set; `files` are its shards with what tells that one has changed."""
    return data_size([path for path, *_ in files])


def data_memory(rule_name):
    """Resource function: the estimate of a rule about the data set, from the footers of its files.

    While shards are yet to be built or groups to be counted, a dry run prints `<TBD>`; Snakemake
    asks again before it starts a job.
    """

    def inner(wildcards, threads, attempt):
        paths = shards(wildcards)
        counted = [] if rule_name == "analyze_dataset" else [GENES]
        if not all(os.path.exists(path) for path in [*paths, *counted]):
            return TBDString()
        found = [(path, os.stat(path)) for path in paths]
        size = read_size(tuple((p, s.st_size, s.st_mtime_ns) for p, s in found))
        data = size._replace(
            groups=sum(map(groups_of, counted)),
            screened=config["screen"]["max_rows"],
            threads=threads,
        )
        return scaled(estimate_data_mb(rule_name, data), attempt)

    return inner


def whole_memory(rule_name, *annotations):
    """Resource function: the estimate of a rule that is not about one batch.

    Gene models that it reads add to it.
    """

    def inner(wildcards, attempt):
        read = sum(annotation_mb(path) for path in annotations)
        return scaled(WHOLE_DATA_MB[rule_name] + read, attempt)

    return inner


def scaled(estimate_mb, attempt):
    """An estimate in MB times mem_factor; on a cluster with Snakemake's own share, and growing.

    Retries never grow locally: the scheduler goes on counting what the first attempt declared.
    """
    needed = estimate_mb * config["resources"]["mem_factor"]
    if workflow.local_exec and not workflow.remote_exec:
        return math.ceil(needed)
    return math.ceil((needed + SCHEDULER_MB) * 1.5 ** (attempt - 1))


def longer(minutes, attempt):
    """Minutes times runtime_factor, and growing, as a job may have been cut off for its time."""
    return math.ceil(
        minutes * config["resources"]["runtime_factor"] * 1.5 ** (attempt - 1)
    )


def planning_budget(wildcards):
    """What an estimate may be at most, in MB; a resource, since another machine's limit must
    not plan the batches anew."""
    return int(memory_limit_mb() / config["resources"]["mem_factor"])


def predictions():
    return expand(
        "results/predictions/{table}.parquet", table=config["predict"]["tables"]
    )


def table_shards(wildcards):
    table = wildcards.table
    return files_of(config["predict"]["tables"][table], f"predict.tables.{table}")


def table_fingerprint(wildcards):
    return fingerprint(table_shards(wildcards))


def group_features(wildcards):
    """Features of groups, where groups that are alike share a batch."""
    return {"group_features": GROUP_FEATURES} if SIMILARITY else {}


def kept_plan(wildcards):
    """Digest of the earlier plan that is kept, if any; its content is what matters."""
    keep = config["batching"]["keep"]
    return None if keep is None or not os.path.isfile(keep) else fingerprint([keep])


def without(block, *keys):
    """A part of the config without the keys that change no result."""
    return {key: value for key, value in config[block].items() if key not in keys}


# The first stage with what it computes and draws; scores that a rule makes count as given, and it
# has seen every gene: one without an entry scored too low everywhere.
sequence_config = without("sequence", "scorer", "n_shards") | {
    "scores": MADE_SCORES if SEQUENCE["scorer"] else SEQUENCE["scores"],
    "unscored": "zero" if SEQUENCE["scorer"] else SEQUENCE["unscored"],
    "features": config["features"],
    "sampling": config["sampling"],
}
row_config = {key: config["dataset"][key] for key in ROW_KEYS}
learner_config = without("learner", "threads")
plan_config = {
    "dataset": {"classes": config["dataset"]["classes"]},
    "batching": config["batching"],
    "cv": {key: config["cv"][key] for key in ("n_splits", "seed")},
    "learner": {
        key: config["learner"][key] for key in ("max_bin", "max_depth", "n_estimators")
    },
    "explain": {"rows": config["explain"]["rows"]},
}
combiner_config = without("ensemble", "rivals", "distil_mix", "allow_missing")
# The report prints settings; those that only say where to run would redo it for nothing.
report_config = {
    key: value for key, value in config.items() if key not in ("predict", "resources")
} | {"learner": learner_config, "ensemble": without("ensemble", "allow_missing")}


def built_genes(wildcards):
    """The genes of a built table, so that the model knows which it was trained on."""
    return {"table": "results/table/genes.tsv"} if BUILT else {}


def track_results(wildcards):
    """What the report says about complete tracks, where there are any."""
    names = ("comparison.tsv", "corrections.tsv", "hybrid.tsv", "summary.json")
    files = {f"tracks_{name.split('.')[0]}": f"results/tracks/{name}" for name in names}
    return files | {"tracks_figure": "results/tracks/pr.png"} if BUILT else {}


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
    older = (model, candidates, "results/dataset/test_groups.tsv")
    if all(os.path.exists(path) for path in (comparison, *older)):
        if os.path.getmtime(comparison) >= max(
            os.path.getmtime(path) for path in older
        ):
            from genebatch.summary import closing_words

            tracks = "results/tracks/comparison.tsv" if BUILT else None
            print(
                closing_words(
                    comparison, candidates, model, tracks, missing_batches(None)
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
BATCH_RESULTS = [
    f"{BATCH_FILES}/{name}"
    for name in (
        "out_of_fold.parquet",
        "folds.tsv",
        "metrics.tsv",
        "learning_curves.parquet",
        "folds.gbm",
        "uncalibrated.gbm",
        "calibration.json",
        "model.gbm",
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
        for calls in ("test", *config["call"]["sets"]):
            names[f"calls/{calls}"] = ["positions.parquet", "calls.bed", "coverage.tsv"]
    return [
        f"results/{folder}/{name}" for folder, files in names.items() for name in files
    ]
