"""Lines of a run, from what Snakemake logs."""

import json
import logging
from types import SimpleNamespace

import pytest

from genebatch.progress.remaining import Remaining
from genebatch.progress.steps import Step
from genebatch.progress.teller import Teller, plain_error

MANIFEST = "batch\tgroups\trows\tseconds_train_batch\nb000\t4\t1004\t40\nb001\t5\t2004\t40\n"
BATCHES = [Step("train_batch", "b000"), Step("train_batch", "b001")]


@pytest.fixture
def run(tmp_path):
    """A run of two batches and a report: what Snakemake logs, as a function, and its clock."""
    results = tmp_path / "results"
    (results / "batches").mkdir(parents=True)
    (results / "batches/manifest.tsv").write_text(MANIFEST)
    (results / "batches/memory.json").write_text('{"seconds": {"write_report": 3}}\n')
    clock = [0.0]
    teller = Teller(False, lambda: clock[0])

    def tell(event=None, message="", level=logging.INFO, **values) -> list[str]:
        made = logging.LogRecord("snakemake", level, "", 0, message, (), None)
        vars(made).update(values | ({"event": event} if event else {}))
        return [line.head[8:] + line.text for line in teller.lines(made)]

    def begin(job: int, rule: str, log="", steps=None, **wildcards) -> list[str]:
        told = {
            "rule_name": rule,
            "wildcards": wildcards,
            "jobid": job,
            "log": [log] if log else [],
        }
        told |= {"steps": steps, "results": str(results)} if steps else {}
        return tell("job_info", **told)

    def end(job: int, text: str, log) -> list[str]:
        log.write_text(text)
        return tell("job_finished", job_id=job)

    return SimpleNamespace(tell=tell, begin=begin, end=end, clock=clock, folder=tmp_path)


def test_before_the_plan_the_steps_are_counted_without_a_share(run):
    stats = {"all": 1, "analyze_dataset": 1, "plan_batches": 1, "total": 3}
    (said,) = run.tell("run_info", stats=stats)
    assert said == "        2 steps, and those of the batches, which the plan will tell"
    assert (
        run.begin(1, "analyze_dataset", steps=[Step("analyze_dataset"), Step("plan_batches")]) == []
    )
    run.clock[0] = 4.0
    (said,) = run.tell("job_finished", job_id=1)
    assert said == "        analysis of the table: 4 s"


def test_a_batch_is_told_with_its_size_memory_time_and_the_share_done(run):
    log = run.folder / "log"
    run.tell("run_info", stats={"plan_batches": 1})
    assert run.begin(1, "train_batch", log, [*BATCHES, Step("write_report")], batch="b001") == [
        "   0 %  2 batches planned; 3 steps to do"
    ]
    (said,) = run.end(1, "01:00:00 INFO peak 1700 MB of 1900 MB declared, 41.0 s\n", log)
    assert said.startswith("  46 %  batch 2/2 training: 5 groups, 2,004 rows, ")
    assert said.endswith("1.9 GB declared, 1.7 GB peak, 41 s; less than a minute left")


def test_the_share_reaches_the_whole_and_never_falls(run):
    steps = [*BATCHES, Step("write_report")]
    shares = []
    for number, step in enumerate(steps):
        of = {"batch": step.of} if step.of else {}
        run.begin(number, step.rule, steps=steps[number:], **of)
        run.clock[0] += 10.0
        (said,) = run.tell("job_finished", job_id=number)
        shares.append(int(said.split("%")[0]))
    assert shares == sorted(shares)
    assert shares[-1] == 100


def test_a_long_step_is_told_when_it_begins(run):
    manifest = run.folder / "results/batches/manifest.tsv"
    manifest.write_text(MANIFEST.replace("\t40", "\t4000"))
    assert (
        "batch 1/2 training begins, about 7 min"
        in run.begin(1, "train_batch", steps=BATCHES, batch="b000")[-1]
    )


def test_a_step_takes_what_it_took_in_an_earlier_run(run):
    usage = run.folder / "results/usage/train_batch/b000.json"
    usage.parent.mkdir(parents=True)
    usage.write_text(json.dumps({"seconds": 3000.0}) + "\n")
    assert "begins, about 50 min" in run.begin(1, "train_batch", steps=BATCHES, batch="b000")[-1]


def test_a_failed_job_is_told_once_with_its_error_and_its_log(run):
    log = run.folder / "log"
    log.write_text("01:00:00 ERROR out of memory at 9 MB: raise resources.mem_factor\n")
    run.begin(1, "train_batch", log, BATCHES, batch="b001")
    failed = {"rule_name": "train_batch", "jobid": 1, "log": [log], "aux": {"slurm_jobid": 7}}
    assert run.tell("job_error", level=logging.ERROR, **failed) == [
        "   0 %  FAILED: batch 2/2 training (rule train_batch b001)\nslurm_jobid: 7\n"
        f"out of memory at 9 MB: raise resources.mem_factor\nlog: {log}"
    ]
    assert run.tell("job_error", level=logging.ERROR, **failed) == []


def test_what_snakemake_says_of_itself_is_left_out(run):
    assert run.tell(message="Building DAG of jobs...") == []
    assert run.tell("resources_info", "Provided cores: 2") == []
    assert run.tell(message="Nothing to be done (all requested files are present).") != []
    assert run.tell(message="it is left out", level=logging.WARNING)[0].endswith(
        "warning: it is left out"
    )
    assert run.tell("error", "Command 'x' returned non-zero exit status 1.", logging.ERROR) == []
    for text in (
        "Exiting because a job execution failed. Look",
        "At least one job did not complete",
    ):
        assert run.tell(None, text, logging.ERROR) == []
        assert run.tell("error", f"WorkflowError:\n{text}", logging.ERROR) == []


def test_a_lock_is_told_with_the_command_that_removes_it():
    text = "Directory cannot be locked. It can be removed with the --unlock argument."
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, text, (), None)
    record.event = "error"
    (line,) = Teller(False, lambda: 0.0, unlock="genebatch run -- --unlock").lines(record)
    assert line.text == f"{text}\n    genebatch run -- --unlock"


def test_an_error_of_an_input_function_is_its_message_alone():
    text = (
        'InputFunctionException in rule plan_batches in file "/a/dataset.smk", line 270:\n'
        "Error:\n  WorkflowError:\n    'results' is res, and so on\nWildcards:\n\nTraceback:\n"
        '  File "/a/plan.smk", line 69, in plan_again'
    )
    assert plain_error(text) == "'results' is res, and so on"
    assert plain_error("Traceback:") == "Traceback:"


def test_the_steps_that_are_left_are_put_on_a_record_when_they_change():
    jobs = [
        SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards_dict=wildcards)
        for rule, wildcards in (("train_batch", {"batch": "b000"}), ("all", {}))
    ]

    class Graph(list):
        def needrun_jobs(self):
            return iter(self)

    graph = Graph(jobs)
    remaining = Remaining(graph, "res")
    first, second, third = (logging.LogRecord("s", 20, "", 0, "", (), None) for _ in range(3))
    for each in (first, second, third):
        each.event = "job_info"
    assert remaining.filter(first)
    assert remaining.filter(second)
    graph.append(jobs[0])
    assert remaining.filter(third)
    assert first.steps == [Step("train_batch", "b000")]
    assert first.results == "res"
    assert not hasattr(second, "steps")
    assert len(third.steps) == 2
