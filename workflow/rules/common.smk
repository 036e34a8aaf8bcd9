# The config, and what rules read.

import os

from snakemake.exceptions import WorkflowError

try:
    from genebatch import ALGORITHM, ROW_DIGESTS
    from genebatch.config.base_models import BaseModels
    from genebatch.config.base_models import files_of as named_files
    from genebatch.config.boosting_library import xgboost_version
    from genebatch.config.record import SHOWN, Record, Source, free_name, made_from
    from genebatch.config.schema import made_shards, relative_paths, resolve
    from genebatch.config.settings import Settings
    from genebatch.config.tracks import track_files
    from genebatch.io.digests import KeptDigests
    from genebatch.io.files import InputError, digest
    from genebatch.io.data_files import find_shards, holds_text

    XGBOOST = xgboost_version()
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error}: install genebatch into the environment that runs Snakemake "
        "(`make` does; or `pip install .` in the folder of this workflow)"
    )

# Models that another major version of XGBoost boosted are not mixed with new ones either.
ALGORITHM = f"{ALGORITHM}, XGBoost {XGBOOST.partition('.')[0]}"

# Which executor it will be is not known yet, but only one for other machines counts jobs.
LOCAL = workflow.resource_settings.nodes is None

if {"{", "}"} & set(workflow.basedir):
    raise WorkflowError(
        f"the workflow lies in {workflow.basedir}: Snakemake takes braces for wildcards; move it"
    )
try:
    resolved = resolve(
        dict(config), workflow.configfiles, workflow.config_settings.config
    )
except InputError as error:
    raise WorkflowError(str(error))
config.clear()
config.update(resolved)
RESULTS = config["results"]


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",


if workflow.pathvars.get("results") != RESULTS:
    raise WorkflowError(
        "the folder of the results is set by the key 'results' of the configuration, which functions "
        "read as well, and not by 'pathvars:'"
    )
# A job's command line has them in single quotes that nothing inside of them is guarded against.
for place in (workflow.basedir, os.getcwd(), RESULTS):
    if "'" in place and not LOCAL:
        raise WorkflowError(
            f"{place}: Snakemake cannot start jobs on other machines from a folder with a single "
            "quote in its path; move it"
        )
# A table of text becomes Parquet shards first.
TEXT = None
if resolved["sequence"]["fasta"] is None and holds_text(resolved["dataset"]["path"]):
    TEXT = Settings.build(resolved).table.plain()
    config["dataset"] = resolved["dataset"] | {"path": made_shards(RESULTS)}
settings = Settings.build(config)
if settings.learner.params and workflow.is_main_process:
    from genebatch.model.boosting import check_parameters  # imports XGBoost

    try:
        check_parameters(settings.learner)
    except InputError as error:
        raise WorkflowError(str(error))


# Snakemake adds a prefix to inputs and outputs, but not to what functions and params name.
for path in (
    f"{RESULTS}/model/model.gbm",
    *relative_paths(config),
):
    if workflow.modifier.path_modifier.replace_prefix(path) != path:
        raise WorkflowError(
            "a module with 'prefix:' or 'replace_prefix:' is not supported: jobs find their files "
            "by the configuration. Leave it out, and set 'results' there: the folder that everything "
            "is written to"
        )


# Snakemake removes a job's old outputs before it runs, and the plan is one of them.
if config["batching"]["keep"] is not None:
    if os.path.realpath(config["batching"]["keep"]).startswith(
        os.path.realpath(RESULTS) + os.sep
    ):
        raise WorkflowError(
            f"'batching.keep' names a file under {RESULTS}/, which the plan is about to replace; "
            "copy it elsewhere first, for example to config/plan.parquet"
        )


def number_of_text_files():
    """How many shards a table of text gives; 1 if it is not there, so that linting needs no data."""
    try:
        return len(find_shards(TEXT["path"])) if TEXT else 0
    except InputError:  # which is said where the files are read
        return 1


wildcard_constraints:
    batch=r"b\d+",
    fold=r"\d+",
    table=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    calls=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


