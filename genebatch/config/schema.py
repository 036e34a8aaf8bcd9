"""The configuration: defaults and checks from one JSON Schema."""

import copy
import difflib
import glob
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from genebatch.config import base_models, places
from genebatch.config.settings import FEW_FOLDS
from genebatch.config.tracks import faults, track_files
from genebatch.config.wanted import wanted
from genebatch.config.yaml_values import merged, read_values, text_of_files
from genebatch.io.files import InputError, unprintable
from genebatch.io.globs import may_read, root_of

# Keys whose values are paths, or paths by name.
PATHS = ("dataset.path", "batching.keep", "sequence.fasta", "sequence.genes", "sequence.groups")
PATHS += ("sequence.scores", "predict.tables", "call.sets")
# XGBoost parameters that are not the user's to pass on, and what to set in their place.
OWNED = {
    "objective": "one booster tells each of dataset.classes from the rest",
    "base_score": "set learner.start_from",
    "nthread": "set learner.threads",
    "n_jobs": "set learner.threads",
    "tree_method": "it is always hist; set learner.device or learner.max_bin",
    "disable_default_eval_metric": "set learner.early_stopping_rounds, which watches the log loss",
    **dict.fromkeys(
        ("booster", "updater", "process_type", "num_parallel_tree", "multi_strategy", "num_class"),
        "a round is one new tree of one output",
    ),
    "eta": "set learner.learning_rate",
    "reg_lambda": "set learner.lambda",
    "random_state": "set learner.seed",
    "max_cached_hist_node": "it is fixed, because the memory of a job is computed from it",
    "monotone_constraints": (
        "it goes by the places of columns, and each booster picks its own; besides, a class and "
        "the rest would need opposite signs"
    ),
    "interaction_constraints": (
        "it goes by the places of columns, and each booster picks its own; learner.max_depth: 1 "
        "lets no features interact"
    ),
    **dict.fromkeys(
        ("feature_weights", "feature_types", "feature_names"),
        "it is of a matrix, and a booster passes over it; for categories set dataset.categorical",
    ),
}

# Keys of earlier versions, and what they are called now.
RENAMED = {
    ("batching", "max_genes"): "max_groups",
    ("batching", "min_genes"): "min_groups",
}

RESULTS = "results"  # where no other folder is named
SHARDS = "table/part-*.parquet"
# Endings of tables that no file of the results has.
NO_RESULTS = (".csv", ".tab", ".csv.gz", ".tsv.gz", ".tab.gz", ".txt.gz")
# Roles of the columns of the table that the first stage builds.
BUILT_TABLE = {
    "group": "group",
    "label": "splice_type",
    "classes": ["neither", "donor", "acceptor"],
    "null_label": None,
    "rest_class": "neither",
    "scores": {name: f"{name}_score" for name in ("neither", "donor", "acceptor")},
    "weight": "sample_weight",
    "position": "row",
    "metadata": [
        *("gene_id", "transcript_id", "chrom", "strand", "gene_type"),
        *("position", "genomic_position", "row_source"),
    ],
}


def load_schema() -> dict[str, Any]:
    """Read the JSON Schema of the configuration."""
    return copy.deepcopy(_read_schema(places.schema()))


