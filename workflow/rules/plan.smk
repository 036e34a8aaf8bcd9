# The plan: its batches, their keys, and which of them make the ensemble.

import csv
import os
from functools import lru_cache

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from genebatch.io.files import InputError, check_whole


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
def find_missing(batches):
    """Those of the batches that the ensemble goes without; none where none has a model yet.

    Found once, so that the run and its report tell of the same ones, whatever is trained meanwhile.
    """
    found = lacking(member_results(), batches)
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
    return find_missing(tuple(sorted(manifest())))


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


def batch_key(wildcards):
    """Digest of the rows, folds and features of a batch.

    Takes wildcards only: a params function of input is ignored by the rerun trigger.
    """
    return manifest()[wildcards.batch]["key"]


def plan_keys(wildcards):
    """Batches and their keys: what consolidation depends on in the manifest."""
    return {batch: row["key"] for batch, row in manifest().items()}
