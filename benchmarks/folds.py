"""Folds of a batch and of the single model: what fewer of them cost, and what they change.

Cross-validates a batch in five folds and in three, trains its model and calibrates it as the
workflow does, and judges the model on the rows of another batch, which it has never seen. With
`--genes`, runs the workflow on real genes with five held-out folds of the single model and with
one. A run that is kept in benchmarks/folds.json is not repeated. Each run writes
benchmarks/folds.md anew. FOLDER is that of benchmarks/real_genome.py.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/folds.py \
        document=RESULTS/rows/b000.arrow,RESULTS/rows/b001.arrow --seeds 1 2 3
    .venv/bin/python benchmarks/folds.py --genes FOLDER --seeds 1 2 3 4 5
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import polars as pl
from boosted import defaults
from real_genome import SEQUENCE, TEST, run_workflow
from real_rows import BASES, average_precision
from selection import JUDGED, in_folds, spread

from genebatch.config.schema import resolve
from genebatch.config.settings import ENOUGH_GROUPS, Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.io.files import write_json
from genebatch.jobs.run import read_usage
from genebatch.model.combiners import log_losses
from genebatch.training.batch import load_batch
from genebatch.training.cross_validation import cross_validate, final_trees
from genebatch.training.matrices import predicted
from genebatch.training.recipe import as_model, calibrate, train_member

KEPT = Path(__file__).with_suffix(".json")
NUMBERS = (5, 3)
GENES, HELD_OUT = "genes", (5, 1)  # held-out folds of the single model
MEASURES = {"average_precision": (1e4, "AP x 10^4"), "log_loss": (1e6, "log loss x 10^6")}
FAST = {"learning_rate": 0.1, "max_bin": 64}  # what the default is for many rows
HEAD = """# Folds of a batch, and of the single model

Made by `python benchmarks/folds.py` (it names the row files and the folder of real genes).

## Three or five folds of a batch

A batch is cross-validated in five folds and in three, with the default learner. Its model is
trained with the median of the folds' trees and calibrated on their out-of-fold scores, as in a run.
It is judged on the rows of another batch, which it has never seen.

- A seed is that of the folds, of the stopping groups, of the pilot's draw and of the boosters.
- CPU s: seconds of the cross-validation, one thread. The machine was not quiet.
- Log loss x 10^6: multiclass, of the calibrated probabilities, by the rows' weights. AP: average
  precision. Mean over seeds ± standard deviation over seeds.
- Differences: three folds against five with the same seed, mean ± standard error over seeds. A
  negative difference of log loss is a gain. Differences of AP are in 1/10,000.
"""


TREES = """
### Trees of the final boosters

Models of 200,000 rows or more get more trees than their folds (`cross_validation.final_trees`).
With the median of the folds' trees as it is, the batch above had these log losses x 10^6 (seeds 1
and 2, measured before the rule was there):

| folds | as the folds | grown as the rows |
|---|---|---|
| 5 | 787.0, 789.3 | 777.1, 784.1 |
| 3 | 790.8, 791.1 | 776.4, 782.8 |

On small real tables more trees are as often worse as better. The mouse and mane genes were halved
into two batches, and the model of one half was judged on the other. Boosters had 1 and 1.43 times
the median of five folds; log loss x 10^6 of donor and acceptor, not calibrated:

| table | seed, trained on | median trees (donor, acceptor) | 1 | 1.43 |
|---|---|---|---|---|
| mouse | 1, first | 152, 71 | 108.3, 97.7 | 114.1, 98.1 |
| mouse | 1, second | 66, 35 | 106.6, 100.4 | 106.2, 99.9 |
| mouse | 2, first | 37, 120 | 106.0, 97.9 | 106.2, 98.7 |
| mane | 1, first | 46, 22 | 88.3, 92.4 | 88.2, 92.3 |
| mane | 1, second | 58, 75 | 83.6, 69.4 | 87.1, 70.3 |
| mane | 2, first | 21, 23 | 91.0, 93.6 | 89.8, 93.7 |
| mane | 2, second | 30, 20 | 79.9, 68.8 | 80.6, 68.6 |
"""
SINGLE = f"""
## Held-out folds of the single model

