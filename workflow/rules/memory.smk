# Memory and time that jobs declare.

import json
import math
import os
from functools import lru_cache

from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import IncompleteCheckpointException, WorkflowError

from genebatch.config.tracks import junction_files
from genebatch.jobs.limits import RUN_MEMORY, run_limit_mb
from genebatch.jobs.memory import SCHEDULER_MB, TEXT_MB
from genebatch.jobs.needs import NEEDS, estimate_mb, least_mb, rules_of
from genebatch.jobs.scratch import remove_unfinished
from genebatch.jobs.sizes import (
    GenomeSize,
    annotation_mb,
    data_size,
    groups_of,
    junctions_mb,
    text_size,
)

# Keys that set what a rule needs.
LOWERED = {
    "screen_features": "screen.max_rows",
    "run_scorer": "sequence.scorer.mem_mb",
}
# Rules that hold the junctions of all tracks.
READS_TRACKS = ("build_dataset", "call_genes", "neighbours_batch")


def memory_limit_mb():
    """Memory of the run in MB: the smaller of the config's and the run's cap.

    Without either, 90 % of what this process may use.
    """
    cap = workflow.global_resources.get("mem_mb")
    return run_limit_mb(
        config["resources"]["memory_mb"], None if cap is None else cap.value
    )


# Without a cap Snakemake starts every job at once, whatever memory they declare. On a cluster the
# scheduler of the cluster decides.
if workflow.is_main_process and LOCAL:
    if "mem_mb" not in workflow.global_resources:
        workflow.register_resource("mem_mb", memory_limit_mb())


def needs(rule_name, *annotations):
    """Resources of a rule: `mem_mb`, and `runtime` if the rule declares one.

    A job compares `needs_mb` with the `mem_mb` that it was granted, which Snakemake cuts to the cap
    of the run. Where it was `submitted`, as one or in a group, a scheduler may limit it. These are
    no params, which would run finished jobs again elsewhere. `annotations` are the files of gene
    models that the rule reads.
    """
    kind = NEEDS[rule_name].of
    memory = MEMORY_OF[kind](rule_name, *annotations)
    resources = {"mem_mb": memory, "needs_mb": memory}
    resources["submitted"] = int(workflow.remote_exec)
    if NEEDS[rule_name].seconds is not None:
        resources["runtime"] = RUNTIME_OF[kind](rule_name)
    return resources


def batch_memory(rule_name):
    """Resource function: the estimate of a rule of a batch, from the manifest."""

    def inner(wildcards, threads, attempt):
        row = manifest()[wildcards.batch]
        further = (threads - 1) * float(row["thread_mb"])
        return scaled(float(row[f"mem_mb_{rule_name}"]) + further, attempt)

    return inner


def batch_runtime(rule_name):
    """Resource function: minutes that a rule of a batch may take, from the manifest."""

    def inner(wildcards, attempt):
        row = manifest()[wildcards.batch]
        return longer(float(row[f"minutes_{rule_name}"]), attempt)

    return inner


def planned_memory(rule_name, *annotations):
    """Resource function: the plan's estimate of a rule about all batches, and its gene models.

    Before there is a plan, a dry run prints `<TBD>`. Snakemake asks again before it starts a job.
    """

    def inner(wildcards, threads, attempt):
        planned = scored_needs(rule_name, wildcards)
        if planned is None:
            return TBDString()
        needed = planned[rule_name] + sum(annotation_mb(path) for path in annotations)
        if rule_name == "predict":
            table = config["predict"]["tables"][wildcards.table]
            needed += TEXT_MB if holds_text(table) else 0
        return scaled(needed + (threads - 1) * planned["thread"], attempt)

    return inner


def planned_runtime(rule_name):
    """Resource function: minutes that a rule about all batches may take, as `planned_memory`."""

    def inner(wildcards, attempt):
        planned = scored_needs(rule_name, wildcards)
        return (
            TBDString()
            if planned is None
            else longer(planned["minutes"][rule_name], attempt)
        )

    return inner


def planned_needs():
    """What the plan says about the rules about all batches; None before there is a plan."""
    try:
        path = str(checkpoints.plan_batches.get().output.memory)
    except IncompleteCheckpointException:
        return None
    refuse_cut(path)
    with open(path) as stream:
        planned = json.load(stream)
    return planned


def scored_needs(rule_name, wildcards):
    """What the plan says, by the rows that all members score in this run; None before the plan.

    Rules that read every candidate's held-out scores read those of the single model too, which are
    of more rows.
    """
    planned = planned_needs()
    if score_rows(wildcards) is None:
        return planned
    if rule_name in ("consolidate", "estimate") and trained_alone(wildcards):
        return planned
    return planned | planned["sampled"]


@lru_cache(maxsize=4)
def read_size(files):
    """Size of the data set. `files` are its shards, each with its size and time."""
    return data_size([path for path, *_ in files])


@lru_cache(maxsize=1)
def read_text_size(files):
    """Size of the table of text. `files` are as in `read_size`."""
    return text_size([path for path, *_ in files])


