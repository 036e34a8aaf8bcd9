"""What the scores of a second base model are worth, on real genes.

Cross-validates the rows of two tables that were built from the same genes: one with the scores of
one base model, one with those of both. A row file is `results/rows/b000.arrow` of a workflow whose
plan has one batch. Writes benchmarks/base_models.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/base_models.py \
        ONE/results/rows/b000.arrow BOTH/results/rows/b000.arrow
"""

import argparse
from pathlib import Path
from typing import Any

from boosted import defaults
from selection import JUDGED, in_folds, spread, worth

from genebatch.config.settings import Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.training.batch import load_batch
from genebatch.training.cross_validation import cross_validate

SEEDS = (1, 2, 3)
N_SPLITS = 3
HEAD = f"""# A second base model

Made by `python benchmarks/base_models.py`. The rows of 622 human genes (GRCh37, chr20 and part of
chrX; groups are clusters of overlapping and similar genes, a fiftieth set aside) are
cross-validated in {N_SPLITS} folds of groups with the default learner. Boosters start from the
scores of `mouse`, a deep model that never saw human sequence. `mane` is one that was trained on
human genes, these among them: what it adds is optimistic. Its columns and the gaps to `mouse` come
on top (`sequence.scores: {{mouse: ..., mane: ...}}`).

Log loss x 10^6 and average precision (AP) of out-of-fold log-odds, by the rows' weights. Mean ±
standard deviation over seeds of folds, stopping groups and boosters.

| base models | features | donor log loss | donor AP | acceptor log loss | acceptor AP |
|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", help="row file of the table with one base model")
    parser.add_argument("both", help="row file of the table with both")
    given = parser.parse_args()
    lines = [line("mouse", given.one), line("mouse and mane", given.both)]
    Path(__file__).with_suffix(".md").write_text(HEAD + "".join(lines))


def line(name: str, rows: str) -> str:
    found = [measured(rows, seed) for seed in SEEDS]
    cells = [name, f"{found[0]['features']:,}"]
    for one in JUDGED:
        cells.append(spread([1e6 * each["log_loss"][one] for each in found], 1))
        cells.append(spread([each["ap"][one] for each in found], 4))
    return f"| {' | '.join(cells)} |\n"


def measured(rows: str, seed: int) -> dict[str, Any]:
    """Worth of the out-of-fold scores of a table, by one seed."""
    learner = Learner.build(defaults("learner") | {"seed": seed})
    cv = Folds.build(defaults("cv") | {"n_splits": N_SPLITS, "seed": seed})
    data = in_folds(load_batch(RowFile.open(rows), learner), seed)
    scores = cross_validate(data, cv, learner).out_of_fold
    margins = {label: scores[f"margin_{label}"].to_numpy() for label in JUDGED}
    return {"features": len(data.features.names), **worth(data, margins)}


if __name__ == "__main__":
    main()
