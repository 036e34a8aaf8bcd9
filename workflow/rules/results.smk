# What a run makes, what it is made from, and what the run says at its end.

import csv
import os
from functools import lru_cache

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import RerunTrigger

from genebatch.launch import again
from genebatch.jobs.needs import NEEDS, rules_of
from genebatch.progress.remaining import Remaining

# Results of these rules are made when another rule or `predict.tables` asks for them.
SCORING = ("gene_sequences", "score_genes", "table_of_text")
ON_REQUEST = (
    *SCORING,
    "predict",
    "cross_validate_single",
    *ALONE_RULES.values(),
)
# Rules of one batch whose memory the gene models decide.
OF_A_BATCH = ("neighbours_batch",)


def rules_of_the_whole():
    """Rules of this run that are not about one batch."""
    names = [
        name for name in NEEDS if NEEDS[name].of != "batch" and name not in OF_A_BATCH
    ]
    return [name for name in [*names, "score_genes"] if rules.has(name)]


def results_of(rule_name):
    """The files that a rule writes, without the record of its memory and time."""
    output = getattr(rules, rule_name).output
    return [path for path in output if path != output.get("usage")]


def member_results():
    """The files of a batch that show that its model is there and what it was made from."""
    model = results_of("train_batch") + results_of("calibrate_batch")
    return [rules.cross_validate_batch.output.out_of_fold, *model]


def rules_of_a_batch():
    """Rules of this run that are about one batch."""
    along_genes = [name for name in OF_A_BATCH if rules.has(name)]
    return [*rules_of("batch"), *along_genes]


def batch_results():
    """All files of a batch."""
    return [path for name in rules_of_a_batch() for path in results_of(name)]


def results_of_the_whole():
    """All files that are not about one batch, so that a deleted one is made again.

    With them `call.bigwig` and other keys make their files in a finished run: they have to be asked
    for by name, since Snakemake compares no params of a job whose outputs it does not know. The
    shards of a built table are left out; they are made again when a job has to read them.
    """
    files = []
    for name in rules_of_the_whole():
        if name == "build_dataset":
            files += [rules.build_dataset.output.table, *EVIDENCE.values()]
        elif name == "call_genes":
            sets = ("test", *config["call"]["sets"])
            files += expand(results_of(name), calls=sets)
        elif name not in ON_REQUEST:
            files += results_of(name)
    return files


def usage_records(wildcards):
    """Records of memory and time of every job before the report."""
    trained = [ALONE_RULES[name] for name in trained_alone(wildcards)]
    trained += ["cross_validate_single"] if "train_single" in trained else []
    left_out = {*ON_REQUEST}.difference(trained, SCORING)
    names = {*rules_of_a_batch(), *rules_of_the_whole()}.difference(left_out)
    usage = [getattr(rules, name).output.get("usage") for name in names]
    records = expand(
        [path for path in usage if path is not None],
        batch=members(wildcards),
        fold=single_folds(wildcards),
        calls="test",
    )
    return sorted(set(records))


def input_files():
    """All files that the config names."""
    files = (
        given_files(("fasta", "genes", "groups", "scores", "structure", "tracks"))
        if BUILT
        else text_files(None) if TEXT else shards(None)
    )
    if SCORER_KIND == "command":
        files += SEQUENCE["scorer"]["files"]
    if BUILT:
        files += [path for path in config["call"]["sets"].values() if path != "all"]
    keep = config["batching"]["keep"]
    files += [] if keep is None else [keep]
    for name, path in config["predict"]["tables"].items():
        files += files_of(path, f"predict.tables.{name}")
    return files


def data_files():
    """What a data set consists of: the keys of the config that name it, and their files."""
    if BUILT:
        return {f"sequence.{key}": [SEQUENCE[key]] for key in ("fasta", "genes")}
    return {"dataset.path": text_files(None) if TEXT else shards(None)}


def current_data():
    """The data set of this run, as it is put on record."""
    paths = {"dataset.path": (TEXT or config["dataset"])["path"]}
    paths |= {f"sequence.{key}": SEQUENCE[key] for key in ("fasta", "genes")}
    return {
        key: Source(os.path.relpath(paths[key], RESULTS), DIGESTS.of(files))
        for key, files in data_files().items()
    }


@lru_cache(maxsize=1)
def current_origin():
    """What this run makes its results from."""
    files = fingerprint(input_files())
    return made_from(config, files, ALGORITHM, current_data())


def hold_results():
    """Refuse to write where another run writes."""
    try:
        RECORD.hold()
    except InputError as error:
        raise WorkflowError(str(error))


@lru_cache(maxsize=1)
def refuse_other_data():
    """Refuse to write results of a data set into those of another one."""
    files = [file for files in data_files().values() for file in files]
    if not all(map(os.path.exists, files)):
        return  # Snakemake names what is missing
    other = RECORD.other_data(current_data())
    if other is not None:
        raise WorkflowError(
            f"'results' is {RESULTS}, and these results belong to another data set: {other}. Give this "
            f"run a folder of its own (results: {free_name(RESULTS)}), or remove {RESULTS}. No job has "
            "been started"
        )


def results_there():
    """Results that are there, of jobs of this run or of another plan."""
    values = {
        "batch": folders_in(f"{RESULTS}/batches"),
        "fold": folders_in(f"{RESULTS}/single/folds"),
        "table": config["predict"]["tables"],
        "calls": ("test", *config["call"]["sets"]),
    }
    files = [
        file.apply_wildcards({name: value})
        for rule_name in {*rules_of_the_whole(), *rules_of_a_batch()}
        for file in getattr(rules, rule_name).output
        for name in file.get_wildcard_names() or ("none",)
        for value in values.get(name, ("",))
    ]
    return sorted(file for file in files if os.path.exists(file))