BATCH_FILES = "<results>/batches/{batch}"
SINGLE_FOLDS = "<results>/single/folds/{fold}"
# A job of all rows is long, and others wait for it. Threads change no tree.
ALL_ROWS_THREADS = max(config["learner"]["threads"], 2)
SIMILARITY = config["batching"]["strategy"] == "similarity"
GROUPS = f"{RESULTS}/dataset/groups.parquet"
TEST_GROUPS = f"{RESULTS}/dataset/test_groups.tsv"
MANIFEST = f"{RESULTS}/batches/manifest.tsv"
PLANNED_GROUPS = f"{RESULTS}/batches/groups.parquet"
PLANNED_DATASET = f"{RESULTS}/batches/dataset.json"
PLANNED_NEEDS = f"{RESULTS}/batches/memory.json"
ROW_FOLDER = f"{RESULTS}/rows"
MODEL = f"{RESULTS}/model/model.gbm"
GROUP_FEATURES = f"{RESULTS}/dataset/group_features.parquet"
# No result: if it is lost, the files are read again.
KEPT_DIGESTS = ".snakemake/genebatch/digests.json"
DIGESTS = KeptDigests(KEPT_DIGESTS)
RECORD = Record(
    f"{RESULTS}/config.json", f".snakemake/genebatch/run-{digest(RESULTS)}.json"
)
SEQUENCE = config["sequence"]
BUILT = SEQUENCE["fasta"] is not None
READING = settings.sequence.reading.plain()
NEIGHBOURS = settings.neighbours.sites > 0
BUILT_SHARDS = [
    f"{RESULTS}/table/part-{number:03d}.parquet"
    for number in range(SEQUENCE["n_shards"] if BUILT else number_of_text_files())
]
MADE = BUILT or TEXT is not None  # the table is made by a rule
BIGWIG_NAMES = [
    f"{site}.{strand}.bw"
    for site in ("donor", "acceptor")
    for strand in ("plus", "minus")
    if config["call"]["bigwig"]
]
TRANSCRIPT_NAMES = ["transcripts.gff3"] if config["call"]["transcripts"] else []
COMPRESSED_NAMES = [
    f"{name}.gz{index}"
    for name in ("calls.bed", *TRANSCRIPT_NAMES)
    for index in ("", f".{config['call']['bgzip']}")
    if config["call"]["bgzip"] != "none"
]
HUB_NAMES = ["calls_hub.txt", "calls.bb"] if config["call"]["hub"] else []
HUB_NAMES += ["transcripts.bb"] if HUB_NAMES and TRANSCRIPT_NAMES else []
if HUB_NAMES and config["call"]["hub"]["genome"] == "own":
    HUB_NAMES += ["calls_genome.2bit", "calls_genes.bb"]
ALONE_RULES = {
    "single": "train_single",
    "both": "add_single",
    "distilled": "distil",
}
# Evidence along the genome. Without any, the rules have no such param and no such output.
TRACKS = {"tracks": SEQUENCE["tracks"]} if SEQUENCE["tracks"] else {}
TRACK_FILES = track_files(SEQUENCE["tracks"])
EVIDENCE = {"evidence": f"{RESULTS}/table/evidence.tsv"} if SEQUENCE["tracks"] else {}
MADE_SCORES = f"{RESULTS}/scores/scores.parquet"
# What a scorer's command may name, in the words of Snakemake.
SCORER_FIELDS = {
    "fasta": "{input.fasta:q}",
    "scores": "{output.scores:q}",
    "threads": "{threads}",
}
SCORES = MADE_SCORES if SEQUENCE["scorer"] else SEQUENCE["scores"]
# The scorer has seen every gene: a gene without an entry scored too low everywhere.
UNSCORED = "zero" if SEQUENCE["scorer"] else SEQUENCE["unscored"]
SCORER_KIND = SEQUENCE["scorer"]
if isinstance(SCORER_KIND, dict):
    SCORER_KIND = "command"
    # Snakemake takes a relative path from the folder of the rule, a user from that of the run.
    SCORER_ENVIRONMENT = SEQUENCE["scorer"]["env"] and os.path.abspath(
        SEQUENCE["scorer"]["env"]
    )


def scorer_given(wildcards):
    """The scorer's command, as a function: Snakemake takes braces in a text for wildcards."""
    return SEQUENCE["scorer"]["command"]


def scorer_command(command):
    """The command of a scorer as Snakemake's shell takes it: braces but the three are its own."""
    text = command.replace("{", "{{").replace("}", "}}")
    for name, value in SCORER_FIELDS.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return f"( {text} ) > {{log}} 2>&1"


