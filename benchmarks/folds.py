"""Three or five folds of a batch: what they cost, and how good the batch's finished model is.

Cross-validates a batch, trains its model and calibrates it as the workflow does, and judges the
model on the rows of another batch, which it has never seen. A run that is kept in
benchmarks/folds.json is not repeated. Each run writes benchmarks/folds.md anew.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/folds.py \
        document=RESULTS/rows/b000.arrow,RESULTS/rows/b001.arrow --seeds 1 2 3
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from boosted import defaults
from real_rows import average_precision
from selection import in_folds, spread

from genebatch.config.settings import Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.io.files import write_json
from genebatch.model.combiners import log_losses
from genebatch.training.batch import load_batch
from genebatch.training.cross_validation import cross_validate, final_trees
from genebatch.training.matrices import predicted
from genebatch.training.recipe import as_model, calibrate, train_member

KEPT = Path(__file__).with_suffix(".json")
NUMBERS = (5, 3)
FAST = {"learning_rate": 0.1, "max_bin": 64}  # what the default is for many rows
HEAD = """# Folds of a batch

Made by `python benchmarks/folds.py` (it names the row files). A batch is cross-validated in five
folds and in three, with the default learner. Its model is trained with the median of the folds'
trees and calibrated on their out-of-fold scores, as in a run. It is judged on the rows of another
batch, which it has never seen.

- A seed is that of the folds, of the stopping groups, of the pilot's draw and of the boosters.
- CPU s: seconds of the cross-validation, one thread. The machine was not quiet.
- Log loss x 10^6: multiclass, of the calibrated probabilities, by the rows' weights. AP: average
  precision. Mean over seeds ± standard deviation over seeds.
- Differences: three folds against five with the same seed, mean ± standard error over seeds. A
  negative difference of log loss is a gain. Differences of AP are in 1/10,000.
"""


TREES = """
## Trees of the final boosters

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="NAME=ROWS,JUDGED")
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    given = parser.parse_args()
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


def page(found: dict[str, Any]) -> str:
    text = HEAD
    for name, runs in found.items():
        one = next(iter(runs["5"].values()))
        classes = list(one["ap"])
        text += f"\n## {name}\n\n{one['rows']:,} rows of {one['groups']:,} groups; judged on "
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
    return text + TREES


if __name__ == "__main__":
    main()