Runs of the workflow on the tables of `python benchmarks/real_genome.py`: human genes, a quarter of
their clusters set aside, four batches, all defaults but `single.n_splits`. It is 5, and then 1 in
the same folder. Boosters of so few rows picked 150 features then; now they take all. A seed is that
of the test clusters, of batches and folds, and of the boosters.
These tables have too few clusters for the default: `single.n_splits: auto` holds one fold out from
{ENOUGH_GROUPS} groups a fold on, and here a fold has 54. So this is a harder case than one in
which `auto` takes one fold.

Where `auto` does take one fold there is one comparison, on the run at an eighth of the document
([scale.md](scale.md); 1,102 training groups, 367 in the fold). One fold and three deliver the same
candidate, `both`, with a test log loss of 869.8 and 868.6 x 10^-6, for 144 and 246 CPU seconds.

- Log loss x 10^6: on the held-out clusters of the single model, by the rows' weights. One fold is
  judged on other rows than five. In brackets: the log loss less that of the lowest, and its 95 %
  interval, of the candidate that was delivered.
- CPU s: of the held-out folds and of the single model.
- The intervals of one fold of 54 clusters are wider, so a cheaper candidate is more often within
  chance of the best. Where the two ways deliver different candidates, that is why.
"""
WORTH = """
### What was delivered, on test clusters

By the runs with five held-out folds. Weighted figures of the clusters that were set aside, against
the base scores, with 95 % intervals of the difference (500 draws of clusters).

| base model | seed | delivered """


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="NAME=ROWS,JUDGED")
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--genes", type=Path, metavar="FOLDER", help="tables of real genes")
    given = parser.parse_args()
    for seed, base in product(given.seeds, BASES if given.genes else ()):
        if str(seed) not in kept().get(GENES, {}).get(base, {}):
            run = both_ways(given.genes / base, seed)
            found = kept()
            found.setdefault(GENES, {}).setdefault(base, {})[str(seed)] = run
            write_json(KEPT, found)
            KEPT.with_suffix(".md").write_text(page(kept()))
    for table, seed, number in product(given.tables, given.seeds, NUMBERS):
        name, files = table.split("=", 1)
        if str(seed) not in kept().get(name, {}).get(str(number), {}):
            run = measured(*map(Path, files.split(",")), number, seed)
            found = kept()
            found.setdefault(name, {}).setdefault(str(number), {})[str(seed)] = run
            write_json(KEPT, found)
            print(name, number, seed, run, flush=True)
    KEPT.with_suffix(".md").write_text(page(kept()))


def kept() -> dict[str, Any]:
    """Runs by table, number of folds and seed. Another process may add to them."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def measured(rows: Path, judged: Path, n_folds: int, seed: int) -> dict[str, Any]:
    """What the cross-validation costs, and how good the finished model is on the other rows."""
    learner = Learner.build(defaults("learner") | FAST | {"seed": seed})
    cv = Folds.build(defaults("cv") | {"n_splits": n_folds, "seed": seed})
    data = in_folds(load_batch(RowFile.open(rows), learner), seed, n_folds)
    start = time.process_time()
    found = cross_validate(data, cv, learner)
    cpu = time.process_time() - start
    trees = final_trees(found.folds, data.rows.height, learner.n_estimators)
    member = train_member(data, "batch", trees, learner)
    model = as_model(data, learner, [member])
    model = calibrate(model, found.out_of_fold, "auto", learner.use_weights, {}).model
    facts = {"rows": data.rows.height, "groups": len(data.groups)}
    return {"cpu": cpu, "trees": trees, **facts, **worth(model.members[0], rows, judged, learner)}


def worth(member: Any, rows: Path, judged: Path, learner: Learner) -> dict[str, Any]:
    """Loss and average precision of a member on rows of another batch."""
    other = load_batch(RowFile.open(judged), learner)
    everyone = np.ones(other.rows.height, bool)
    margins = predicted(other, list(member.boosters), everyone, learner.threads)
    probability = np.column_stack(
        [
            calibrator.apply(margins[:, column].astype(np.float64))
            for column, calibrator in enumerate(member.calibrators)
        ]
    )
    probability /= probability.sum(axis=1, keepdims=True)
    loss = float(np.average(log_losses(probability, other.codes), weights=other.weight))
    precision = {
        name: average_precision(other.codes == column, probability[:, column], other.weight)
        for column, name in enumerate(other.classes)
    }
    return {"log_loss": loss, "ap": precision, "judged": other.rows.height}


