"""Names of steps, and what is read from the logs of jobs."""

import pytest

from genebatch.jobs.needs import NEEDS
from genebatch.progress.steps import WORDS, Step, Used, read_error, read_used
from tests.workflow.test_steps import SCORERS

BATCHES = {"b000": {}, "b001": {}, "b003": {}}


def test_every_rule_has_words():
    rules = {"score_genes" if name in SCORERS else name for name in NEEDS}
    assert rules | {"run_scorer"} == WORDS.keys()


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (Step("train_batch", "b003"), "batch 3/3 training"),
        (Step("cross_validate_single", "0"), "single model, fold 1"),
        (Step("call_genes", "test"), "calls of test"),
        (Step("write_report"), "report"),
        (Step("module_train_batch", "x"), "batch x module_train_batch"),
        (Step.build("predict", {"table": "new"}), "predictions of new"),
    ],
)
def test_steps_have_names(step, name):
    assert step.name(BATCHES) == name


def test_a_batch_has_no_number_before_the_plan():
    assert Step("train_batch", "b003").name({}) == "batch b003 training"


def test_the_end_of_a_log_gives_the_last_fact_with_memory_and_time(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "01:57:33 INFO batch b000: the training data: 162 groups, 21,260 rows\n"
        "01:57:35 INFO class donor: identity, 3 steps\n"
        "01:57:38 INFO peak 384 MB of 717 MB declared, 6.2 s\n"
    )
    assert read_used(log) == Used("the training data: 162 groups, 21,260 rows", 384, 717, 6.2)


@pytest.mark.parametrize("text", ["", "01:57:33 INFO 3 rows\n", "\udcff"])
def test_a_log_without_its_end_tells_nothing(tmp_path, text):
    (tmp_path / "log").write_bytes(text.encode(errors="surrogateescape"))
    assert read_used(tmp_path / "log") is None
    assert read_used(tmp_path / "absent") is None


def test_the_error_of_a_log_comes_without_its_traceback(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "01:57:33 INFO 3 rows\n01:57:34 ERROR 'a'\nTraceback (most recent call last):\n"
        "  File x\nKeyError: 'a'\n"
    )
    assert read_error(log) == ["KeyError: 'a'"]
    log.write_text("01:57:34 ERROR column 'a' is missing\n  of table.csv\n")
    assert read_error(log) == ["column 'a' is missing", "  of table.csv"]


def test_a_log_without_an_error_gives_its_last_lines(tmp_path):
    log = tmp_path / "log"
    log.write_text("".join(f"{n}\n" for n in range(9)))
    assert read_error(log) == ["4", "5", "6", "7", "8"]
    assert read_error(tmp_path / "absent") == []
