"""How many features a pilot should pick, and which learning rate and bins go with them.

Cross-validates the rows of batches by settings of the learner and by seeds. A run that is kept in
benchmarks/selection.json is not repeated, so the work can be done in pieces. Each run writes
benchmarks/selection.md anew from what there is. A row file is `results/rows/b000.arrow` of a
workflow; benchmarks/real_genome.py makes those of MOUSE and MANE.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/selection.py \
        mouse=MOUSE/results/rows/b000.arrow mane=MANE/results/rows/b000.arrow
    ... benchmarks/selection.py document=SIMULATED/results/rows/b000.arrow --seeds 1
    ... benchmarks/selection.py mouse=MOUSE/results/rows/b000.arrow --seeds 4 5 \
        --learners default all
"""

import argparse
import json
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from boosted import defaults
from real_rows import average_precision

from genebatch.config.settings import Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.io.files import write_json
from genebatch.metrics.binary import log_loss_rows
from genebatch.training.batch import Batch, load_batch
from genebatch.training.cross_validation import cross_validate

KEPT = Path(__file__).with_suffix(".json")
N_SPLITS, SEEDS = 3, (1, 2, 3)
LIMIT = 2_000  # trees; more than any booster here needs, so that patience ends each
DEFAULT, ALL, BASE = "default", "all", "base"
# What the default is for few rows, but for 75 features as for many.
FEW_ROWS = {"learning_rate": 0.05, "max_bin": 256}
TOP = 75
# Name: changes to this learner, and what the page calls it.
LEARNERS: dict[str, tuple[dict[str, Any], str]] = {
    DEFAULT: ({}, "top 75, learning rate .05, 256 bins"),
    BASE: ({}, "none: the base scores"),
    ALL: ({"select": None}, "all features (`select: null`)"),
    "top40": ({"select": {"top": 40}}, "top 40"),
    "top150": ({"select": {"top": 150}}, "top 150"),
    "top200": ({"select": {"top": 200}}, "top 200"),
    "top300": ({"select": {"top": 300}}, "top 300"),
    "whole150": ({"select": {"top": 150, "share": 1}}, "top 150, pilots on all rows"),
    "whole300": (
        {"select": {"top": 300, "share": 1, "rounds": 80}},
        "top 300, pilots of 80 rounds on all rows",
    ),
    "rate.1": ({"learning_rate": 0.1}, "learning rate .1"),
    "bins64": ({"max_bin": 64}, "64 bins"),
    "fast": ({"learning_rate": 0.1, "max_bin": 64}, "learning rate .1, 64 bins"),
    "fastall": (
        {"learning_rate": 0.1, "max_bin": 64, "select": None},
        "learning rate .1, 64 bins, all features",
    ),
    "brief": (
        {"learning_rate": 0.1, "max_bin": 64, "select": {"max_rows": 40_000}},
        "learning rate .1, 64 bins, pilots on 40,000 rows",
    ),
}
JUDGED = ("donor", "acceptor")