def both_ways(built: Path, seed: int) -> dict[str, Any]:
    """Candidates and worth of the delivered model, with five held-out folds and with one."""
    folder = built / f"seed{seed}"
    folder.mkdir(exist_ok=True)
    dataset = resolve({"sequence": SEQUENCE})["dataset"]
    seeds = {section: {"seed": seed} for section in ("batching", "cv", "learner")}
    shards = (built / "results/table").resolve() / "*.parquet"
    config = {"dataset": dataset | {"path": str(shards)}, **seeds}
    config |= {"test": {"fraction": TEST, "seed": seed}}
    config["batching"] |= {"max_groups": 70}
    config["cv"] |= {"n_splits": max(HELD_OUT)}
    found = {}
    for number in HELD_OUT:
        config["single"] = {"n_splits": number}
        run_workflow(folder, config, "results/evaluation/systems.tsv")
        found[str(number)] = outcome(folder / "results", number)
    return found


def outcome(results: Path, n_held_out: int) -> dict[str, Any]:
    """Candidates of a run, test figures of the delivered model, and CPU of the single model."""
    usage = [results / f"usage/cross_validate_single/{fold}.json" for fold in range(n_held_out)]
    usage.append(results / "usage/train_single/all.json")
    test = pl.read_csv(results / "evaluation/comparison.tsv", separator="\t")
    test = test.filter("weighted", pl.col("metric").is_in(["average_precision", "log_loss"]))
    candidates = pl.read_csv(results / "model/candidates.tsv", separator="\t")
    return {
        "cpu": sum(record["cpu_seconds"] for record in read_usage(list(map(str, usage)))),
        "candidates": candidates.drop("reason").to_dicts(),
        "test": test.drop(["weighted", "groups"]).to_dicts(),
    }


def page(found: dict[str, Any]) -> str:
    text = HEAD + batch_tables({name: run for name, run in found.items() if name != GENES}) + TREES
    return text + (single_tables(found[GENES]) if GENES in found else "")


def single_tables(found: dict[str, Any]) -> str:
    text, worth = SINGLE, WORTH
    for label in JUDGED:
        worth += f"| {label} AP | over base | {label} log loss x 10^6 | over base "
    worth += f"|\n{'|---' * 11}|\n"
    head = "\n| seed | held-out folds | clusters | ensemble | single | both | delivered | CPU s |\n"
    for base, runs in found.items():
        text += f"\n### {base}\n{head}{'|---' * 8}|\n"
        for seed, number in product(runs, map(str, HELD_OUT)):
            text += f"| {seed} | {number} | {candidate_cells(runs[seed][number])} |\n"
        for seed, run in runs.items():
            worth += f"| {base} | {seed} | {test_cells(run[str(HELD_OUT[0])])} |\n"
    return text + agreement(found) + worth


def chosen(run: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in run["candidates"] if row["chosen"])


def candidate_cells(run: dict[str, Any]) -> str:
    losses = {row["candidate"]: f"{1e6 * row['log_loss']:.1f}" for row in run["candidates"]}
    taken = chosen(run)
    text = taken["candidate"]
    if taken["difference"]:
        names = ("difference", "difference_low", "difference_high")
        text += " ({:+.1f} [{:+.1f}, {:+.1f}])".format(*(1e6 * taken[name] for name in names))
    cells = [f"{taken['groups']}", *(losses.get(name, "") for name in ("ensemble", "single"))]
    return " | ".join([*cells, losses.get("both", ""), text, f"{run['cpu']:.0f}"])


