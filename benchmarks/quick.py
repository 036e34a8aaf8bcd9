"""Ratios of the costly parts to fixed baselines, in a few minutes on one core.

    make bench-quick
    make bench-quick KEEP=--keep     # adds the ratios to benchmarks/history.tsv

Part and baseline take turns in one process, short ones for some seconds, and the least CPU seconds
of each count. So a ratio depends little on the machine. Baselines are NumPy, PyArrow, plain XGBoost
and LightGBM, and never code of genebatch. Exits with 1 if a ratio is more than half above the
median of its last five in the history. With --keep the commit stands beside the ratios, and
history.png is drawn anew.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import calling
import lightgbm as lgb
import memory
import numpy as np
import polars as pl
import pyarrow as pa
import xgboost as xgb
from made import config, write_table

from genebatch.config.settings import Settings
from genebatch.dataset.row_file import Blocks, RowFile
from genebatch.features.positions import Spec, position_features
from genebatch.metrics.bootstrap import bootstrap_mean
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel
from genebatch.training.batch import Batch, load_batch
from genebatch.training.cross_validation import cross_validate
from genebatch.training.recipe import as_model, train_member

HISTORY = Path(__file__).with_name("history.tsv")
WORSE = 1.5
TURNS, SECONDS = 3, 3.0  # turns at least, and seconds that short parts are repeated for
ROWS, DENSE, COUNTS, DENSITY, TREES = 20_000, 60, 600, 0.10, 40
TOP = 150  # so few rows would take all features
POSITIONS = 20_000
REPLICATES, PLAIN_REPLICATES = 20_000, 50


class Pair(NamedTuple):
    """A part and its baseline."""

    name: str
    baseline: str
    ours: Callable[[], Any]
    plain: Callable[[], Any]


class Table(NamedTuple):
    """The batch of a made table: its row file, its rows, its cells as numbers, a model of it."""

    file: RowFile
    data: Batch
    settings: Settings
    cells: np.ndarray
    frame: pl.DataFrame
    model: EnsembleModel


class Gene(NamedTuple):
    """A made gene with a folder of its files, and a model that calls it."""

    folder: Path
    path: Path
    model: EnsembleModel
    sequence: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true", help="add the ratios to the history")
    keep = parser.parse_args().keep
    logging.disable(logging.WARNING)  # that the drawn scores of a made gene fit no GT and AG
    with tempfile.TemporaryDirectory() as folder:
        table, gene = made_table(Path(folder, "table")), made_gene(Path(folder, "gene"))
        lines = [measured(pair) for pair in pairs(table, gene)]
    past = pl.read_csv(HISTORY, separator="\t") if HISTORY.exists() else None
    worse = [line["part"] for line in lines if is_worse(line, past)]
    if keep:
        stamp = {"commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        new = pl.DataFrame([stamp | line for line in lines])
        together = new if past is None else pl.concat([past, new])
        together.write_csv(HISTORY, separator="\t")
        draw(together)
    if worse:
        sys.exit(f"slower than before by more than half: {', '.join(worse)}")


def made_table(folder: Path) -> Table:
    """Plan a made table as one batch, and train a model on it."""
    write_table(folder / "data", ROWS, DENSE, COUNTS, DENSITY)
    boosting = {"n_estimators": TREES, "early_stopping_rounds": TREES, "use_weights": False}
    boosting |= {"select": {"top": TOP}}
    given = config(folder / "data", boosting)
    memory.prepare(folder, given)
    settings = Settings.build(given)
    settings = replace(settings, learner=settings.learner.for_rows(ROWS))
    file = RowFile.open(folder / "rows" / "b000.arrow")
    data = load_batch(file, settings.learner)
    member = train_member(data, "b000", dict.fromkeys(data.classes, TREES), settings.learner)
    frame = pl.concat(rows.features for rows in file.frames())
    cells = frame.cast(pl.Float32).to_numpy()
    return Table(file, data, settings, cells, frame, as_model(data, settings.learner, [member]))


def made_gene(folder: Path) -> Gene:
    """A gene with its base scores, and a model of its positions."""
    calling.make_genome(folder, [POSITIONS])
    path = folder / "model.gbm"
    calling.make_model(folder, path)
    return Gene(folder, path, load_model(path), calling.load(folder)[0])


def pairs(table: Table, gene: Gene) -> list[Pair]:
    """Every part that is measured."""
    boosters = [booster for member in table.model.members for booster in member.boosters]
    wide = [plain_booster(table, column) for column in range(len(boosters))]
    rng = np.random.default_rng(7)
    sequence = rng.integers(0, 4, POSITIONS + 120).astype(np.uint8)
    scores = np.where(rng.random((2, POSITIONS)) < 0.002, 0.5, 1e-6).astype(np.float32)
    groups, losses = rng.integers(0, 500, 200_000), rng.random((4, 200_000))
    ours = table.settings.cv, table.settings.learner
    words = Spec(families=("scores", "kmers"))
    return [
        Pair(
            "cross-validation",
            "plain XGBoost",
            lambda: cross_validate(table.data, *ours),
            lambda: folds(table, xgboost_fit),
        ),
        Pair(
            "cross-validation",
            "LightGBM",
            lambda: cross_validate(table.data, *ours),
            lambda: folds(table, lightgbm_fit),
        ),
        Pair(
            "reading",
            "PyArrow to NumPy",
            lambda: list(Blocks([table.file])),
            lambda: plain_read(table.file.path),
        ),
        Pair(
            "prediction",
            "plain XGBoost of all features",
            lambda: table.model.predict_proba(table.frame),
            lambda: [each.inplace_predict(table.cells) for each in wide],
        ),
        Pair(
            "word counts",
            "NumPy bincount",
            lambda: position_features(sequence, *scores, spec=words),
            lambda: [plain_words(sequence, k) for k in words.kmers],
        ),
        Pair(
            "all features",
            "NumPy bincount of words",
            lambda: position_features(sequence, *scores),
            lambda: [plain_words(sequence, k) for k in words.kmers],
        ),
        Pair(
            "calling",
            "NumPy bincount of words and plain XGBoost of all features",
            lambda: calling.run(gene.folder, gene.path, "meta"),
            lambda: plain_calls(gene, words.kmers),
        ),
        Pair(
            "resampling",
            f"NumPy, {PLAIN_REPLICATES} draws for {REPLICATES:,}",
            lambda: bootstrap_mean(dict(enumerate(losses)), groups, None, REPLICATES, 7),
            lambda: plain_draws(groups, losses, PLAIN_REPLICATES),
        ),
    ]


def measured(pair: Pair) -> dict[str, Any]:
    """CPU seconds of a part and of its baseline, the least of some turns each."""
    seconds: tuple[list[float], list[float]] = ([], [])
    while len(seconds[0]) < TURNS or sum(map(sum, seconds)) < SECONDS:
        for took, run in zip(seconds, (pair.ours, pair.plain), strict=True):
            start = time.process_time()
            run()
            took.append(time.process_time() - start)
    ours, plain = map(min, seconds)
    print(f"{pair.name} / {pair.baseline}: {ours / plain:.3f} ({ours:.2f} s, {plain:.2f} s)")
    return {
        "part": f"{pair.name} / {pair.baseline}",
        "ratio": round(ours / plain, 4),
        "seconds": round(ours, 3),
        "baseline_seconds": round(plain, 3),
    }


def is_worse(line: dict[str, Any], past: pl.DataFrame | None) -> bool:
    """Whether a ratio is more than half above the median of its last five."""
    if past is None:
        return False
    before = past.filter(part=line["part"])["ratio"].tail(5).median()
    return before is not None and line["ratio"] > WORSE * before


def folds(table: Table, fit: Callable[[Table, np.ndarray, int], Any]) -> None:
    """Boosters of every fold and class as people fit them: all features, rows of the fold."""
    fold = table.data.rows["fold"].to_numpy()
    for number in range(table.data.n_folds):
        for column in range(len(table.data.classes)):
            fit(table, fold != number, column)


def xgboost_fit(table: Table, train: np.ndarray, column: int) -> None:
    learner = table.settings.learner
    y = table.data.codes == column
    matrix = xgb.QuantileDMatrix(table.cells[train], y[train], max_bin=learner.max_bin, nthread=1)
    given = {"objective": "binary:logistic", "max_depth": learner.max_depth, "nthread": 1}
    given |= {"learning_rate": learner.learning_rate, "max_bin": learner.max_bin}
    booster = xgb.train(given, matrix, TREES)
    booster.inplace_predict(table.cells[~train])


def lightgbm_fit(table: Table, train: np.ndarray, column: int) -> None:
    learner = table.settings.learner
    y = table.data.codes == column
    given = {"objective": "binary", "num_leaves": 2**learner.max_depth, "num_threads": 1}
    given |= {"learning_rate": learner.learning_rate, "max_depth": learner.max_depth}
    given |= {"verbosity": -1, "force_col_wise": True}
    booster = lgb.train(given, lgb.Dataset(table.cells[train], y[train]), TREES)
    booster.predict(table.cells[~train])


def plain_booster(table: Table, column: int) -> xgb.Booster:
    """A booster of as many trees on all features."""
    y = table.data.codes == column
    matrix = xgb.QuantileDMatrix(table.cells, y, nthread=1)
    depth = table.settings.learner.max_depth
    return xgb.train({"objective": "binary:logistic", "max_depth": depth}, matrix, TREES)


def plain_read(path: Path) -> list[np.ndarray]:
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    numbers = [name for name in table.column_names if name.startswith("feature:")]
    return [table[name].to_numpy().astype(np.float32) for name in numbers]


def plain_words(sequence: np.ndarray, k: int) -> np.ndarray:
    """Counts of the words of k nt around each position, one position after the other."""
    n = len(sequence) - k + 1
    ranks = np.zeros(n, np.int64)
    for shift in range(k):
        ranks = 4 * ranks + sequence[shift : shift + n]
    width = 121 - k + 1
    counts = np.empty((POSITIONS, 4**k), np.uint8)
    for position in range(POSITIONS):
        counts[position] = np.bincount(ranks[position : position + width], minlength=4**k)
    return counts


def plain_calls(gene: Gene, kmers: Sequence[int]) -> None:
    """Words of every position, and what each booster makes of a dense matrix."""
    for k in kmers:
        plain_words(gene.sequence, k)
    cells = np.zeros((POSITIONS, len(gene.model.features.names)), np.float32)
    for member in gene.model.members:
        for booster in member.boosters:
            booster.inplace_predict(cells)


def plain_draws(groups: np.ndarray, losses: np.ndarray, replicates: int) -> None:
    """Mean loss of every candidate for each draw of groups, rows gathered anew."""
    rng = np.random.default_rng(7)
    rows = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    for _ in range(replicates):
        chosen = rng.integers(0, len(rows), len(rows))
        drawn = np.concatenate([rows[group] for group in chosen])
        losses[:, drawn].mean(axis=1)


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def draw(history: pl.DataFrame) -> None:
    """Ratios over commits, each against its first."""
    from genebatch.report.figures.style import panels, save_figure

    title = "Ratio to the baseline, against the first measurement"
    with panels(1, title, size=(7, 4)) as (figure, (axes,)):
        for part in history["part"].unique(maintain_order=True):
            lines = history.filter(part=part)
            axes.plot(lines["commit"], lines["ratio"] / lines["ratio"][0], marker="o", label=part)
        axes.axhline(WORSE, color="grey", linewidth=0.8)
        axes.legend(fontsize=6)
        save_figure(HISTORY.with_suffix(".png"), figure)


if __name__ == "__main__":
    main()
