"""How text should become features: one-hot columns, codes, or the categories of XGBoost.

Cross-validates boosters of every class on rows of whole groups, with each encoding, and writes
benchmarks/categories.md. The encoders learn the categories of the training rows alone.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/categories.py \
        --splice splice_junctions.csv --vowels vowel.csv.gz
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import xgboost as xgb
from boosted import defaults

from genebatch.config.settings import Learner
from genebatch.io.files import write_json
from genebatch.model import boosting
from genebatch.model.boosting import Part

KEPT = Path(__file__).with_suffix(".json")
N_SPLITS, SEEDS = 5, (1, 2, 3)
LIMIT = 2_000  # trees
PILOT_ROUNDS, TOP = 30, 75
MADE_ROWS, MADE_GROUPS, NOISE = 8_000, 200, 20
ONE_HOT = "one-hot columns"


class Rows(NamedTuple):
    """A table: numbers, texts, class and group of every row."""

    numbers: np.ndarray
    texts: np.ndarray
    label: np.ndarray
    group: np.ndarray


class Encoded(NamedTuple):
    """Columns of some rows, and which of them XGBoost takes for categories."""

    values: np.ndarray
    categories: np.ndarray


def splice(path: Path) -> Rows:
    """The 60 letters around a junction; the group is the locus that the name begins with."""
    table = pl.read_csv(path).with_columns(pl.all().str.strip_chars())
    letters = np.array([list(text) for text in table["sequence"]], dtype=str)
    group = table["instance_name"].str.split("-").list.first().to_numpy()
    return Rows(np.empty((len(letters), 0)), letters, table["label"].to_numpy(), group)


def vowels(path: Path) -> Rows:
    """Nine numbers cut into eighths with names in no order, and one number as it is."""
    table = pl.read_csv(path)
    values = table[:, 1:-1].to_numpy()
    edges = np.quantile(values, np.linspace(0, 1, 9)[1:-1], axis=0)
    names = np.random.default_rng(1).permuted(np.tile(np.arange(8), (values.shape[1], 1)), axis=1)
    cut = [names[n][np.searchsorted(edges[:, n], values[:, n])] for n in range(values.shape[1])]
    texts = np.column_stack(cut[1:]).astype(str)
    return Rows(values[:, :1], texts, table["Class"].to_numpy(), table["V1"].to_numpy())


def made(n_categories: int) -> Rows:
    """A number, a category, their interplay, and columns of noise; four rows in ten are positive.

    The log-odds are x + a(category) + b(category) * z with a ~ N(0, 1) and b = 1 or -1. The names
    of the categories say nothing of a and b.
    """
    rng = np.random.default_rng(n_categories)
    numbers = rng.normal(size=(MADE_ROWS, 2 + NOISE))
    # A few categories are frequent, as in real columns.
    share = 1 / np.arange(1, n_categories + 1)
    category = rng.choice(n_categories, MADE_ROWS, p=share / share.sum())
    shift, slope = rng.normal(size=n_categories), rng.choice([-1, 1], n_categories)
    odds = numbers[:, 0] + shift[category] + slope[category] * numbers[:, 1] - 0.5
    label = rng.random(MADE_ROWS) < 1 / (1 + np.exp(-odds))
    texts = np.column_stack([category, rng.integers(0, n_categories, MADE_ROWS)]).astype(str)
    return Rows(numbers, texts, label, rng.integers(0, MADE_GROUPS, MADE_ROWS))


def left_out(rows: Rows, train: np.ndarray) -> Encoded:
    return Encoded(rows.numbers, np.zeros(rows.numbers.shape[1], bool))


def codes(rows: Rows, train: np.ndarray) -> Encoded:
    """The place of each text among those of the training rows; others are missing."""
    columns = [_places(column, column[train]) for column in rows.texts.T]
    values = np.column_stack([rows.numbers, *columns]).astype(np.float32)
    return Encoded(values, np.zeros(values.shape[1], bool))


def one_hot(rows: Rows, train: np.ndarray) -> Encoded:
    columns = []
    for column in rows.texts.T:
        columns += [column == text for text in np.unique(column[train])]
    values = np.column_stack([rows.numbers, *columns]).astype(np.float32)
    return Encoded(values, np.zeros(values.shape[1], bool))


def categories(rows: Rows, train: np.ndarray) -> Encoded:
    values = codes(rows, train).values
    return Encoded(values, np.arange(values.shape[1]) >= rows.numbers.shape[1])


def _places(column: np.ndarray, known: np.ndarray) -> np.ndarray:
    names = np.unique(known)
    place = np.searchsorted(names, column).clip(0, len(names) - 1)
    return np.where(names[place] == column, place, np.nan)


HEAD = f"""# Categories