def agreement(found: dict[str, Any]) -> str:
    """How often one held-out fold delivers what five deliver, and what that costs."""
    pairs = [
        [run[str(number)] for number in HELD_OUT]
        for runs in found.values()
        for run in runs.values()
    ]
    same = sum(chosen(five)["candidate"] == chosen(one)["candidate"] for five, one in pairs)
    cpu = sum(one["cpu"] for _, one in pairs) / sum(five["cpu"] for five, _ in pairs)
    text = f"One held-out fold delivered the same candidate as five in {same} of {len(pairs)} "
    text += f"runs, for {cpu:.2f} of the CPU time. Test figures of what one fold delivered, less "
    text += "those of what five delivered, mean ± standard error over these runs: "
    parts = []
    for label, (metric, (scale, unit)) in product(JUDGED, MEASURES.items()):
        gaps = [
            scale * (value(one, label, metric) - value(five, label, metric)) for five, one in pairs
        ]
        parts.append(f"{label} {unit} {spread(gaps, 1, sign='+', error=True)}")
    text = "\n" + fill(text + ", ".join(parts) + ".", 100) + "\n"
    told = [sum(tells_apart(pair[place]) for pair in pairs) for place in (1, 0)]
    pilot = "Could one fold be a pilot, after which the rest is not fitted? It showed one of "
    pilot += "ensemble and single model worse than the lowest candidate beyond chance, and not the "
    pilot += f"other, in {told[0]} of {len(pairs)} runs; five folds did in {told[1]}. "
    pilot += "So there is no such rule: it would seldom spare anything."
    return text + "\n" + fill(pilot, 100) + "\n"


def tells_apart(run: dict[str, Any]) -> bool:
    """Whether one of ensemble and single model is worse than the lowest, and the other is not."""
    rows = [row for row in run["candidates"] if row["candidate"] in ("ensemble", "single")]
    return sum((row["difference_low"] or 0) > 0 for row in rows) == 1


def value(run: dict[str, Any], label: str, metric: str) -> float:
    return row_of(run, label, metric)["model"]


def row_of(run: dict[str, Any], label: str, metric: str) -> dict[str, Any]:
    return next(row for row in run["test"] if (row["class"], row["metric"]) == (label, metric))


def test_cells(run: dict[str, Any]) -> str:
    cells = [chosen(run)["candidate"]]
    for label, (metric, scale) in product(JUDGED, (("average_precision", 1), ("log_loss", 1e6))):
        row, digits = row_of(run, label, metric), 4 if scale == 1 else 1
        low, middle, high = (
            f"{scale * row[name]:+.{digits}f}"
            for name in ("difference_low", "difference", "difference_high")
        )
        cells += [f"{scale * row['model']:.{digits}f}", f"{middle} [{low}, {high}]"]
    return " | ".join(cells)


def batch_tables(found: dict[str, Any]) -> str:
    text = ""
    for name, runs in found.items():
        one = next(iter(runs["5"].values()))
        classes = list(one["ap"])
        text += f"\n### {name}\n\n{one['rows']:,} rows of {one['groups']:,} groups; judged on "
        text += f"{one['judged']:,} rows.\n\n| folds | seeds | CPU s | log loss |"
        text += "".join(f" AP {label} |" for label in classes) + "\n" + "|---" * (4 + len(classes))
        text += "|\n"
        for number in map(str, NUMBERS):
            seeds = list(runs[number].values())
            cells = [number, str(len(seeds)), spread([s["cpu"] for s in seeds], 0)]
            cells.append(spread([1e6 * s["log_loss"] for s in seeds], 1))
            cells += [spread([s["ap"][label] for s in seeds], 4) for label in classes]
            text += f"| {' | '.join(cells)} |\n"
        pairs = [(runs["3"][seed], runs["5"][seed]) for seed in runs["3"]]
        ratio = sum(own["cpu"] for own, _ in pairs) / sum(other["cpu"] for _, other in pairs)
        cells = ["3 against 5", str(len(pairs)), f"{ratio:.2f} times"]
        differences = [1e6 * (own["log_loss"] - other["log_loss"]) for own, other in pairs]
        cells.append(spread(differences, 1, sign="+", error=True))
        for label in classes:
            differences = [1e4 * (own["ap"][label] - other["ap"][label]) for own, other in pairs]
            cells.append(spread(differences, 1, sign="+", error=True))
        text += f"| {' | '.join(cells)} |\n"
    return text


if __name__ == "__main__":
    main()