def with_times(paths):
    """Files with their sizes and times, for what is kept of them in memory."""
    found = [(path, os.stat(path)) for path in paths]
    return tuple((p, s.st_size, s.st_mtime_ns) for p, s in found)


def data_memory(rule_name):
    """Resource function: the estimate of a rule about the data set, from the footers of its files.

    Before there are shards, and before the analysis has counted groups, a dry run prints `<TBD>`.
    Snakemake asks again before it starts a job.
    """

    def inner(wildcards, threads, attempt):
        paths = shards(wildcards)
        counted = [] if rule_name == "analyze_dataset" else [GROUPS]
        if not all(os.path.exists(path) for path in [*paths, *counted]):
            return TBDString()
        groups = sum(map(groups_of, counted))
        return scaled(estimate_mb(rule_name, data_of(paths, groups, threads)), attempt)

    return inner


def data_of(paths, groups, threads):
    """Size of the data set in these shards, for estimates."""
    return read_size(with_times(paths))._replace(
        groups=groups, screened=config["screen"]["max_rows"], threads=threads
    )


def text_memory(rule_name):
    """Resource function: the estimate of the rule about the table of text, from its files."""

    def inner(wildcards, attempt):
        size = read_text_size(with_times(text_files(wildcards)))
        return scaled(estimate_mb(rule_name, size), attempt)

    return inner


def genome_memory(rule_name, *annotations):
    """Resource function: the estimate of a rule about the genome, with genes and junctions."""
    read = junction_files(SEQUENCE["tracks"]) if rule_name in READS_TRACKS else []

    def inner(wildcards, attempt):
        genome = GenomeSize(
            sum(annotation_mb(path) for path in annotations),
            sum(map(junctions_mb, read)),
        )
        return scaled(estimate_mb(rule_name, genome), attempt)

    return inner


MEMORY_OF = {
    "batch": batch_memory,
    "whole": planned_memory,
    "data": data_memory,
    "text": text_memory,
    "genome": genome_memory,
}
RUNTIME_OF = {"batch": batch_runtime, "whole": planned_runtime}


def scaled(estimate, attempt):
    """An estimate in MB times mem_factor.

    On a cluster Snakemake's own memory is added, and a retry asks for more. Locally a retry asks
    for no more: Snakemake goes on counting what the first attempt declared.
    """
    needed = estimate * config["resources"]["mem_factor"]
    if LOCAL and not workflow.remote_exec:
        return math.ceil(needed)
    return math.ceil((needed + SCHEDULER_MB) * 1.5 ** (attempt - 1))


def longer(minutes, attempt):
    """Minutes times runtime_factor. A retry asks for more: its job may have run out of time."""
    return math.ceil(
        minutes * config["resources"]["runtime_factor"] * 1.5 ** (attempt - 1)
    )


def planning_budget(wildcards):
    """The largest estimate that a rule of a batch may have, in MB.

    It is a resource and not a param: on another machine, with another limit, finished batches stay
    as they were planned.
    """
    return int(memory_limit_mb() / config["resources"]["mem_factor"])


def refuse_little_memory():
    """Refuse a run whose cap is below what its jobs need, before the first of them starts.

    Before the analysis and before the plan only the least that later jobs need is known.
    """
    if not LOCAL or workflow.remote_exec:
        return
    cap = int(workflow.global_resources["mem_mb"].value)
    begun = list(workflow.dag.needrun_jobs())
    planned = all(job.rule.name != "plan_batches" for job in begun)
    coming = {job.rule.name: known_need(job, planned) for job in begun}
    if not planned:
        coming |= {name: scaled(least_mb(name), 1) for name in rules_of("batch")}
        cap = min(cap, memory_limit_mb())
    largest = max(coming, key=coming.get, default=None)
    if largest is not None and coming[largest] > cap:
        key = LOWERED.get(largest)
        lower = "" if key is None else f", or lower {key}"
        raise WorkflowError(
            f"{largest} needs {coming[largest]} MB but the run caps memory at {cap} MB, the smaller of "
            f"{RUN_MEMORY} and resources.memory_mb, or without either 90 % of what this "
            f"process may use; raise both{lower}. No job has been started"
        )


def known_need(job, planned):
    """MB that a job of a run needs at least, as far as it is known before the first job.

    Resources of jobs behind the plan have no value before it is `planned`.
    """
    name = job.rule.name
    if name in NEEDS and NEEDS[name].of in ("batch", "whole") and not planned:
        return scaled(least_mb(name), 1)
    needed = job.resources.get("needs_mb")
    if name not in NEEDS or isinstance(needed, int):
        return needed if isinstance(needed, int) else 0
    if NEEDS[name].of == "whole":
        return scaled(least_mb(name), 1)
    paths = shards(job.wildcards)
    if NEEDS[name].of != "data" or not all(map(os.path.exists, paths)):
        return 0
    return scaled(estimate_mb(name, data_of(paths, 0, job.threads)), 1)


def spare_the_scheduler():
    """Take away Snakemake's own limit on jobs a second, which no run of this workflow comes near.

    With a limit, each job that ends leaves a timer behind that looks at all ready jobs once a
    second, until the run ends. Behind some hundred jobs that takes a core. Any other limit stays.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