def files_of(path, key):
    """The files of a table; errors name the config key."""
    try:
        return [str(file) for file in find_shards(path, key)]
    except InputError as error:
        raise WorkflowError(str(error))


def shards(wildcards):
    """Files of the data set; an input function, so that linting needs no data."""
    return BUILT_SHARDS or files_of(config["dataset"]["path"], "dataset.path")


def fingerprint(files):
    """Digest of the paths and the content of some files: touching one changes nothing."""
    return DIGESTS.fingerprint(files)


def data_fingerprint(wildcards):
    """Paths and content of the shards.

    None for a built table, whose content is not known before it is built; see `watched`.
    """
    return None if MADE else fingerprint(shards(wildcards))


def text_files(wildcards):
    """Files of the table of text; an input function, so that linting needs no data."""
    return files_of(TEXT["path"], "dataset.path")


def text_fingerprint(wildcards):
    """Paths and content of the table of text."""
    return fingerprint(text_files(wildcards))


def watched(file):
    """A file of the whole data set: its time counts where no fingerprint tells of its content."""
    return file if MADE else ancient(file)


def score_files(wildcards):
    """The files of the base scores. Steps find them by the parameter `scores`."""
    if SCORES == MADE_SCORES:
        return SCORES
    named = [
        file
        for source in BaseModels.build(SCORES).sources.values()
        for file in named_files(source)
    ]
    return [found for file in named for found in files_of(file, "sequence.scores")]


def watched_scores(files):
    """The base scores as an input: their time counts only where this workflow makes them."""
    return files if SCORES == MADE_SCORES else ancient(files)


def given_fingerprint(*names):
    """Params function: digest of the content of some of the files that the config names.

    Their times count nothing: a copy may be older than what was made from the file before.
    """

    def inner(wildcards):
        wanted = given_list(wildcards) if "wanted" in names else []
        return fingerprint(given_files(names) + wanted)

    return inner


def given_files(names):
    """Files of some keys of `sequence`, as far as the user gives them."""
    files = [SEQUENCE[name] for name in names if name in ("fasta", "genes", "groups")]
    files = [file for file in files if file is not None]
    files += SEQUENCE["scorer"]["files"] if "scorer" in names else []
    files += structure_files(None).values() if "structure" in names else []
    files += TRACK_FILES if "tracks" in names else []
    made = SCORES == MADE_SCORES
    scores = score_files(None) if "scores" in names and not made else []
    return files + ([scores] if isinstance(scores, str) else scores)


def structure_files(wildcards):
    """Files with what is known of gene structure, if the config names some."""
    keys = config["features"]["structure"]
    given = {name: keys[name] for name in ("lengths", "coding")}
    return {
        name: ancient(file)
        for name, file in given.items()
        if file not in (None, "none", "learned")
    }


def given_groups(wildcards):
    """Groups of genes that stay together, if the config names them."""
    if SEQUENCE["groups"] is None:
        return {}
    return {"groups": ancient(SEQUENCE["groups"])}


def wanted_genes(wildcards):
    """Which genes a set of calls is of: those of the test groups, of a list, or all."""
    if wildcards.calls == "test":
        return {
            "table": "<results>/table/genes.tsv",
            "test_groups": "<results>/dataset/test_groups.tsv",
        }
    if wildcards.calls not in config["call"]["sets"]:
        raise WorkflowError(
            f"{RESULTS}/calls/{wildcards.calls}: no such set in 'call.sets', and not 'test'"
        )
    return {"wanted": ancient(name) for name in given_list(wildcards)}


def given_list(wildcards):
    """The file that lists the genes of a set of calls, if there is one."""
    source = config["call"]["sets"].get(wildcards.calls, "all")
    return [] if source == "all" else [source]


def call_config(wildcards):
    """How a set is called. The test genes are evaluated, so all of their positions are re-scored.

    The sets are left out, as another set changes no calls of this one.
    """
    given = config["call"] | {"sets": {}}
    if wildcards.calls == "test":
        return given | {"mode": "meta", "band": [0.0, 1.0], "target_share": None}
    return given


def trained_alone(wildcards):
    """The candidates beside the ensemble that this run makes."""
    left_out = candidates_left_out(wildcards)
    return [name for name in settings.beside if name not in left_out]


