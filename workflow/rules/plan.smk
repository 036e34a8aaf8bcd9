# The plan: its batches, their keys, and which of them make the ensemble.

import csv
import json
import os
from functools import lru_cache

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from genebatch.dataset.row_file import read_metadata
from genebatch.io.files import InputError, check_whole
from genebatch.jobs.needs import rules_of
from genebatch.plan.single import ONE_BATCH, final_of, held_out_folds, left_out_with


def refuse_cut(path):
    """Refuse a file that is read before any job starts and was cut off."""
    try:
        check_whole([path])
    except InputError as error:
        raise WorkflowError(str(error))


def lost_row_files():
    """Row files of the last plan that are missing, damaged or of another version."""
    if not os.path.exists(MANIFEST):
        return []
    refuse_cut(MANIFEST)
    with open(MANIFEST, newline="") as stream:
        keys = {r["batch"]: r["key"] for r in csv.DictReader(stream, delimiter="\t")}
    lost = []
    for name in sorted(keys | {"test": None}):
        described = read_metadata(f"{ROW_FOLDER}/{name}.arrow")
        if described is None or described["key"] != keys.get(name, described["key"]):
            lost.append(f"{name}.arrow")
    return lost


LOST = lost_row_files() if workflow.is_main_process else []
if LOST:
    shown = ", ".join(LOST[:4]) + (", ..." if len(LOST) > 4 else "")
    logger.warning(
        f"{len(LOST)} files in {ROW_FOLDER} are missing, damaged or of another version ({shown}): "
        "the plan is made again and writes them"
    )


def lacks_needs():
    """Whether the last plan does not say what a rule of this version needs."""
    if not os.path.exists(PLANNED_NEEDS):
        return False
    refuse_cut(PLANNED_NEEDS)
    with open(PLANNED_NEEDS) as stream:
        known = json.load(stream).keys()
    return not known >= {*rules_of("whole"), "core_hours", "sampled"}


PLAN_AGAIN = LOST or (workflow.is_main_process and lacks_needs())


def plan_again(wildcards):
    """Input function of the plan that adds no file: it forces the plan if it has to be repeated.

    Row files are no outputs of the plan, so Snakemake does not miss them. The plan then writes
    only the lost ones, and no batch runs again, since the keys stay. The same holds for the plan
    of an earlier version that lacks what a rule needs.
    """
    if PLAN_AGAIN and workflow.dag is not None:
        workflow.dag.forcefiles.add(MANIFEST)
    return {}


if os.path.exists(f"{RESULTS}/batches/genes.parquet"):
    if workflow.is_main_process and not os.path.exists(PLANNED_GROUPS):
        logger.warning(
            "the results in this folder are of genebatch 0.1: everything from the analysis of the "
            "data set on is made again, since files and keys of the plan have changed"
        )


@lru_cache(maxsize=4)
def read_manifest(path, mtime_ns):
    refuse_cut(path)
    with open(path, newline="") as stream:
        return {row["batch"]: row for row in csv.DictReader(stream, delimiter="\t")}


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


def single_folds(wildcards):
    """The folds that are held out of the single model in turn."""
    return held_out_folds(
        manifest().values(), settings.single, settings.ensemble.uncertainty
    )


def per_single_fold(pattern):
    """Input function: `pattern` for every fold that is held out of the single model."""

    def inner(wildcards):
        return expand(pattern, fold=single_folds(wildcards))

    return inner


def single_left_out(wildcards):
    """Why the single model is left out, or None where it is trained."""
    if len(manifest()) == 1:
        return ONE_BATCH
    limit = settings.single.max_hours
    if limit is None or "single" not in settings.beside:
        return None
    n_folds = len(single_folds(wildcards))  # not known before the plan
    hours = planned_needs()["core_hours"]
    needed = n_folds * hours["cross_validate_single"] + hours["train_single"]
    return say_too_long(needed, limit) if needed > limit else None


def final_candidate(wildcards):
    """The candidate that `final` asks for."""
    return final_of(settings.final, len(manifest()))


@lru_cache(maxsize=1)
def say_too_long(needed, limit):
    """Say why the single model is left out; refuse a run that asks for it by name."""
    reason = (
        f"the single model would take up to {needed:,.4g} hours of a core, more than "
        f"single.max_hours ({limit:g})"
    )
    if settings.final in ("single", "both") or settings.ensemble.with_single:
        raise WorkflowError(
            f"{reason}, but final or ensemble.with_single asks for it; raise single.max_hours, or "
            "set final: best and ensemble.with_single: null"
        )
    if workflow.is_main_process:
        logger.warning(f"{reason}; it is left out. Raise single.max_hours to train it")
    return reason


def score_rows(wildcards):
    """About how many rows all members score, or None where they score all.

    None also where there are no more rows than that: another limit above them changes nothing.
    """
    planned = planned_needs()
    return settings.score_rows if planned and planned["sampled"] else None


def after_the_plan(path):
    """Input function: a file of the plan, once the checkpoint is through; its time counts nothing.

    A job with such an input is judged anew when the plan is known. Otherwise it would run after
    every new plan, whatever the plan says.
    """

    def inner(wildcards):
        checkpoints.plan_batches.get()
        return ancient(path)

    return inner


def row_file(wildcards):
    """Input function: the row file of a batch."""
    return after_the_plan(f"{ROW_FOLDER}/{wildcards.batch}.arrow")(wildcards)


def row_files(wildcards):
    """Input function: the row files of all batches, with a model or without."""
    return [ancient(f"{ROW_FOLDER}/{batch}.arrow") for batch in sorted(manifest())]


def test_rows(wildcards):
    """Input function: the row file of the test groups."""
    return after_the_plan(f"{ROW_FOLDER}/test.arrow")(wildcards)


def test_key(wildcards):
    """Digest of the rows of the test groups, from their row file."""
    return read_metadata(test_rows(wildcards))["key"]


def data_key(wildcards):
    """Digest of the data set, from the plan."""
    checkpoints.plan_batches.get()
    refuse_cut(PLANNED_DATASET)
    with open(PLANNED_DATASET) as stream:
        return json.load(stream)["digest"]


def batch_key(wildcards):
    """Digest of the rows, folds and features of a batch.

    Takes wildcards only: a params function of input is ignored by the rerun trigger.
    """
    return manifest()[wildcards.batch]["key"]


def plan_keys(wildcards):
    """Batches and their keys: what consolidation depends on in the manifest."""
    return {batch: row["key"] for batch, row in manifest().items()}
