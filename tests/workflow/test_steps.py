"""Rules, the steps that they call, and what they need, by their names."""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, signature
from pathlib import Path

import pytest
from snakemake.io import is_flagged
from snakemake.iocontainers import Wildcards
from snakemake.rules import Rule
from snakemake_interface_executor_plugins.settings import ExecMode

from genebatch.calls.folder import ALWAYS, Extras
from genebatch.calls.transcripts import Drawing
from genebatch.calls.ucsc import Hub
from genebatch.jobs.limits import MB
from genebatch.jobs.memory import TEXT_MB
from genebatch.jobs.needs import NEEDS, estimate_mb
from genebatch.jobs.sizes import TextSize
from tests.builders import REPOSITORY
from tests.workflow.loading import CONFIGS, after_the_plan, load, names_of, wildcards_of
from tests.workflow.running import SMALL

# Params that only tell Snakemake when a rule has to run again, and inputs that a step finds by a
# param or by another file, or that only keep the order of rules.
TRIGGERS = {"algorithm", "key", "batch_keys", "fingerprint", "kept_plan", "scorer"}
TRIGGERS |= {"row_digests", "shards", "plan", "score_files", "track_files"}
PREDICTED = {"predict": SMALL["predict"]}
SCORERS = {f"score_genes_{kind}": kind for kind in ("light", "spliceai", "command")}


def jobs_of(workflow):
    """The rules of a workflow that run a script, by their names in `NEEDS`."""
    scorer = workflow.globals["SCORER_KIND"]
    names = {rule: rule.name for rule in workflow.rules if rule.script is not None}
    return {f"score_genes_{scorer}" if n == "score_genes" else n: rule for rule, n in names.items()}


def step_of(rule: str) -> Callable[..., None]:
    """The function that the script of a rule calls, as `call_step(function, snakemake)`."""
    script = f"score_{SCORERS[rule]}" if rule in SCORERS else rule
    tree = ast.parse((REPOSITORY / f"workflow/scripts/{script}.py").read_text())
    nodes = list(ast.walk(tree))
    called = {
        node.args[0].id
        for node in nodes
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "call_step"
    }
    assert len(called) == 1, f"has a script {script}.py that does not call one step by call_step"
    (name,) = called
    modules = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    module, function = modules[name]
    assert module.startswith("genebatch.steps."), f"has a script that calls {module}.{function}"
    assert rule in SCORERS or function == rule, f"has a script that calls {function}"
    return getattr(importlib.import_module(module), function)


def test_every_rule_has_its_needs_and_no_other(tmp_path):
    names = [name for config in CONFIGS.values() for name in jobs_of(load(tmp_path, config))]
    assert set(names) == set(NEEDS)


def test_every_rule_declares_the_needs_of_its_own_name():
    text = "\n".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    blocks = re.split(r"^ *(?:rule|checkpoint) (?=\w+:$)", text, flags=re.MULTILINE)[1:]
    declared = [
        (block.partition(":")[0], *re.findall(r'^ +\*\*needs\(f?"(\w+)', block, re.MULTILINE))
        for block in blocks
    ]
    # The needs of `score_genes` go by the name of the scorer as well.
    wanted = {(name, name) for name in NEEDS if name not in SCORERS}
    scored = {("score_genes", "score_genes_"), ("score_genes", "score_genes_command")}
    # The program of a user's declares what the config says.
    assert set(declared) == wanted | scored | {("run_scorer",)}


@pytest.mark.parametrize(("mode", "submitted"), [(ExecMode.DEFAULT, 0), (ExecMode.REMOTE, 1)])
def test_jobs_know_whether_they_were_submitted(tmp_path, mode, submitted):
    rules = jobs_of(load(tmp_path, CONFIGS["table"], mode)).values()
    assert {rule.resources["submitted"].value for rule in rules} == {submitted}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_rule_says_what_it_needs_so_that_less_is_refused(tmp_path, name):
    """Snakemake silently cuts `mem_mb` to the memory of the run, and `needs_mb` not."""
    for rule in load(tmp_path, CONFIGS[name]).rules:
        assert rule.resources.keys() >= {"mem_mb", "needs_mb"} or rule.name == "all", rule


def given_files(config: dict) -> Iterator[str]:
    """The files that a configuration names, as far as its text shows them."""
    for value in config.values():
        if isinstance(value, dict):
            yield from given_files(value)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and re.fullmatch(r"[\w.]+\.(\w{2,3}|yaml)", text):
                yield text