@cache
def _read_schema(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def resolve(
    config: dict[str, Any],
    files: Sequence[str | Path] = (),
    command_line: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fill in every default of `config`, then check it.

    With `sequence.fasta` the table is the built one, and so are the roles of its columns.

    Parameters
    ----------
    config
        The configuration as YAML reads it.
    files
        The files that it was read from, later ones over earlier ones. They say how a name is spelt
        that YAML reads as something else.
    command_line
        What `--config` of Snakemake gives, which is in `config` too. YAML has not read its text.

    Returns
    -------
    dict
        A new configuration in which every key of the schema is present.

    Raises
    ------
    InputError
        With one line for each unknown key (and the nearest known one), missing key or wrong value.
    """
    schema = load_schema()
    named = _with_present_names(config)
    text = _with_present_names(text_of_files(files))
    misread: list[str] = []
    read = read_values(
        named, schema, misread, text=text, given=_with_present_names(command_line or {})
    )
    filled = _with_defaults(_with_built_table(_with_plain_folder(read)), schema)
    problems = misread + [
        line for error in Draft202012Validator(schema).iter_errors(filled) for line in _say(error)
    ]
    if not problems:
        problems = list(_contradictions(filled))
    if problems:
        raise InputError("configuration:\n  " + "\n  ".join(sorted(set(problems))))
    return filled


def load(*paths: str | Path) -> dict[str, Any]:
    """Read YAML configuration files, later ones merged over earlier ones, and resolve."""
    together: dict[str, Any] = {}
    for path in paths:
        together = merged(together, read_file(path))
    return resolve(together, paths)


def read_file(path: str | Path) -> dict[str, Any]:
    """Read a YAML configuration file as it is.

    Raises
    ------
    InputError
        If it is no text, no YAML, with the line, or no mapping of keys.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            config = yaml.safe_load(stream) or {}
    except UnicodeDecodeError as error:
        raise InputError(
            f"configuration file {path}: not UTF-8 text; wanted YAML as plain text; unpack the "
            "file, or convert it, for example `iconv -f latin1 -t utf-8`"
        ) from error
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"configuration file {path}: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"configuration file {path}: a mapping of keys is wanted")
    return config


def render(example: bool = False) -> str:
    """The configuration as YAML, every key explained.

    Parameters
    ----------
    example
        Give the values of the built-in example; else the defaults, and an example of what has no
        default.
    """
    values = "those of the built-in example" if example else "the defaults"
    command = "genebatch config --example" if example else "genebatch config"
    head = f"# Every key of the workflow; the values are {values}.\n"
    head += f"# Generated from workflow/schemas/config.schema.yaml by `{command}`.\n"
    return head + "\n".join(_render(load_schema(), example, indent=0)) + "\n"


def _with_present_names(config: dict[str, Any]) -> dict[str, Any]:
    """Give keys of earlier versions their present names; a key under both names is refused."""
    renamed = dict(config)
    for (section, old), new in RENAMED.items():
        keys = renamed.get(section)
        if not isinstance(keys, dict) or old not in keys:
            continue
        if new in keys:
            raise InputError(
                f"configuration: '{section}.{old}' is an earlier name of {section}.{new}, "
                "and both are set; leave one of them out"
            )
        renamed[section] = {new if key == old else key: keys[key] for key in keys}
    return renamed


def _with_built_table(config: dict[str, Any]) -> dict[str, Any]:
    sequence, dataset = config.get("sequence"), config.get("dataset", {})
    built = isinstance(sequence, dict) and sequence.get("fasta") is not None
    if not built or not isinstance(dataset, dict):
        return config
    made = built_table(config.get("results", RESULTS))
    # Configurations of earlier versions name the folder, which has other tables too, or the shards
    # in a folder whose name was not escaped. Complete configurations have the path of a run whose
    # results lie elsewhere.
    plain = f"{config.get('results', RESULTS)}/{SHARDS}"
    usual = made_shards(RESULTS)
    old = (usual, plain, os.path.dirname(usual), os.path.dirname(plain))
    named = {name: dataset[name] for name in dataset if name != "path" or dataset[name] not in old}
    return config | {"dataset": made | named}


def made_shards(results: str) -> str:
    """The shards that the workflow makes, as a glob. A table of genes lies beside them."""
    return f"{glob.escape(str(results))}/{SHARDS}"


def built_table(results: str) -> dict[str, Any]:
    """Path and roles of the table that the first stage builds."""
    return {"path": made_shards(results)} | BUILT_TABLE


def _with_plain_folder(config: dict[str, Any]) -> dict[str, Any]:
    """Write the folder of the results in one way, as files are told apart by their paths."""
    folder = config.get("results")
    if not isinstance(folder, str) or not folder:
        return config
    return config | {"results": os.path.normpath(folder)}


def _with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    if not isinstance(value, dict) or "properties" not in schema:
        return copy.deepcopy(value)
    # In the order of the schema: jobs compare their settings as text.
    unknown = [key for key in value if key not in schema["properties"]]
    filled = {}
    for key, child in schema["properties"].items():
        if key in value:
            filled[key] = _with_defaults(value[key], child)
        elif "default" in child:
            filled[key] = copy.deepcopy(child["default"])
        elif "properties" in child and "required" not in child:
            filled[key] = _with_defaults({}, child)
    return filled | {key: copy.deepcopy(value[key]) for key in unknown}


def _say(error: ValidationError) -> Iterator[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and "properties" in error.schema:
        known = error.schema["properties"]
        for key in sorted(set(error.instance) - set(known), key=str):
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            yield f"unknown key '{_join(where, key)}': {hint}"
    elif error.validator == "required":
        for key in sorted(set(error.validator_value) - set(error.instance)):
            known = error.schema.get("properties", {}).get(key, {})
            meaning = known.get("description", f"{where} needs it")
            yield f"missing key '{_join(where, key)}': {meaning}"
    elif "propertyNames" in error.absolute_schema_path:
        yield f"'{where}' has the name {error.instance!r}: wanted {wanted(error.schema)}"
    else:
        plain = error.instance is None or isinstance(error.instance, bool)
        shown = _flow(error.instance) if plain else repr(error.instance)
        yield f"'{where or 'configuration'}' is {shown}: wanted {wanted(error.schema)}"


def _contradictions(config: dict[str, Any]) -> Iterator[str]:
    """What a JSON Schema cannot say: keys that must agree with each other."""
    yield from _braces(config)
    if Path.cwd().is_relative_to(Path(config["results"]).resolve()):
        yield (
            f"'results' is '{config['results']}', and this folder lies in it; name a folder of its "
            f"own, such as {RESULTS}"
        )
    yield from _results_among_data(config)
    yield from _sequence_contradictions(config)
    dataset, test = config["dataset"], config["test"]
    classes = dataset["classes"]
    if dataset["null_label"] is not None and dataset["null_label"] not in classes:
        yield f"'dataset.null_label' is {dataset['null_label']!r}, not one of dataset.classes"
    if dataset["rest_class"] is not None and dataset["rest_class"] not in classes:
        yield f"'dataset.rest_class' is {dataset['rest_class']!r}, not one of dataset.classes"
    for name in filter(unprintable, classes):
        yield f"'dataset.classes' has {name!r}, which is empty or has control characters"
    if "all" in classes:
        yield "'dataset.classes' has 'all', which means every class in results; rename that label"
    if "per_group" in classes:
        yield "'dataset.classes' has 'per_group', a name of a column of results; rename that label"
    yield from _taken_names(dataset)
    single = [dataset[key] for key in ("group", "label", "weight", "position") if dataset[key]]
    columns = [*single, *(dataset["scores"] or {}).values()]
    for column in sorted({column for column in columns if columns.count(column) > 1}):
        yield f"'dataset' names column '{column}' for several roles; a column has one"
    if dataset["scores"] is not None and set(dataset["scores"]) != set(classes):
        names = ", ".join(classes)
        yield f"'dataset.scores' needs one column for each of dataset.classes ({names})"
    if config["learner"]["start_from"] == "scores" and dataset["scores"] is None:
        yield (
            "'learner.start_from' is 'scores' but dataset.scores is null: "
            "name the base model's columns there, or set learner.start_from: none"
        )
    if (test["column"] is None) != (test["values"] is None):
        yield "'test.column' and 'test.values' are set together or not at all"
    if test["groups"] is not None and test["column"] is not None:
        yield "'test.groups' and 'test.column' exclude each other"
    if config["batching"]["min_groups"] > config["batching"]["max_groups"]:
        yield "'batching.min_groups' is larger than batching.max_groups"
    similarity = config["batching"]["strategy"] == "similarity"
    if config["batching"]["similar_by"] is not None and not similarity:
        yield "'batching.similar_by' is set but batching.strategy is not similarity"
    yield from _overridden(config["learner"])
    folds, splits = config["single"]["n_splits"], config["cv"]["n_splits"]
    if splits == "auto":
        if folds != "auto" and folds > FEW_FOLDS:
            yield f"'single.n_splits' is {folds}, so set 'cv.n_splits' to {folds} or more too"
    elif folds != "auto" and folds > splits:
        yield f"'single.n_splits' is {folds}, more than the {splits} folds of cv.n_splits"
    yield from _ensemble_contradictions(config)
    prevalence = config["calibration"]["prevalence"]
    if isinstance(prevalence, dict):
        if set(prevalence) != set(classes):
            yield "'calibration.prevalence' needs one share for each of dataset.classes"
        elif abs(sum(prevalence.values()) - 1) > 1e-6:
            yield f"'calibration.prevalence' sums to {sum(prevalence.values()):.6g}, wanted 1"
    elif prevalence is not None and dataset["weight"] is None:
        yield (
            "'calibration.prevalence' is 'weights' but dataset.weight is null: name the column of "
            "weights there, or give a share for each of dataset.classes"
        )


def relative_paths(config: Mapping[str, Any]) -> list[str]:
    """The relative paths of files that a resolved configuration names."""
    paths: list[str] = []
    pending = [config[section][name] for section, name in (key.split(".") for key in PATHS)]
    pending += track_files(config["sequence"]["tracks"])
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            pending += value.values()
        elif value is not None and not Path(value).is_absolute():
            paths.append(value)
    return paths


def _results_among_data(config: dict[str, Any]) -> Iterator[str]:
    """Tables whose folder or glob has the results in it, so that the next run would read them."""
    tables = {f"predict.tables.{name}": path for name, path in config["predict"]["tables"].items()}
    if config["sequence"]["fasta"] is None:
        tables["dataset.path"] = config["dataset"]["path"]
    for key, path in tables.items():
        if may_read(path, config["results"], NO_RESULTS):
            narrow = f"{glob.escape(str(root_of(path)))}/*.parquet"
            yield (
                f"'{key}' is {path!r}, and the folder of 'results' ({config['results']!r}) lies in "
                f"it, so that results would be read as data; set 'results' to a folder elsewhere, "
                f"or '{key}' to a glob that does not match it, such as {narrow}"
            )


def _taken_names(dataset: dict[str, Any]) -> Iterator[str]:
    """Columns that predictions copy, called like columns that predictions add."""
    added = {f"{kind}_{name}" for kind in ("probability", "std") for name in dataset["classes"]}
    for key in ("group", "position"):
        if dataset[key] in added | {"prediction"}:
            yield (
                f"'dataset.{key}' is {dataset[key]!r}, but predictions have a column of their own "
                f"of that name; rename it in the table and in dataset.{key}"
            )


def _braces(config: dict[str, Any]) -> Iterator[str]:
    """Paths of files that Snakemake would take for patterns."""
    for key in PATHS:
        section, name = key.split(".")
        yield from _braces_in(key, config[section][name])
    yield from _braces_in("sequence.tracks", config["sequence"]["tracks"])


def _braces_in(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _braces_in(_join(key, name), inner)
    elif value is not None and set("{}") & set("".join(value)):
        yield f"'{key}' is {value!r}: Snakemake takes braces for wildcards; rename it"


def _ensemble_contradictions(config: dict[str, Any]) -> Iterator[str]:
    ensemble, strategy = config["ensemble"], config["batching"]["strategy"]
    if ensemble["combiner"] == "routed" and strategy != "similarity":
        yield (
            f"'ensemble.combiner' is 'routed' but batching.strategy is '{strategy}': set "
            "batching.strategy: similarity, or choose another combiner"
        )
    together = ensemble["with_single"] or config["final"] == "both"
    if together and ensemble["combiner"] == "routed":
        yield (
            "'ensemble.combiner' is 'routed', which weighs members by how near their groups are, "
            "but the single model has all groups: take another combiner, or leave out "
            "ensemble.with_single and final: both"
        )
    if config["final"] == "both" and ensemble["with_single"] is False:
        yield "'final' is 'both' but ensemble.with_single is false: set it to true or null"
    if ensemble["top_k"] is not None and ensemble["combiner"] != "selected":
        yield "'ensemble.top_k' needs ensemble.combiner: selected"


def _sequence_contradictions(config: dict[str, Any]) -> Iterator[str]:
    sequence, dataset, call = config["sequence"], config["dataset"], config["call"]
    if sequence["fasta"] is None:
        for key in ("genes", "scores", "scorer", "groups", "tracks"):
            if sequence[key]:
                yield f"'sequence.{key}' is set but sequence.fasta is not: name the genome there"
        if call["sets"]:
            yield "'call.sets' needs sequence.fasta: calls are made from sequence and scores"
        return
    if sequence["genes"] is None:
        yield "'sequence.genes' is missing: name the gene models (GTF or GFF3)"
    if (sequence["scores"] is None) == (sequence["scorer"] is None):
        yield (
            "'sequence.scores' or 'sequence.scorer', exactly one of them, says where the base "
            "model's scores come from"
        )
    if isinstance(sequence["scorer"], dict):
        for key in ("env", "files"):
            yield from _braces_in(f"sequence.scorer.{key}", sequence["scorer"][key])
        for field in ("{fasta}", "{scores}"):
            if field not in sequence["scorer"]["command"]:
                yield (
                    f"'sequence.scorer.command' lacks {field}: a scorer reads the sequences of the "
                    "genes from {fasta} and writes the table {scores}"
                )
    for key, value in built_table(config["results"]).items():
        if dataset[key] != value:
            yield (
                f"'dataset.{key}' is {dataset[key]!r} but sequence.fasta builds the table, where "
                f"it is {value!r}: leave it out, or set sequence.fasta: null"
            )
    if call["band"][0] >= call["band"][1]:
        yield "'call.band' needs two rising numbers"
    yield from base_models.faults(sequence["scores"])
    yield from faults(sequence["tracks"])
    above = [stratum["above"] for stratum in config["sampling"]["rest"]]
    if len(set(above)) < len(above) or min(above) > 0:
        yield "'sampling.rest' needs different values of above, one of them 0"


def _overridden(learner: dict[str, Any]) -> Iterator[str]:
    """Parameters of `learner.params` that have a key of their own, by any of their names."""
    owned = {key: f"set learner.{key}" for key in learner if key != "params"} | OWNED
    for name in sorted(learner["params"].keys() & owned.keys()):
        yield f"'learner.params' may not set {name}: {owned[name]}"


def _render(schema: dict[str, Any], example: bool, indent: int) -> Iterator[str]:
    pad = " " * indent
    for key, child in schema["properties"].items():
        if indent == 0:
            yield ""
        nested = "properties" in child and "default" not in child
        note = child["description"]
        value = child.get("default")
        if "examples" in child and (example or "default" not in child):
            value = child["examples"][0]
        if not nested and "examples" in child and "default" in child:
            note += f" (default: {_flow(child['default'])})" if example else ""
            note += "" if example else f" (for example: {_flow(child['examples'][0])})"
        yield from textwrap.wrap(
            note, 98 - indent, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# "
        )
        if nested:
            yield f"{pad}{key}:"
            yield from _render(child, example, indent + 2)
        else:
            yield f"{pad}{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
