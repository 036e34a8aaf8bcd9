"""Which settings of the learner are best on real genes, one change at a time.

Out-of-fold scores of every variant, by one model and by the mean of 4 and of 14 models of disjoint
clusters. A run that is kept in benchmarks/results/accuracy is not repeated, so the work can be done
in pieces; every call writes benchmarks/accuracy.md from what there is.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/accuracy.py
    ... benchmarks/accuracy.py --only "depth" --bases mouse --members 1 14 --seeds 0
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accuracy_table import write_report
from boosted import OneClass, defaults, fit
from real_rows import BASES, CLASSES, LANDSCAPE, Rows, human_folder, read_rows, splits

from genebatch.config.settings import Learner
from genebatch.features.landscape import CHANNELS
from genebatch.groups import deal
from genebatch.metrics.binary import log_loss_rows
from genebatch.model import boosting
from genebatch.model.calibration import choose

KEPT = Path(__file__).parent / "results" / "accuracy"
STOP_SHARE = 1 / 8
# Where the search began: written out, so that "reference" means the same when defaults change.
REFERENCE = {
    "n_estimators": 800,
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_child_weight": 2,
    "lambda": 2,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "max_bin": 256,
    "early_stopping_rounds": 30,
}
# A third of the time; what is tried with these is compared with the reference with these.
QUICK = {"learning_rate": 0.1, "max_bin": 64, "early_stopping_rounds": 20}

NOTES = """
## What follows

The defaults stay as they were before this search. No change gains on both base models and for both
classes, with one model and with means of several.

Numbers without a unit are average precision (AP) in 1/10,000, donor first and acceptor second.

- **Weights: full.** Every weaker form of weights costs AP.
  - Weights to the power .75: 7 to 10 on both base models.
  - Clipped at 100: 4 and 7 on mouse.
  - No weights: 150 to 217. Three of the four pairs of base model and class are then below the base
    scores.
  - Easy negatives (scores below 1e-4) at a tenth of their weight: 11 on mouse donors.
  - Hard rows three times heavier: no gain.
- **Regularisation: depth 4, min_child_weight 2, lambda 2.** It is a flat optimum for one model.
  - On mouse these differ by no more than another seed: depth 6, lambda .5 or 10, smaller shares of
    columns, 64 bins, a learning rate of .1. On mane depth 6 does.
  - Too little regularisation fails: min_child_weight .1 with lambda .1 gives -218 on mouse donors.
  - Depth 3 loses a little.
  - What is too much depends on the rows. With 5,400 rows a member, min_child_weight 10 loses 100
    and 43 on mouse, and with 50 nothing is learned.
- **lambda .5 helps only small batches.**
  - 14 members: +4 and +0 on mouse (quick settings; +2 and +5 with those of the reference), +6 and
    +2 on mane.
  - 4 members: nothing certain.
  - One member: the log loss is 4.1 % higher on mouse donors (two seeds; AP +1 and -18) and 1.7 %
    higher on mane acceptors.
  - Try it for batches of fewer than 10,000 rows. It is not the default.
- **Rising with the own score** is a monotone constraint on the score and its log-odds. It gains
  nothing certain on either base model (two seeds: +7 and -1 on mouse donors, +4 and -5 on mane
  acceptors). It costs 1 on mouse acceptors with 14 members. It has no key of its own.
- **Landscape: keep.** Without it mouse loses 182 and 112, and mane 177 and 81. Mane is then 58 and
  9 below the base scores. The constraint does not mend that (mane -227 and -97). Words of 3 letters
  add nothing certain: -2 and +5 on mouse, -5 and +2 on mane.
- **The document's recipe** is 116 and 131 below the reference on mouse, 151 and 225 on mane.
- **Mean of probabilities or of log-odds.** Neither is always better.
  - With 14 members the mean of probabilities is better by 3 to 4 on acceptors (the intervals
    exclude 0) and by 1 to 4 on donors (most intervals include 0). These members are not
    over-confident, because they start from the base log-odds.
  - With 4 members the mean of log-odds is better by 8 on mane donors (log loss 4 % lower). The
    other cases differ by at most 2.