def folders_in(path):
    """Names of the folders in a folder, which need not be there."""
    names = os.listdir(path) if os.path.isdir(path) else []
    return [name for name in names if os.path.isdir(f"{path}/{name}")]


def unrecorded():
    """Results that are there although Snakemake does not know how they were made.

    It may know another result under the path, which has another time. A file of a job that was
    killed is none of them: Snakemake makes it again.
    """
    known, foreign = workflow.persistence, RECORD.foreign
    there = results_there()
    unfinished = known._filter_incomplete_keys(there)  # what is public asks for a job

    def is_unknown(file):
        record = known.metadata(file)
        return record is None or (foreign and record.endtime != os.path.getmtime(file))

    return [file for file in there if file not in unfinished and is_unknown(file)]


def differences():
    """What is not as it was when the results were made, in words."""
    absent = [file for file in input_files() if not os.path.exists(file)]
    if absent:
        return [f"{absent[0]} is not there"]
    return RECORD.differences(current_origin())


@lru_cache(maxsize=1)
def refuse_unknown_origin():
    """Refuse to mix new results with old ones that may be of other settings or data.

    Snakemake repeats what a changed setting changes, as long as it has its own record of each
    result, in .snakemake. Without it every result would stay as it is. A run with --forceall
    replaces them all. If it does not come to its end, later runs replace what is left of them.
    """
    if workflow.dag_settings.forceall:
        return
    if RECORD.replaces:
        workflow.dag.forcefiles.update(unrecorded())
        return
    different = differences()
    if different and unrecorded():
        shown = "; ".join(different[:SHOWN])
        shown += "; ..." if len(different) > SHOWN else ""
        # Results of several settings are of none that the config could be set to.
        back = "Set the config back, give" if len(RECORD.entries) == 1 else "Give"
        raise WorkflowError(
            f"Snakemake's record in this folder (.snakemake) is not of the results in {RESULTS}: it is "
            "lost, or they were made elsewhere or put there since. They may be of other settings or "
            f"data: {shown}. {back} this run a folder of its own (results: {free_name(RESULTS)}), or "
            f"replace them:\n    {again('--forceall')}\n"
        )


def known_origin(wildcards):
    """Input function that gives no file; it refuses a run that would mix results.

    It is one of each rule that reads what the user gives, so that every run is looked at.
    """
    if workflow.dag is not None and workflow.is_main_process:
        refuse_other_data()
        refuse_unknown_origin()
    return {}


def begin_record():
    """Note what this run makes its results from.

    What Snakemake knows of others under the paths of foreign results is forgotten.
    """
    replace = workflow.dag_settings.forceall or RECORD.replaces
    left = unrecorded() if replace or RECORD.foreign else []
    for file in left:
        workflow.persistence.cleanup_metadata(file)
    RECORD.begin(current_origin(), replace=bool(replace and left))


RUN = {"whole": False}


def whole_run(wildcards):
    """Input function of `all` that gives no file; it notes whether all results will be current."""
    told = workflow.dag_settings
    some = told.until or told.omit_from or told.allowed_rules or told.batch
    RUN["whole"] = not some and RerunTrigger.PARAMS in told.rerun_triggers
    return []


def batch_figure(name):
    """A figure of a batch, listed in Snakemake's report."""
    return report(
        f"{BATCH_FILES}/figures/{name}.png",
        caption="../report/batch_figure.rst",
        category="Batches",
        subcategory="{batch}",
        labels={"batch": "{batch}", "figure": name},
    )


def evaluation_figure(name, category="Comparison of candidates"):
    """A figure of the finished model on test groups, listed in Snakemake's report."""
    return report(
        f"<results>/evaluation/figures/{name}.png",
        caption="../report/evaluation_figure.rst",
        category=category,
        labels={"figure": name},
    )


def print_closing_words():
    """Say where the model is and how good it is, if the evaluation is of that model."""
    comparison = rules.evaluate.output.comparison
    predictions = rules.evaluate.output.predictions
    model = rules.consolidate.output.model
    candidates = rules.consolidate.output.candidates
    older = (model, candidates, rules.choose_test_groups.output.test_groups)
    tracks = rules.evaluate_tracks.output.comparison if BUILT else None
    if is_of_these([comparison, predictions], older):
        from genebatch.steps.results import read_closing_words

        # A run of some targets need not have called the test genes.
        judged = tracks is not None and is_of_these([tracks], older)
        print(
            read_closing_words(
                comparison=comparison,
                candidates=candidates,
                results=RESULTS,
                predictions=predictions,
                dataset=TEXT or config["dataset"],
                sequence=SEQUENCE,
                scores=SCORES,
                unscored=UNSCORED,
                tracks=tracks if judged else None,
            )
        )


def is_of_these(files, older):
    """Whether some files are there and not older than what they are made from."""
    if not all(os.path.exists(path) for path in (*files, *older)):
        return False
    return min(map(os.path.getmtime, files)) >= max(map(os.path.getmtime, older))


def say_what_is_left():
    """After a failed run, say which batches are not finished, and what the next run does."""
    path = rules.plan_batches.output.manifest
    if os.path.exists(path):
        print_unfinished_of(path)
    print(f"Mend the cause, then run again what is missing:\n    {again()}")


def print_unfinished_of(path):
    """Say which batches of a plan are not finished."""
    with open(path, newline="") as stream:
        batches = [row["batch"] for row in csv.DictReader(stream, delimiter="\t")]
    unfinished = lacking(batch_results(), batches)
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
            f"{', '.join(unfinished)}. Their logs are {RESULTS}/logs/*/{{batch}}.log; the next run {coming}"
        )