@pytest.mark.parametrize("name", CONFIGS)
def test_files_of_the_user_count_by_their_content_and_not_by_their_time(
    tmp_path, name, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for file in (*given_files(CONFIGS[name]), "data/example/1.parquet", "data/new/1.parquet"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("1")
    workflow = load(tmp_path, PREDICTED | CONFIGS[name])
    after_the_plan(workflow)
    for rule in workflow.rules:
        for wildcards in wildcards_of(rule) if rule.name != "all" else ():
            inputs, *_ = rule.expand_input(wildcards)
            for file in (file for file in inputs if not file.startswith("results/")):
                assert is_flagged(file, "ancient"), (rule.name, file)
                before = digests_of(rule, wildcards)
                Path(file).write_text("2")
                # Else the analysis of the data set, which the rule reads, tells of the content.
                seen = digests_of(rule, wildcards) != before
                assert seen or "results/dataset/profile.json" in inputs, (rule.name, file)
                Path(file).write_text("1")


def digests_of(rule: Rule, wildcards: Wildcards) -> list[str]:
    """Digests among the params of a rule, which Snakemake compares."""
    params = {name: rule.params.get(name) for name in ("fingerprint", "kept_plan")}
    return [param(wildcards) for param in params.values() if param is not None]


def declared(workflow, rule: str, **wildcards: str) -> int:
    """MB that a job of a rule declares."""
    (found,) = (each for each in workflow.rules if each.name == rule)
    of = Wildcards(fromdict=wildcards)
    return found.resources["mem_mb"].evaluate(of, threads=1, attempt=1).value


def test_a_table_of_text_to_predict_needs_what_reading_text_takes(tmp_path):
    tables = {"stored": "new.parquet", "text": "new.csv.gz"}
    workflow = load(tmp_path, CONFIGS["table"] | {"predict": {"tables": tables}})
    workflow.globals["scored_needs"] = lambda rule, wildcards: {"predict": 500, "thread": 0}
    assert declared(workflow, "predict", table="stored") == 500
    assert declared(workflow, "predict", table="text") == 500 + TEXT_MB


def test_the_columns_of_a_table_of_text_tell_what_its_job_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workflow = load(tmp_path, CONFIGS["text"])
    Path("table.csv").write_text(",".join(f"x{number}" for number in range(3_000)) + "\n")
    size = TextSize(3_000, Path("table.csv").stat().st_size / MB)
    assert declared(workflow, "table_of_text") == estimate_mb("table_of_text", size)


@pytest.mark.parametrize("name", ["genome", "light"])
def test_a_set_of_calls_has_the_files_that_a_call_writes(tmp_path, name):
    """With every further file, and with none."""
    workflow = load(tmp_path, CONFIGS[name])
    (rule,) = (rule for rule in workflow.rules if rule.name == "call_genes")
    keys = workflow.globals["config"]["call"]
    extras = Extras(
        keys["bigwig"],
        Drawing() if keys["transcripts"] else None,
        bgzip=keys["bgzip"],
        hub=keys["hub"] and Hub(**keys["hub"]),
    )
    declared = {Path(str(file)).name for file in rule.output.files}
    assert declared == set(extras.names)
    assert (declared == set(ALWAYS)) == (name == "light")


def faults_of_names(names: list[str | None], parameters: Mapping, job: Rule) -> Iterator[str]:
    """Names that a rule and its step do not have in common."""
    yield from (f"has {name!r} twice" for name, n in Counter(names).items() if n > 1 and name)
    if None in names:
        yield "has a file or a param without a name"
    given = set(names) - {None}
    extra = given - TRIGGERS - {"usage", *parameters}
    yield from (f"gives {name!r}, which its step does not take" for name in extra)
    needed = {p.name for p in parameters.values() if p.default is Parameter.empty}
    elsewhere = {"threads", *job.wildcard_names, *job.resources}
    yield from (f"does not give {name!r} to its step" for name in needed - given - elsewhere)


def faults_of_sections(parameters: Mapping, job: Rule, wildcards: Wildcards) -> Iterator[str]:
    """Sections of the configuration that a rule gives with other keys than its step takes."""
    for name, parameter in parameters.items():
        build, section = getattr(parameter.annotation, "build", None), job.params.get(name)
        if build and section is not None:
            try:
                build(section(wildcards) if callable(section) else section)
            except (TypeError, KeyError) as error:
                yield f"gives a section {name!r} that its step does not take: {error}"


def faults_of(rule: str, job: Rule) -> Iterator[str]:
    """What a rule and its step do not agree on."""
    try:
        parameters = signature(step_of(rule)).parameters
    except (AssertionError, ImportError) as error:
        yield str(error).splitlines()[0]
        return
    if {p.kind for p in parameters.values()} != {Parameter.KEYWORD_ONLY}:
        yield "has a step with parameters that are no keywords"
    for wildcards in wildcards_of(job):
        yield from faults_of_names(names_of(job, wildcards), parameters, job)
        yield from faults_of_sections(parameters, job, wildcards)


@pytest.mark.parametrize("config", CONFIGS)
def test_rules_and_steps_agree_on_names(tmp_path, config):
    jobs = jobs_of(load(tmp_path, CONFIGS[config]))
    faults = {
        f"rule {rule} {fault}" for rule, job in jobs.items() for fault in faults_of(rule, job)
    }
    assert not faults, "\n".join(sorted(faults))


def test_the_page_names_the_table_of_text_and_not_the_shards_made_of_it(tmp_path):
    workflow = load(tmp_path, CONFIGS["text"])
    rule = next(rule for rule in workflow.rules if rule.name == "write_report")
    assert rule.params.settings["dataset"]["path"] == CONFIGS["text"]["dataset"]["path"]