- **14 small members are worse than one model**: by about 30 on donors and 47 on acceptors (mouse),
  23 and 34 (mane). Four members are about as good (mouse donors +6, mane -8 and -4), except for
  mouse acceptors (-18). A part of the loss is near the ends of genes. At 1,000 nt and more from the
  ends 14 members lose about 5 on mouse donors and 18 on acceptors.
- **Inside genes the gain is small.** With one model it is +32 and +42 over the base scores on
  mouse. On mane it is +12 for acceptors, and nothing certain for donors (+1 [-13, +17]).
- **Calibration: auto.** Log-odds of boosters with full weights need no calibration.
  - No calibrator fitted on other folds lowers the log loss by more than .3 %.
  - isotonic costs 14 to 26 of AP, because it makes ties.
  - After training without weights a sigmoid cuts the log loss to a third or less, but no calibrator
    restores the AP.
- **Sum to 1.**
  - Dividing by the sum costs no AP that can be told from zero. It costs up to 1 % of the log loss
    of donor and acceptor.
  - Softmax of the three log-odds costs 35 to 43 % of the log loss. Each class is already compared
    with the rest, so the other classes count twice.
  - `neither = 1 - donor - acceptor` leaves both sites as they are. Its log loss of neither is 3 to
    5 % lower than that of a booster for neither. It saves that booster, a third of the time, but it
    needs a class that is known to be the rest.

The script can measure more. These were not measured:

- depth 5, gamma, subsample, patience 15 and 100, learning rate .03, all columns in every tree;
- weights clipped at 20 and 500 or to the powers .5 and .9, no easy negatives at all;
- words of 5 letters, the document's recipe with the root of the weights;
- on mane with several members: everything except the reference and lambda .5.