Made by `python benchmarks/categories.py` (it names the tables). How should a column of text become
features?

- Groups are dealt at random into {N_SPLITS} folds. Boosters of each class are trained with the
  default settings of the learner on all features. They stop on the fold behind the one held out.
  Categories are those of the training rows; others count as missing.
- Log loss and average precision (AP): of out-of-fold log-odds, mean over classes, not calibrated.
  Mean over {len(SEEDS)} seeds of folds and boosters ± standard deviation.
- CPU s: of the whole cross-validation, one thread. The machine was not quiet.
- "picked by a pilot" gives a booster the {TOP} columns of largest gain in {PILOT_ROUNDS} rounds, as
  `learner.select` does.

**What is built in: sets of categories** (`dataset.categorical`). A split sends a set of categories
to one side, which XGBoost finds by their gradients; of fewer than four categories it sends one.

- Sets have the lowest log loss on the real junctions and with 6 and 30 made categories. On the
  other two tables they are within chance of one-hot columns that a pilot picked.
- They take at most the time of one-hot columns, and half of it on the junctions.
- One-hot columns lose where a booster picks its features, as each category is a column.
- With 200 categories in 8,000 rows, sets fit chance: all one-hot columns are better by 1 %. So
  `screen.max_categories` is 64 by default. Raise it where there are many rows of each category.
- Codes in alphabetical order have a higher log loss than sets everywhere.
- The fast evaluator of trees (`genebatch/model/forest.py`) knows thresholds alone. A model whose
  trees split by categories therefore predicts with XGBoost.
