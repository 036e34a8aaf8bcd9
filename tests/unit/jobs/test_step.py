"""A step called with the names of its rule."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import (
    InputFiles,
    Namedlist,
    OutputFiles,
    Params,
    ResourceList,
    Wildcards,
)

from genebatch.config.settings import Evaluation
from genebatch.jobs.step import call_step

EVALUATION = {"n_replicates": 20, "seed": 3}


@pytest.fixture
def rule():
    """What Snakemake gives a script, with some inputs, outputs and params."""

    def make(**parts):
        kinds = {"input": InputFiles, "output": OutputFiles, "params": Params}
        kinds |= {"wildcards": Wildcards, "resources": ResourceList}
        given = {name: kind(fromdict=parts.get(name, {})) for name, kind in kinds.items()}
        return SimpleNamespace(threads=parts.get("threads", 1), **given)

    return make


def test_files_params_and_threads_arrive_by_name(rule):
    def step(*, model: str, table: str, seed: int, threads: int) -> None:
        calls.append((model, table, seed, threads))

    calls = []
    given = {"input": {"model": "m.gbm"}, "output": {"table": "t.tsv"}, "params": {"seed": 5}}
    call_step(step, rule(**given, threads=3))
    assert calls == [("m.gbm", "t.tsv", 5, 3)]


def test_what_the_step_has_no_parameter_for_is_not_passed(rule):
    def step(*, table: str) -> None:
        calls.append(table)

    calls = []
    output = {"table": "t.tsv", "usage": "usage.json"}
    call_step(step, rule(output=output, params={"key": "abc", "algorithm": "2"}))
    assert calls == ["t.tsv"]


def test_several_files_arrive_as_a_plain_list(rule):
    def step(*, shards: list[str]) -> None:
        calls.append(shards)

    calls = []
    call_step(step, rule(input={"shards": Namedlist(["a.parquet", "b.parquet"])}))
    assert calls == [["a.parquet", "b.parquet"]]
    assert type(calls[0]) is list


def test_a_section_is_built_from_its_dictionary(rule):
    def step(*, evaluation: Evaluation) -> None:
        calls.append(evaluation)

    calls = []
    call_step(step, rule(params={"evaluation": EVALUATION}))
    assert calls == [Evaluation.build(EVALUATION)]


def test_a_section_that_lacks_a_key_is_refused(rule):
    def step(*, evaluation: Evaluation) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="seed"):
        call_step(step, rule(params={"evaluation": {"n_replicates": 20}}))


def test_an_optional_file_may_be_absent_and_another_may_not(rule):
    def step(*, model: str, similarity: str | None = None) -> None:
        calls.append((model, similarity))

    calls = []
    call_step(step, rule(input={"model": "m.gbm"}))
    assert calls == [("m.gbm", None)]
    with pytest.raises(TypeError, match="model"):
        call_step(step, rule())


def test_wildcards_and_own_resources_arrive_where_nothing_else_has_their_name(rule):
    def step(*, batch: str, table: str, budget_mb: int) -> None:
        calls.append((batch, table, budget_mb))

    calls = []
    given = {"wildcards": {"batch": "b001", "table": "new"}, "resources": {"budget_mb": 900}}
    call_step(step, rule(**given, params={"table": "data/new"}))
    assert calls == [("b001", "data/new", 900)]


def test_calling_a_step_imports_nothing_that_reads_thread_counts():
    heavy = "{'numpy', 'polars', 'pyarrow', 'xgboost'}"
    line = f"import sys, genebatch.jobs.step, genebatch.jobs.run; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
