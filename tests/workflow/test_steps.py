"""Rules, the steps that they call, and what they need, by their names."""

import ast
import importlib
import re
from collections import Counter
from collections.abc import Callable
from inspect import Parameter, signature

import pytest

from genebatch.jobs.needs import NEEDS
from tests.builders import REPOSITORY
from tests.workflow.loading import CONFIGS, load, names_of, wildcards_of

# Names that only tell Snakemake when a rule has to run again.
RERUN_ONLY = {"algorithm", "key", "keys", "fingerprint", "kept_plan", "scorer", "score_files"}
SCORERS = {"score_genes_light": "light", "score_genes_spliceai": "spliceai"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """By each name in `NEEDS`, the rules of all configurations that have it."""
    found = {name: [] for name in NEEDS}
    for name, config in CONFIGS.items():
        workflow = load(tmp_path_factory.mktemp(name), config)
        for rule in workflow.rules:
            if rule.script is not None:
                known = f"score_genes_{name}" if rule.name == "score_genes" else rule.name
                found[known].append(rule)
    return found


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
    assert len(called) == 1, f"workflow/scripts/{script}.py does not call one step by call_step"
    (name,) = called
    modules = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    module, function = modules[name]
    assert module.startswith("genebatch.steps."), f"{script}.py calls {module}.{function}"
    assert rule in SCORERS or function == rule, f"{script}.py calls {function}"
    return getattr(importlib.import_module(module), function)


def test_every_rule_has_its_needs_and_no_other(rules):
    assert [name for name, found in rules.items() if not found] == []


def test_every_rule_declares_the_needs_of_its_own_name():
    text = "\n".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    blocks = re.split(r"^ *(?:rule|checkpoint) (?=\w+:$)", text, flags=re.MULTILINE)[1:]
    declared = [
        (block.partition(":")[0], *re.findall(r'^ +\*\*needs\(f?"(\w+)', block, re.MULTILINE))
        for block in blocks
    ]
    # The needs of `score_genes` go by the name of the scorer as well.
    wanted = {(name, name) for name in NEEDS if name not in SCORERS}
    assert set(declared) == wanted | {("score_genes", "score_genes_")}


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_rule_and_its_step_agree_on_names(rules, name):
    parameters = signature(step_of(name)).parameters
    assert {p.kind for p in parameters.values()} == {Parameter.KEYWORD_ONLY}
    needed = {p.name for p in parameters.values() if p.default is Parameter.empty}
    for rule in rules[name]:
        elsewhere = {"threads", *rule.wildcard_names, *rule.resources}
        for wildcards in wildcards_of(rule):
            names = names_of(rule, wildcards)
            assert [known for known, count in Counter(names).items() if count > 1] == []
            assert None not in names
            given = set(names) - RERUN_ONLY - {"usage"}
            assert given - set(parameters) == set(), "the step has no such parameter"
            assert needed - given - elsewhere == set(), "the rule gives nothing of that name"


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_section_that_a_step_wants_is_whole_in_its_rule(rules, name):
    for parameter in signature(step_of(name)).parameters.values():
        build = getattr(parameter.annotation, "build", None)
        for rule in rules[name] if build else ():
            section = getattr(rule.params, parameter.name)
            for wildcards in wildcards_of(rule):
                build(section(wildcards) if callable(section) else section)
