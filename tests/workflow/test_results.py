"""What a run makes: the files of its rules, and what the manual says about them."""

import re
from xml.etree import ElementTree

import pytest
from snakemake.settings.types import Batch, DAGSettings, RerunTrigger

from tests.builders import REPOSITORY
from tests.workflow.loading import CALLS, CONFIGS, load
from tests.workflow.running import SMALL

# The plan writes the row files, which are no output of its rule; a run writes its record itself.
UNDECLARED = {"rows/{batch}.arrow", "rows/test.arrow", "config.json"}
JOINED = {"cross_validate_single", "train_single", "add_single"}  # of `final: best`, the default
SCORING = ("gene_sequences", "run_scorer", "score_genes")
GENOME_RULES = ("build_dataset", "evaluate_tracks", "call_genes")


def outputs(workflow, *rules):
    """Files of some rules, or of all, under results/ and with their wildcards."""
    found = {
        (rule.name, re.sub(r"\{(\w+),[^}]*\}", r"{\1}", str(path)).removeprefix("results/"))
        for rule in workflow.rules
        for path in rule.output
    }
    return {path for name, path in found if not rules or name in rules}


def documented():
    """Files that the manual's tables name; a name without a folder has that of the one before."""
    text = (REPOSITORY / "docs/reference/files.md").read_text()
    names = []
    for line in re.findall(r"^\| `.*", text, re.MULTILINE):
        folder = None
        for name in re.findall(r"`([^`]+)`", line.split("|")[1]):
            folder = name.rpartition("/")[0] if "/" in name else folder
            names.append(name if "/" in name or folder is None else f"{folder}/{name}")
    return names


def as_pattern(name):
    """A name of the manual as a regular expression: `folder/`, `*`, `{wildcard}`, `{either,or}`."""
    parts = re.split(r"(\*|\{[^}]+\})", name + "*" if name.endswith("/") else name)
    for number, part in enumerate(parts):
        if "," in part:
            parts[number] = f"({part[1:-1].replace(',', '|')})"
        else:
            parts[number] = "[^/]+" if part.startswith(("*", "{")) else re.escape(part)
    return "".join(parts)


@pytest.fixture(scope="module")
def of_all_rules(tmp_path_factory):
    """The names of all rules, and the files that they write."""
    names, files = set(), set()
    for config in CONFIGS.values():
        workflow = load(tmp_path_factory.mktemp("run"), config)
        names |= {rule.name for rule in workflow.rules}
        files |= outputs(workflow)
    return names - {"all"}, files


def test_the_picture_of_the_workflow_names_every_rule_and_no_other(of_all_rules):
    picture = ElementTree.parse(REPOSITORY / "docs/workflow.svg")
    lines = [each.text for each in picture.iter() if each.get("class") == "rules"]
    named = [name for line in lines for name in line.split(" · ")]
    assert sorted(named) == sorted(of_all_rules[0])


def test_the_manual_names_every_file_of_every_rule_and_no_other(of_all_rules):
    files = of_all_rules[1]
    assert not UNDECLARED & files
    files = files | UNDECLARED
    names = documented()
    assert len(names) == len(set(names))
    patterns = {name: re.compile(as_pattern(name)) for name in names}
    assert [f for f in sorted(files) if not any(p.fullmatch(f) for p in patterns.values())] == []
    assert [n for n, p in patterns.items() if not any(map(p.fullmatch, files))] == []