Most measurements had one seed and the quick settings. Intervals are not corrected for the number of
comparisons.
"""

# Weight of a row in training, from its weight and the larger of its two base log-odds.
Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
EASY, HARD = np.log([1e-4 / (1 - 1e-4), 1e-2 / (1 - 1e-2)])


class Variant(NamedTuple):
    """A change to the reference."""

    learner: Mapping[str, Any] = {}
    weigh: Weigh = lambda weight, top: weight
    groups: tuple[str, ...] = LANDSCAPE  # of columns, beside those around the position
    rising: bool = False  # whether the log-odds may not fall with the own-class score
    start: bool = True  # from the base log-odds


def learner(**changes: Any) -> Variant:
    return Variant({name.rstrip("_"): value for name, value in changes.items()})


def clipped(most: float) -> Variant:
    return Variant(weigh=lambda weight, top: np.minimum(weight, most))


def tempered(power: float) -> Variant:
    return Variant(weigh=lambda weight, top: weight**power)


DOCUMENT = {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": 1, "lambda": 1}
VARIANTS = {
    "reference": Variant(),
    "depth 3": learner(max_depth=3),
    "depth 5": learner(max_depth=5),
    "depth 6": learner(max_depth=6),
    "min_child_weight 0.5": learner(min_child_weight=0.5),
    "min_child_weight 10": learner(min_child_weight=10),
    "min_child_weight 50": learner(min_child_weight=50),
    "lambda 0.1": learner(lambda_=0.1),
    "lambda 0.5": learner(lambda_=0.5),
    "lambda 1": learner(lambda_=1),
    "lambda 10": learner(lambda_=10),
    "lambda 50": learner(lambda_=50),
    "min_child_weight 0.5, lambda 0.5": learner(min_child_weight=0.5, lambda_=0.5),
    "min_child_weight 0.1, lambda 0.1": learner(min_child_weight=0.1, lambda_=0.1),
    "gamma 2": learner(params={"gamma": 2}),
    "learning rate 0.1": learner(learning_rate=0.1),
    "learning rate 0.03": learner(learning_rate=0.03),
    "subsample 0.5": learner(subsample=0.5),
    "subsample 1": learner(subsample=1),
    "colsample 0.5": learner(colsample_bytree=0.5),
    "colsample 0.25": learner(colsample_bytree=0.25),
    "colsample 1": learner(colsample_bytree=1),
    "max_bin 64": learner(max_bin=64),
    "patience 15": learner(early_stopping_rounds=15),
    "patience 100": learner(early_stopping_rounds=100),
    "weights up to 20": clipped(20),
    "weights up to 100": clipped(100),
    "weights up to 500": clipped(500),
    "weights to the power .5": tempered(0.5),
    "weights to the power .75": tempered(0.75),
    "weights to the power .9": tempered(0.9),
    "no weights": tempered(0),
    "rising with the own score": Variant(rising=True),
    "around the position only": Variant(groups=()),
    "around only, rising": Variant(groups=(), rising=True),
    "+ 3-mers": Variant(groups=(*LANDSCAPE, "3mers")),
    "+ 3-mers, 5-mers": Variant(groups=(*LANDSCAPE, "3mers", "5mers")),
    "no easy negatives": Variant(weigh=lambda weight, top: np.where(top < EASY, 0, weight)),
    "easy negatives a tenth": Variant(weigh=lambda weight, top: weight * (1 - 0.9 * (top < EASY))),
    "hard rows three times": Variant(weigh=lambda weight, top: weight * (1 + 2 * (top >= HARD))),
    "document's recipe": Variant(DOCUMENT, lambda weight, top: weight**0, LANDSCAPE, False, False),
    "document's, root of weights": Variant(
        DOCUMENT, lambda weight, top: weight**0.5, LANDSCAPE, False, False
    ),
}


class Run(NamedTuple):
    """What is trained: a variant on the rows of a base model, cut into members, with a seed."""

    base: str
    variant: str
    members: int
    seed: int
    quick: bool

    @property
    def path(self) -> Path:
        """Where the scores of the other classes are kept."""
        name = re.sub(r"[^a-z0-9.]+", "-", self.variant.lower()).strip("-")
        speed = "_quick" if self.quick else ""
        return KEPT / f"{self.base}_{name}_{self.members}_{self.seed}{speed}.npz"

    @property
    def neither(self) -> Path:
        """Where the scores of the class neither are kept."""
        return self.path.with_suffix(".neither.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=".", help="regular expression of variants")
    parser.add_argument("--bases", nargs="*", default=BASES)
    parser.add_argument("--members", nargs="*", type=int, default=[1])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--quick", action="store_true", help="faster settings for a first look")
    parser.add_argument("--no-report", dest="report", action="store_false")
    parser.add_argument("--neither", action="store_true", help="train the third class as well")
    given = parser.parse_args()
    human = human_folder()
    KEPT.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in VARIANTS if re.search(given.only, name)]
    chosen = product(given.bases, wanted, given.members, given.seeds, [given.quick])
    runs = [Run(*run) for run in chosen]
    for base in given.bases:
        parts = [(run, run.path, CHANNELS) for run in runs if run.base == base]
        if given.neither:
            parts += [(run, run.neither, ("neither",)) for run, *_ in parts]
        missing = [part for part in parts if not part[1].exists()]
        if missing:
            rows = read_rows(human, base, needed_words([run for run, *_ in missing]))
        for run, path, classes in missing:
            carry_out(run, rows, path, classes)
    if given.report:
        possible = product(BASES, VARIANTS, (1, 4, 14), range(9), (False, True))
        everything = [Run(*run) for run in possible]
        text = {"notes": NOTES, "reference": in_words(REFERENCE), "quick": in_words(QUICK)}
        write_report(human, [run for run in everything if run.path.exists()], VARIANTS, text)


def in_words(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


def needed_words(runs: list[Run]) -> tuple[int, ...]:
    groups = {group for run in runs for group in VARIANTS[run.variant].groups}
    return tuple(k for k in (3, 5) if f"{k}mers" in groups)


def carry_out(run: Run, rows: Rows, path: Path, classes: tuple[str, ...]) -> None:
    """Train a run and keep its scores of some classes.

    By class: log-odds of the mean of the members' log-odds and of their probabilities, and the log
    loss of each row by both after a calibration fitted on the other folds.
    """
    began = time.monotonic()
    margins, fold, trees = out_of_fold(run, rows, classes)
    arrays = {"fold": fold, "trees": np.array(trees)}
    for name, means in margins.items():
        for combiner, margin in means.items():
            y = rows.labels == name
            chosen = choose(margin, y, fold, rows.weight)
            p = chosen.cross_fitted
            loss = log_loss_rows(y, np.log(p) - np.log1p(-p))
            arrays[f"{combiner}:{name}"] = margin
            arrays[f"{combiner}:{name}:loss"] = loss.astype(np.float32)
    arrays["seconds"] = np.array(time.monotonic() - began)
    np.savez(path, **arrays)
    print(*run, f"{arrays['seconds']:.0f} s, {np.median(trees):.0f} trees", flush=True)


def out_of_fold(
    run: Run, rows: Rows, classes: tuple[str, ...]
) -> tuple[dict[str, dict[str, np.ndarray]], np.ndarray, list[int]]:
    """Log-odds by class and combiner, fold of each row, and trees of every booster."""
    variant = VARIANTS[run.variant]
    columns = rows.around.copy()
    for group in variant.groups:
        columns |= rows.groups[group]
    block = np.column_stack(list(columns.values())).astype(np.float32)
    top = np.maximum(*(rows.base[name] for name in CHANNELS))
    weight = variant.weigh(rows.weight, top)
    combiners = ("log_odds", "voting")
    margins = {c: {m: np.empty(len(weight)) for m in combiners} for c in classes}
    fold, trees = np.empty(len(weight), np.int32), []
    for number, held in enumerate(splits(rows.clusters, run.seed)):
        fold[held] = number
        judged = boosting.to_matrix(block[held], 1)
        scores = {name: [] for name in classes}
        for member in members(rows, ~held, run):
            for name, score in scores.items():
                fitted = fit_member(run, rows, name, member, block, weight, list(columns))
                trees.append(fitted.n_trees)
                start = rows.base[name][held] if variant.start else None
                score.append(boosting.predict_margin(fitted.booster, judged, start))
        for name, score in scores.items():
            mean = np.mean([1 / (1 + np.exp(-s.astype(np.float64))) for s in score], axis=0)
            mean = np.clip(mean, 1e-12, 1 - 1e-12)
            margins[name]["log_odds"][held] = np.mean(score, axis=0, dtype=np.float64)
            margins[name]["voting"][held] = np.log(mean) - np.log1p(-mean)
    return margins, fold, trees


def members(rows: Rows, training: np.ndarray, run: Run) -> Iterator[np.ndarray]:
    """Mask of the training rows of each member: disjoint sets of whole clusters of equal size."""
    part = dealt(rows, training, [1] * run.members, run.seed)
    for number in range(run.members):
        yield part == number


def dealt(rows: Rows, which: np.ndarray, shares: list[float], seed: int) -> np.ndarray:
    """Part of each row by whole clusters that share out rows and classes; -1 outside `which`."""
    names, local = np.unique(rows.clusters[which], return_inverse=True)
    sizes = [np.bincount(local, rows.labels[which] == name, len(names)) for name in CLASSES]
    parts = deal([str(name) for name in names], np.column_stack(sizes), shares, seed)
    result = np.full(len(which), -1)
    result[which] = parts[local]
    return result


def settings(variant: Variant, run: Run) -> dict[str, Any]:
    """The `learner` part of the config."""
    given = REFERENCE | (QUICK if run.quick else {})
    return defaults() | given | {"seed": run.seed} | variant.learner


def fit_member(
    run: Run,
    rows: Rows,
    name: str,
    member: np.ndarray,
    block: np.ndarray,
    weight: np.ndarray,
    columns: list[str],
) -> boosting.Fit:
    """A booster of one class on the rows of a member, stopped by an eighth of its clusters."""
    variant = VARIANTS[run.variant]
    chosen = settings(variant, run)
    if variant.rising:
        own = {f"{name}_score", f"{name}_logit"}
        signs = tuple(int(column in own) for column in columns)
        chosen["params"] = chosen["params"] | {"monotone_constraints": str(signs)}
    stop = dealt(rows, member, [STOP_SHARE, 1 - STOP_SHARE], run.seed) == 0
    start = rows.base[name] if variant.start else None
    known = OneClass(block, rows.labels == name, weight, start)
    return fit(known, member & ~stop, stop, Learner.build(chosen))


if __name__ == "__main__":
    main()