HEAD = f"""# Picked features, learning rate and bins

Made by `python benchmarks/selection.py` (it names the row files). Each line changes settings of the
first. The default (`auto`) for a model of fewer than 100,000 rows is "all features", and "top 150"
for one of fewer than 200,000. From there on it is "learning rate .1, 64 bins", with 75 features.

- Groups are dealt at random into {N_SPLITS} folds. Features are picked in each fold and class by
  the pilot. Boosting stops with a patience of 30 rounds, and at most {LIMIT:,} trees.
- A seed is that of the folds, of the stopping groups, of the pilot's draw and of the boosters.
- CPU s: seconds of the whole cross-validation, {N_SPLITS} folds of three boosters each, with
  pilots, reading and prediction, one thread. The machine was not quiet.
- Trees: mean over folds and seeds.
- Log loss x 10^6 and average precision (AP): of the out-of-fold log-odds, not calibrated, by the
  rows' weights. Mean over seeds ± standard deviation over seeds.
- The base scores are the same for every seed. Boosters start from them.
- Differences: to another line with the same seed, mean ± standard error over seeds. A negative
  difference of log loss is a gain. Differences of AP are in 1/10,000.

On real genes (`mouse`, `mane`; five seeds) the default, all features, is far above the base scores
for both classes: AP rises by .032 and .019 on mouse, by .015 and .011 on mane. What picking 150
features would cost there, for .39 and .50 of the CPU time:

- on mane nothing: all differences are within two standard errors;
- on mouse (eight seeds) 1.4 % of the donor's log loss and .00025 of its AP, at 3 and 2 standard
  errors. The acceptor's differences are within one.

That is why models of so few rows take all features: the time saved is a minute or two. Against 75
features, 150 are better or within two standard errors in each of the eight figures, for 1.54 and
1.38 times the CPU time. 200 and 300 are the same for donors and acceptors, because their pilots of
40 rounds use fewer than 200. Longer pilots on all rows cost as much as all features on mane, and
their gain on mouse is within two standard errors.

`document` was measured with the package xgboost, which draws other columns than xgboost-cpu.
"""
COLUMNS = (
    "| learner | seeds | CPU s | trees: neither, donor, acceptor | donor log loss | donor AP "
    "| acceptor log loss | acceptor AP |\n" + "|---" * 8 + "|\n"
)
DIFFERENCES = (
    "\n| against {} | seeds | CPU, times | donor log loss | donor AP "
    "| acceptor log loss | acceptor AP |\n" + "|---" * 7 + "|\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="NAME=ROWS", help="name and row file")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    given = parser.parse_args()
    tables = dict(table.split("=", 1) for table in given.tables)
    for seed, table, name in product(given.seeds, tables, given.learners):
        if str(seed) not in kept().get(table, {}).get(name, {}):
            keep(table, name, seed, measured(Path(tables[table]), name, seed))
            KEPT.with_suffix(".md").write_text(page(kept()))
    KEPT.with_suffix(".md").write_text(page(kept()))


def kept() -> dict[str, Any]:
    """Runs by table, learner and seed. Another process may add to them."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def keep(table: str, name: str, seed: int, run: Mapping[str, Any]) -> None:
    runs = kept()
    runs.setdefault(table, {}).setdefault(name, {})[str(seed)] = run
    write_json(KEPT, runs)
    print(table, name, seed, run, flush=True)


def measured(rows: Path, name: str, seed: int) -> dict[str, Any]:
    """What the cross-validation of a learner costs, and how good its scores are."""
    learner = settings(LEARNERS[name][0], seed)
    data = in_folds(load_batch(RowFile.open(rows), learner), seed)
    facts = {"rows": data.rows.height, "groups": len(data.groups)}
    facts |= {"features": len(data.features.names)}
    if name == BASE:
        return {"cpu": 0.0, "trees": {}, **facts, **worth(data, data.starts)}
    cv = Folds.build(defaults("cv") | {"n_splits": N_SPLITS, "seed": seed})
    start = time.process_time()
    found = cross_validate(data, cv, learner)
    cpu = time.process_time() - start
    trees = found.folds.group_by("class", maintain_order=True).agg(pl.col("n_trees").mean())
    margins = {label: found.out_of_fold[f"margin_{label}"].to_numpy() for label in JUDGED}
    return {"cpu": cpu, "trees": dict(trees.iter_rows()), **facts, **worth(data, margins)}


def settings(changes: Mapping[str, Any], seed: int) -> Learner:
    """The first learner with changes; a change of `select` keeps its other keys."""
    given = defaults("learner") | FEW_ROWS | {"n_estimators": LIMIT, "seed": seed}
    given["select"] = given["select"] | {"top": TOP}
    for name, value in changes.items():
        given[name] = given[name] | value if isinstance(value, dict) else value
    return Learner.build(given)


def in_folds(data: Batch, seed: int, n_folds: int = N_SPLITS) -> Batch:
    """The batch with whole groups dealt at random into folds of as many groups."""
    groups, own = np.unique(data.rows["group"].to_numpy(), return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(groups)) % n_folds
    return data._replace(rows=data.rows.with_columns(fold=fold[own].astype(np.int32)))


def worth(data: Batch, margins: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Weighted log loss and average precision of log-odds by class, by measure and class."""
    losses, precisions = {}, {}
    for name in JUDGED:
        y = data.codes == data.classes.index(name)
        margin = margins[name].astype(np.float64)
        losses[name] = float(np.average(log_loss_rows(y, margin), weights=data.weight))
        precisions[name] = average_precision(y, margin, data.weight)
    return {"log_loss": losses, "ap": precisions}


def page(runs: Mapping[str, Any]) -> str:
    tables = {table: found for table, found in runs.items() if {DEFAULT} < found.keys()}
    parts = [section(table, found) for table, found in tables.items()]
    return "\n".join([HEAD, *parts])


def section(table: str, runs: Mapping[str, Any]) -> str:
    """The figures of a table, and their differences to the default."""
    first = next(iter(runs[DEFAULT].values()))
    text = f"## {table}\n\n{first['rows']:,} rows of {first['groups']:,} groups, "
    text += f"{first['features']:,} features.\n\n{COLUMNS}"
    present = [name for name in LEARNERS if runs[DEFAULT].keys() & runs.get(name, {}).keys()]
    for name in present:
        seeds = list(runs[name].values())
        trees = ", ".join(f"{mean([s['trees'][c] for s in seeds]):.0f}" for c in seeds[0]["trees"])
        cells = [LEARNERS[name][1], str(len(seeds)), f"{mean([s['cpu'] for s in seeds]):.0f}"]
        cells += [trees]
        if name == BASE:
            cells[2] = cells[3] = ""
        for one in JUDGED:
            cells.append(spread([1e6 * s["log_loss"][one] for s in seeds], 1))
            cells.append(spread([s["ap"][one] for s in seeds], 4))
        text += f"| {' | '.join(cells)} |\n"
    text += DIFFERENCES.format("the first")
    text += "".join(differences(name, DEFAULT, runs) for name in present[1:])
    picked = [name for name in present if LEARNERS[name][0].get("select") or name == DEFAULT]
    if ALL in present and len(picked) > 1:
        text += DIFFERENCES.format("all features")
        text += "".join(differences(name, ALL, runs) for name in picked)
    return text


def differences(name: str, reference: str, runs: Mapping[str, Any]) -> str:
    """A line of paired differences to another learner, over the seeds that both have."""
    seeds = [seed for seed in runs[name] if seed in runs[reference]]
    pairs = [(runs[name][seed], runs[reference][seed]) for seed in seeds]
    ratio = sum(own["cpu"] for own, _ in pairs) / sum(other["cpu"] for _, other in pairs)
    cells = [LEARNERS[name][1], str(len(pairs)), "" if name == BASE else f"{ratio:.2f}"]
    for one in JUDGED:
        for measure, scale in (("log_loss", 1e6), ("ap", 1e4)):
            found = [scale * (own[measure][one] - other[measure][one]) for own, other in pairs]
            cells.append(spread(found, 1, sign="+", error=True))
    return f"| {' | '.join(cells)} |\n"


def spread(values: list[float], digits: int, sign: str = "", error: bool = False) -> str:
    """Mean ± standard deviation, or standard error of the mean; the value alone if it is one."""
    text = f"{mean(values):{sign}.{digits}f}"
    if len(values) < 2:
        return text
    deviation = np.std(values, ddof=1) / (np.sqrt(len(values)) if error else 1)
    return f"{text} ± {deviation:.{digits}f}"


def mean(values: list[float]) -> float:
    return float(np.mean(values))


if __name__ == "__main__":
    main()