def candidates_left_out(wildcards):
    """The candidates that this run leaves out, and why."""
    return left_out_with(single_left_out(wildcards), settings.beside)


def alone(wildcards):
    """The model of every candidate beside the ensemble."""
    return {name: f"<results>/{name}/model.gbm" for name in trained_alone(wildcards)}


def held_out_alone(wildcards):
    """Their held-out scores."""
    return {
        f"{name}_held_out": f"<results>/{name}/held_out.parquet"
        for name in trained_alone(wildcards)
    }


def fold_models(wildcards):
    """The models of the folds, of which the delivered model may keep its own."""
    if not settings.ensemble.uncertainty:
        return {}
    models = {"batch_folds": per_member(f"{BATCH_FILES}/folds.gbm")(wildcards)}
    if "single" in trained_alone(wildcards):
        models["single_folds"] = per_single_fold(f"{SINGLE_FOLDS}/folds.gbm")(wildcards)
    return models


def similar_groups(wildcards):
    """What rows are routed by, where batches are of similar groups."""
    if not SIMILARITY:
        return {}
    described = {"similarity": "<results>/dataset/similarity.json"}
    return described | group_features(wildcards)


def similar_by(wildcards):
    """Names of features. A function, since Snakemake takes braces in a text for wildcards."""
    return config["batching"]["similar_by"]


def class_names(wildcards):
    """Names of the classes, as a function for the same reason."""
    return config["dataset"]["classes"]


def predictions():
    return expand(
        "<results>/predictions/{table}.parquet", table=config["predict"]["tables"]
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


combiner_config = settings.ensemble.plain() | {
    "score_rows": None,
    "rivals": [],
    "with_single": None,
    "distil_mix": [],
    "uncertainty": False,
    "allow_missing": False,
}
# What the report prints of the settings; a change of any other key does not remake it.
report_config = {
    # The files of the user, not the shards that are made of text.
    "dataset": TEXT or config["dataset"],
    "test": config["test"],
    "batching": {"strategy": config["batching"]["strategy"]},
    "cv": config["cv"],
    "learner": settings.learner.plain(),
    "calibration": {"method": config["calibration"]["method"]},
    "ensemble": {"combiner": config["ensemble"]["combiner"]},
    "final": config["final"],
    "evaluation": config["evaluation"],
}


def built_genes(wildcards):
    """The genes of a built table, so that the model knows which it was trained on."""
    return {"table": "<results>/table/genes.tsv"} if BUILT else {}


def track_results(wildcards):
    """What the report says about complete tracks, where there are any."""
    names = (
        "comparison.tsv",
        "corrections.tsv",
        "hybrid.tsv",
        "tiers.tsv",
        "curves.tsv",
        "examples.json",
        "summary.json",
    )
    files = {
        f"tracks_{name.split('.')[0]}": f"<results>/tracks/{name}" for name in names
    }
    calls = {"calls": "calls.bed", "session": "calls_igv.xml"}
    files |= {key: f"<results>/calls/test/{name}" for key, name in calls.items()}
    return files if BUILT else {}


def neighbour_results(wildcards):
    """What the report says about the neighbours of sites, where that is asked for."""
    return {"neighbours": "<results>/neighbours/neighbours.tsv"} if NEIGHBOURS else {}


def evidence_use(wildcards):
    """How much of each track of evidence is used, where there are any."""
    return EVIDENCE


def families_of_batches(wildcards):
    """Importances by family; the report reads them where there are tracks of evidence."""
    return per_member(f"{BATCH_FILES}/families.tsv")(wildcards) if EVIDENCE else []


def neighbours_of_batches(wildcards):
    """Scores around sites of the batches; without a genome no rule of a batch makes them."""
    return per_member(f"{BATCH_FILES}/neighbours.parquet")(wildcards) if BUILT else []


def neighbour_scores(wildcards):
    """What tells of the rows around sites: complete tracks where there is a genome."""
    if BUILT:
        return {
            "positions": "<results>/calls/test/positions.parquet",
            "genes": ancient(SEQUENCE["genes"]),
            "gene_table": "<results>/table/genes.tsv",
            "test_groups": TEST_GROUPS,
        }
    return {
        "scores": "<results>/ensemble/cross_batch.parquet",
        "predictions": "<results>/evaluation/predictions.parquet",
    }