@pytest.mark.parametrize("name", CONFIGS)
def test_every_file_and_every_log_is_in_the_folder_of_the_results(tmp_path, name):
    workflow = load(tmp_path, CONFIGS[name] | {"results": "elsewhere"})
    for rule in workflow.rules:
        for path in (*rule.output, *rule.log):
            assert str(path).startswith("elsewhere/")
    for path in (REPOSITORY / "workflow").rglob("*.smk"):
        assert not re.search(r"""["'](results|logs)/""", path.read_text()), path


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_asks_for_every_file_but_those_that_others_ask_for(tmp_path, name):
    workflow = load(tmp_path, CONFIGS[name])
    wanted = {
        path
        for path in outputs(workflow) - outputs(workflow, *JOINED, "distil", "predict", *SCORING)
        if not path.startswith(("usage/", "table/part-"))
    }
    wanted |= {path.replace("{calls}", calls) for path in wanted for calls in CALLS}
    whole = [str(path) for path in workflow.globals["results_of_the_whole"]()]
    batch = [str(path) for path in workflow.globals["batch_results"]()]
    asked = [path.removeprefix("results/") for path in whole + batch]
    assert sorted(asked) == sorted(path for path in wanted if "{calls}" not in path)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_file_that_a_rule_left_is_looked_at_before_a_run(tmp_path, name, monkeypatch):
    """Also of batches and folds of another plan. What the user's scorer wrote is not kept."""
    monkeypatch.chdir(tmp_path)
    workflow = load(tmp_path, {"predict": SMALL["predict"]} | CONFIGS[name])
    values = {"batch": "b007", "fold": "3", "table": "new", "calls": "test"}
    left = {path.format(**values) for path in outputs(workflow) - outputs(workflow, "run_scorer")}
    for path in left:
        (tmp_path / "results" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / path).touch()
    found = [str(path) for path in workflow.globals["results_there"]()]
    assert sorted(found) == sorted(f"results/{path}" for path in left)


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, True),
        ({"until": {"evaluate"}}, False),
        ({"omit_from": {"evaluate"}}, False),
        ({"allowed_rules": {"evaluate"}}, False),
        ({"batch": Batch("all", 1, 2)}, False),
        ({"rerun_triggers": {RerunTrigger.MTIME}}, False),
    ],
    ids=lambda value: next(iter(value), "plain") if isinstance(value, dict) else "",
)
def test_a_run_of_some_results_is_no_whole_one(tmp_path, options, whole):
    """Else its settings would go on record as those of all results."""
    workflow = load(tmp_path, CONFIGS["table"])
    workflow.dag_settings = DAGSettings(**options)
    assert workflow.globals["whole_run"](None) == []
    assert workflow.globals["RUN"]["whole"] == whole


@pytest.mark.parametrize(
    ("name", "further"),
    [
        ("table", {"neighbours"}),
        ("similar", {"describe_groups", "distil", *JOINED}),
        ("genome", {*GENOME_RULES, "neighbours", *JOINED}),
        ("light", {*GENOME_RULES, "neighbours", "score_genes", *JOINED}),
        ("command", {*GENOME_RULES, "neighbours", "gene_sequences", "score_genes", *JOINED}),
    ],
)
def test_the_report_reads_the_usage_of_every_job_before_it(tmp_path, name, further):
    values = load(tmp_path, CONFIGS[name]).globals
    values["members"] = lambda wildcards: ["b000", "b001"]  # the plan would say so
    values["single_folds"] = lambda wildcards: range(2)
    records = [path.split("/")[2:] for path in values["usage_records"](None)]
    of_batches = {"cross_validate", "train", "calibrate", "explain", "diagnose"}
    for rule in of_batches:
        assert [batch for r, batch in records if r == f"{rule}_batch"] == ["b000.json", "b001.json"]
    along_genes = [batch for rule, batch in records if rule == "neighbours_batch"]
    assert along_genes == (["b000.json", "b001.json"] if "call_genes" in further else [])
    always = {"analyze_dataset", "screen_features", "plan_batches", "cross_batch_scores"}
    always |= {"combine_batches", "consolidate", "estimate", "evaluate", "explain_final"}
    always |= {"rank_groups"}
    others = {tuple(record) for record in records if not record[0].endswith("_batch")}
    assert {rule for rule, _ in others} == always | further
    folds = {f"{number}.json" for number in range(2)}
    assert {each for rule, each in others if rule == "cross_validate_single"} in (folds, set())
    assert {batch for _, batch in others} <= {"all.json", "test.json", *folds}
    assert (("call_genes", "test.json") in others) == ("call_genes" in further)
