# Memory and time that jobs declare.

import json
import math
import os
from functools import lru_cache

from snakemake.common.tbdstring import TBDString
from snakemake.exceptions import IncompleteCheckpointException

from genebatch.jobs.data_size import data_size, groups_of
from genebatch.jobs.memory import (
    SCHEDULER_MB,
    WHOLE_DATA_MB,
    annotation_mb,
    estimate_data_mb,
    process_limit_mb,
)


def memory_limit_mb():
    """Memory of the run in MB: the lesser of the config's and the run's cap, else what is there."""
    cap = workflow.global_resources.get("mem_mb")
    given = [config["resources"]["memory_mb"], None if cap is None else cap.value]
    given = [limit for limit in given if limit is not None]
    return min(given) if given else int(0.9 * process_limit_mb()[0])


# Without a cap Snakemake starts every job at once, whatever memory they declare; on a cluster that
# is for the cluster to say.
if workflow.is_main_process and LOCAL:
    if "mem_mb" not in workflow.global_resources:
        workflow.register_resource("mem_mb", memory_limit_mb())


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
    if LOCAL and not workflow.remote_exec:
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
