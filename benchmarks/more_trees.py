"""What more trees than `learner.n_estimators` would give the single model at full size.

Boosts the single model of a finished run anew, with more trees, and judges its first trees and all
of them on the rows of the test groups. RESULTS is the folder of results of benchmarks/scale.py.
Writes benchmarks/more_trees.md.

    .venv/bin/python benchmarks/more_trees.py RESULTS
"""

import argparse
import time
from pathlib import Path

import numpy as np
from boosted import defaults
from selection import JUDGED, worth

from genebatch.config.settings import Learner
from genebatch.dataset.row_file import RowFile
from genebatch.training.batch import load_all, load_batch
from genebatch.training.matrices import predicted
from genebatch.training.recipe import train_member

TREES = (200, 400, 600, 800, 1_000, 1_200, 1_600)
THREADS = 1
HEAD = """# More trees in the single model

Made by `python benchmarks/more_trees.py`: the single model of {rows:,} rows, boosted with {most:,}
trees a class ({minutes:.0f} minutes, {cpu:.0f} CPU s, one thread), and what its first trees
give. Judged on the {test:,} rows of the test groups of [scale.md](scale.md), by their weights, not
calibrated. `learner.n_estimators` is {usual:,}.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    rows = parser.parse_args().results / "rows"
    learner = Learner.build(defaults("learner")).with_threads(THREADS)
    files = [RowFile.open(path) for path in sorted(rows.glob("*.arrow")) if path.stem != "test"]
    data = load_all(files, learner)
    start, used = time.monotonic(), time.process_time()
    member = train_member(data, "single", dict.fromkeys(data.classes, max(TREES)), learner)
    minutes, cpu = (time.monotonic() - start) / 60, time.process_time() - used
    test = load_batch(RowFile.open(rows / "test.arrow"), learner)
    every = np.ones(test.rows.height, bool)
    lines = []
    for count in TREES:
        boosters = [booster[:count] for booster in member.boosters]
        margins = predicted(test, boosters, every, THREADS)
        found = worth(test, dict(zip(test.classes, margins.T, strict=True)))
        figures = [f"{1e6 * found['log_loss'][name]:.1f}" for name in JUDGED]
        figures += [f"{found['ap'][name]:.4f}" for name in JUDGED]
        lines.append(f"| {count:,} | {' | '.join(figures)} |")
        print(lines[-1], flush=True)
    names = [f"{name} {measure}" for measure in ("log loss x 10^6", "AP") for name in JUDGED]
    text = HEAD.format(
        rows=data.rows.height,
        test=test.rows.height,
        most=max(TREES),
        minutes=minutes,
        cpu=cpu,
        usual=learner.n_estimators,
    )
    text += f"| trees | {' | '.join(names)} |\n{'|---' * (1 + len(names))}|\n"
    Path(__file__).with_suffix(".md").write_text(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
