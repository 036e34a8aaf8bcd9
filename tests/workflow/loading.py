"""The workflow as Snakemake reads it in this process: its rules, before any job is known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from snakemake.api import SnakemakeApi
from snakemake.io import is_flagged
from snakemake.iocontainers import Wildcards
from snakemake.rules import Rule
from snakemake.settings.types import (
    ConfigSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
    WorkflowSettings,
)
from snakemake.workflow import Workflow
from snakemake_interface_executor_plugins.settings import ExecMode

from tests.builders import REPOSITORY
from tests.workflow.running import SMALL

GENOME = {"fasta": "genome.fa", "genes": "genes.gtf", "transcripts": "longest"}
TRACKS = {s: {site: f"{site}.{s}.bw" for site in ("donor", "acceptor")} for s in ("plus", "minus")}
EVIDENCE = {
    "level": {"kind": "number", "strands": {"plus": "plus.bw", "minus": "minus.bw"}},
    "reads": {"kind": "junctions", "file": "SJ.out.tab", "role": "ignore"},
}
SIMILAR = SMALL["batching"] | {"strategy": "similarity"}
HUB = {"genome": "own", "email": "me@example.org"}
SCORER = {"command": "score {fasta} {scores}", "files": ["score.py", "weights.txt"]}
CALLED = {"sets": {"all": "all", "some": "some.txt"}}
# Configurations that together have every rule, and every file that a rule may read or write.
CONFIGS: dict[str, dict[str, Any]] = {
    "table": SMALL | {"explain": {"neighbour_sites": 50}},
    "text": SMALL | {"dataset": SMALL["dataset"] | {"path": "table.csv"}},
    "similar": SMALL
    | {"batching": SIMILAR, "ensemble": {"rivals": ["single", "distilled"]}, "final": "best"},
    "genome": {
        "sequence": GENOME | {"scores": TRACKS, "groups": "groups.tsv"},
        "call": CALLED | {"bigwig": True, "transcripts": True, "bgzip": "tbi"} | {"hub": HUB},
    },
    "light": {"sequence": GENOME | {"scorer": "light"}, "call": CALLED},
    "evidence": {"sequence": GENOME | {"scorer": "light", "tracks": EVIDENCE}, "call": CALLED},
    "spliceai": {"sequence": GENOME | {"scorer": "spliceai"}, "call": CALLED},
    "command": {
        "sequence": GENOME | {"scorer": SCORER | {"env": "scorer.yaml"}},
        "call": CALLED,
    },
}
# Values of wildcards, all that an input function may tell apart.
CALLS = ("test", *CALLED["sets"])


def load(folder: Path, config: dict[str, Any], mode: ExecMode = ExecMode.DEFAULT) -> Workflow:
    """Read the Snakefile with a config, in a folder without data, as a run or as a job elsewhere.

    Its functions work until another workflow is loaded, since Snakemake has one set of globals.
    Without a plan no candidate is left out.
    """
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[path]),
            workflow_settings=WorkflowSettings(exec_mode=mode),
            snakefile=REPOSITORY / "workflow" / "Snakefile",
            workdir=folder,
        )._workflow  # its public methods only print
    workflow.globals["single_left_out"] = lambda wildcards: None  # the plan would say so
    return workflow


def after_the_plan(workflow: Workflow) -> None:
    """Let its functions find a plan of one batch."""
    workflow.globals.update(
        checkpoints=SimpleNamespace(plan_batches=SimpleNamespace(get=lambda: None)),
        manifest=lambda: {"b000": {}},
        planned_needs=lambda: None,
        single_folds=lambda wildcards: [0],
    )


def wildcards_of(rule: Rule) -> list[Wildcards]:
    """Wildcards for which the input functions of a rule may give other names."""
    values = {"batch": ["b000"], "fold": ["0"], "table": ["new"], "calls": CALLS}
    (name,) = rule.wildcard_names or ("batch",)
    return [Wildcards(fromdict={name: value}) for value in values[name]]


def names_of(rule: Rule, wildcards: Wildcards) -> list[str | None]:
    """Names of what a rule reads, writes and is given; None stands for what has no name."""
    names = []
    for part in (rule.input, rule.output, rule.params):
        for name, item in part._allitems():
            unpacked = name is None and is_flagged(item, "unpack")
            names += item._file.callable(wildcards) if unpacked else [name]
    return names