"""
COLUMNS = "| features | log loss | AP | CPU s | trees |\n|---|---|---|---|---|\n"
TABLES = {
    "splice": "3,190 primate sequences around splice junctions (classes EI, IE, N): 60 letters, "
    "{n} groups",
    "vowels": "990 vowels of 15 speakers, 11 classes. Nine of ten numbers are cut into eighths, "
    "whose names have no order",
    **{
        f"made {n}": f"{MADE_ROWS:,} rows, {MADE_GROUPS} groups. Log-odds x + a(category) + "
        f"b(category) * z with b = 1 or -1; {n} categories, some of them frequent; a further "
        f"column of {n} categories and {NOISE} numbers of chance"
        for n in (6, 30, 200)
    },
}

ENCODINGS: dict[str, tuple[Callable[[Rows, np.ndarray], Encoded], dict[str, Any]]] = {
    ONE_HOT: (one_hot, {}),
    f"one-hot columns, {TOP} picked by a pilot": (one_hot, {"pilot": True}),
    "codes in alphabetical order": (codes, {}),
    "sets of categories": (categories, {}),
    "one category against the rest, by XGBoost": (categories, {"max_cat_to_onehot": 10_000}),
    "without the text": (left_out, {}),
}


def measured(rows: Rows, name: str, seed: int) -> dict[str, float]:
    """Out-of-fold log loss and average precision over the classes, CPU seconds and trees."""
    encode, options = ENCODINGS[name]
    if encode is left_out and not rows.numbers.shape[1]:
        return {}
    classes = np.unique(rows.label)
    classes = classes[1:] if len(classes) == 2 else classes
    groups, own = np.unique(rows.group, return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(groups)) % N_SPLITS)[own]
    margins, trees, start = np.empty((len(own), len(classes))), 0, time.process_time()
    for number in range(N_SPLITS):
        held, stop = fold == number, fold == (number + 1) % N_SPLITS
        encoded = encode(rows, ~held & ~stop)
        for column, label in enumerate(classes):
            fit = boosted(encoded, rows.label == label, (~held & ~stop, stop), options, seed)
            booster, kept = fit
            matrix = as_matrix(encoded, held, kept)
            margins[held, column] = boosting.predict_margin(booster, matrix, None)
            trees += booster.num_boosted_rounds()
    cpu = time.process_time() - start
    weight = np.ones(len(own))
    losses, precisions = zip(
        *(worth(rows.label == c, margins[:, n], weight) for n, c in enumerate(classes)), strict=True
    )
    return {
        "log_loss": float(np.mean(losses)),
        "ap": float(np.mean(precisions)),
        "cpu": cpu,
        "trees": trees / N_SPLITS / len(classes),
    }


def worth(y: np.ndarray, margin: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score

    loss = np.logaddexp(0, np.where(y, -margin, margin))
    return float(np.average(loss, weights=weight)), float(average_precision_score(y, margin))


def boosted(
    encoded: Encoded,
    y: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray],
    options: Mapping[str, Any],
    seed: int,
) -> tuple[xgb.Booster, np.ndarray]:
    """A booster stopped on the rows of the second side, and the columns that it was given."""
    given = defaults() | {"n_estimators": LIMIT, "seed": seed}
    given["params"] = {key: value for key, value in options.items() if key != "pilot"}
    learner = Learner.build(given)
    columns = np.arange(encoded.values.shape[1])
    parts = [part(encoded, y, side, columns, learner, side is sides[0]) for side in sides]
    if options.get("pilot") and len(columns) > TOP:
        pilot = boosting.fit_trees(
            parts[0].matrix, y[sides[0]], parts[0].weight, None, PILOT_ROUNDS, learner
        )
        gain = pilot.get_score(importance_type="total_gain")
        found = sorted(gain, key=gain.__getitem__, reverse=True)[:TOP]
        columns = np.sort([int(name[1:]) for name in found])
        parts = [part(encoded, y, side, columns, learner, side is sides[0]) for side in sides]
    return boosting.fit_until_stopped(*parts, learner).booster, columns


def part(
    encoded: Encoded,
    y: np.ndarray,
    side: np.ndarray,
    columns: np.ndarray,
    learner: Learner,
    binned: bool,
) -> Part:
    matrix = as_matrix(encoded, side, columns, learner.max_bin if binned else None)
    return Part(matrix, y[side], np.ones(int(side.sum())), None)


def as_matrix(
    encoded: Encoded, side: np.ndarray, columns: np.ndarray, max_bin: int | None = None
) -> xgb.DMatrix:
    kinds = ["c" if encoded.categories[column] else "q" for column in columns]
    given = {"feature_types": kinds, "enable_categorical": True, "nthread": 1}
    values = encoded.values[side][:, columns]
    if max_bin is None:
        return xgb.DMatrix(values, **given)
    return xgb.QuantileDMatrix(values, max_bin=max_bin, **given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splice", type=Path, required=True)
    parser.add_argument("--vowels", type=Path, required=True)
    given = parser.parse_args()
    tables = {
        "splice": splice(given.splice),
        "vowels": vowels(given.vowels),
        "made 6": made(6),
        "made 30": made(30),
        "made 200": made(200),
    }
    for seed, table, name in product(SEEDS, tables, ENCODINGS):
        runs = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        of_name = runs.setdefault(table, {}).setdefault(name, {})
        if str(seed) not in of_name:
            of_name[str(seed)] = measured(tables[table], name, seed)
            write_json(KEPT, runs)
            print(table, name, seed, of_name[str(seed)], flush=True)
    KEPT.with_suffix(".md").write_text(page(json.loads(KEPT.read_text()), tables))


def page(runs: Mapping[str, Any], tables: Mapping[str, Rows]) -> str:
    text = HEAD
    for table, of_table in runs.items():
        n_groups = len(np.unique(tables[table].group))
        text += f"\n## {table}\n\n{TABLES[table].format(n=f'{n_groups:,}')}.\n\n{COLUMNS}"
        for name, of_seeds in of_table.items():
            found = [run for run in of_seeds.values() if run]
            if found:
                loss, ap = ([run[key] for run in found] for key in ("log_loss", "ap"))
                cpu, trees = (np.mean([run[key] for run in found]) for key in ("cpu", "trees"))
                text += f"| {name} | {spread(loss)} | {spread(ap)} | {cpu:.1f} | {trees:.0f} |\n"
    return text


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


if __name__ == "__main__":
    main()
