"""A made data set that trains in a second, and its whole run by library calls."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genebatch.config import schema as configuration
from genebatch.dataset import profile as analysis
from genebatch.dataset import screen
from genebatch.dataset import similarity as group_features
from genebatch.ensemble import combining, distillation
from genebatch.ensemble import cross_scores as cross_batch
from genebatch.ensemble import final as consolidation
from genebatch.evaluation import test_groups as evaluation
from genebatch.plan import planning
from genebatch.report.figures import style as look
from genebatch.training import explain, single, split
from genebatch.training import recipe as training

CLASSES = ["neither", "donor", "acceptor"]
SCORES = {name: f"{name}_score" for name in CLASSES}
CONFIG = {
    "dataset": {
        "group": "gene_id",
        "label": "splice_type",
        "classes": CLASSES,
        "null_label": "neither",
        "scores": SCORES,
        "weight": "sample_weight",
        "position": "position",
        "metadata": ["chrom"],
    },
    "test": {"fraction": 0.2},
    "batching": {"max_genes": 10, "min_genes": 2, "min_positives": 1},
    "cv": {"n_splits": 3, "stop_fraction": 0.3},
    "learner": {"n_estimators": 40, "learning_rate": 0.2, "early_stopping_rounds": 5},
    "ensemble": {"combiner": "log_odds"},
    "explain": {"rows": 120, "families": {"signals": ["signal_*"]}},
    "evaluation": {"n_replicates": 100},
}


def make_rows(n_groups: int = 24, seed: int = 0) -> pl.DataFrame:
    """Groups of 20 to 45 rows: two columns tell the sites apart, the base scores know half of it.

    `noise_a`, `noise_b` and the counts but `2mer_AA` know nothing; `noise_b` has nulls.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 46, n_groups)
    n_rows = int(sizes.sum())
    codes = rng.choice(3, n_rows, p=[0.7, 0.15, 0.15])
    logits = np.log([0.7, 0.15, 0.15]) + rng.normal(0, 1, (n_rows, 3))
    logits[np.arange(n_rows), codes] += 1.5
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    noise = rng.normal(size=n_rows)
    columns = {
        "gene_id": np.repeat([f"g{number:02d}" for number in range(n_groups)], sizes),
        "chrom": np.repeat([f"chr{number % 5}" for number in range(n_groups)], sizes),
        "position": np.concatenate([np.arange(size) * 3 for size in sizes]),
        "splice_type": [None if code == 0 else CLASSES[code] for code in codes],
        "sample_weight": np.where(codes == 0, 3.0, 1.0),
        **{column: scores[:, number] for number, column in enumerate(SCORES.values())},
        "signal_donor": rng.normal(size=n_rows) + 2 * (codes == 1),
        "signal_acceptor": rng.normal(size=n_rows) + 2 * (codes == 2),
        "noise_a": rng.normal(size=n_rows),
        "noise_b": np.where(rng.random(n_rows) < 0.1, np.nan, noise),
        "2mer_AA": rng.poisson(0.1 + 0.8 * (codes == 1)),
        **{f"2mer_{pair}": rng.poisson(0.2, n_rows) for pair in ("CC", "GG", "TT")},
    }
    frame = pl.DataFrame(columns, schema_overrides={"splice_type": pl.String})
    return frame.with_columns(pl.col("^2mer_.*$").cast(pl.UInt8), pl.col("noise_b").fill_nan(None))


@dataclass(frozen=True)
class Run:
    """The files of one run under `folder`; every method is one rule.

    The ensemble goes without the batches of the plan that `missing` names.
    """

    folder: Path
    changes: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        keys = CONFIG.keys() | self.changes.keys()
        merged = {
            key: self.changes[key]
            if key == "final"
            else CONFIG.get(key, {}) | self.changes.get(key, {})
            for key in keys
        }
        merged["dataset"] = merged["dataset"] | {"path": str(self.folder / "data")}
        return configuration.resolve(merged)

    @property
    def batches(self) -> list[str]:
        planned = pl.read_csv(self.folder / "manifest.tsv", separator="\t")["batch"]
        return [batch for batch in planned if batch not in self.missing]

    def paths(self, batch: str = "") -> dict[str, Path]:
        names = ("profile.json", "genes.parquet", "test_groups.tsv", "features.json")
        names += ("screen.tsv", "manifest.tsv", "plan.parquet", "model.gbm", "coverage.tsv")
        names += ("times_held.tsv", "group_features.parquet", "similarity.json")
        found = {name.split(".")[0]: self.folder / name for name in names}
        if batch:
            names = ("out_of_fold.parquet", "folds.tsv", "metrics.tsv", "curves.parquet")
            names += (
                "models.gbm",
                "calibration.json",
                "model.gbm",
                "shap.parquet",
                "sample.parquet",
            )
            names += ("importance.tsv", "families.tsv")
            found |= {name.split(".")[0]: self.folder / batch / name for name in names}
            found["rows"] = self.folder / "rows" / f"{batch}.arrow"
        return found

    def write(self, rows: pl.DataFrame, n_shards: int = 3) -> None:
        """Whole groups in each shard, in row groups of 64 rows."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        names = rows["gene_id"].unique().sort().to_list()
        for number in range(n_shards):
            part = rows.filter(pl.col("gene_id").is_in(names[number::n_shards]))
            part.write_parquet(self.folder / "data" / f"part-{number}.parquet", row_group_size=64)

    def analyze(self) -> None:
        files = self.paths()
        analysis.analyze_dataset(self.config["dataset"], None, files["profile"], files["genes"])

    def plan(self) -> None:
        """Test groups, screen and batches."""
        files, config = self.paths(), self.config
        facts = (files["profile"], files["genes"], files["test_groups"])
        planning.choose_test_groups(files["genes"], config["test"], None, files["test_groups"])
        screen.screen_features(
            *facts, config["dataset"], config["screen"], files["features"], files["screen"]
        )
        described = None
        if config["batching"]["strategy"] == "similarity":
            described, similarity = files["group_features"], files["similarity"]
            similar_by = config["batching"]["similar_by"]
            group_features.describe_groups(
                *facts, files["features"], similar_by, described, similarity
            )
        outputs = files | {"genes": files["plan"], "memory": self.folder / "memory.json"}
        planning.plan_batches(*facts, files["features"], config, 8000, outputs, described)
        self.split()

    def split(self) -> None:
        files = self.paths()
        split.split_batches(files, self.folder / "rows")

    def cross_validate(self, batch: str) -> None:
        files, config = self.paths(batch), self.config
        parts = (config["dataset"], config["cv"], config["learner"])
        training.cross_validate_batch(files, batch, *parts, files)

    def train(self, batch: str, out: Path | None = None) -> Path:
        files, config = self.paths(batch), self.config
        out = out or self.folder / batch / "raw.gbm"
        training.train_batch(files, batch, config["dataset"], config["learner"], out)
        return out

    def calibrate(self, batch: str) -> None:
        files, config = self.paths(batch), self.config
        inputs = files | {"model": self.folder / batch / "raw.gbm"}
        weights = config["learner"]["use_weights"]
        parts = (config["dataset"], config["calibration"], weights)
        training.calibrate_batch(inputs, *parts, files)

    def explain(self, batch: str) -> None:
        files, config = self.paths(batch), self.config
        weights = config["learner"]["use_weights"]
        parts = (config["dataset"], config["explain"], weights, 1)
        explain.explain_batch(files, batch, *parts, files)

    def finish_batch(self, batch: str) -> None:
        self.cross_validate(batch)
        self.train(batch)
        self.calibrate(batch)

    @property
    def ensemble_files(self) -> dict[str, Path]:
        """The files of the ensemble stage by their names as inputs and outputs."""
        folder = self.folder / "ensemble"
        return {
            "scores": folder / "cross_batch.parquet",
            "combined": folder / "combined.parquet",
            "combiners": folder / "combiners.json",
            "ensemble": folder / "model.gbm",
        }

    def plan_files(self) -> dict[str, Path]:
        """Files before the batches; those of similar groups only where batches are of such."""
        similar = self.config["batching"]["strategy"] == "similarity"
        left_out = () if similar else ("similarity", "group_features")
        return {key: path for key, path in self.paths().items() if key not in left_out}

    def batch_lists(self) -> dict[str, list[Path]]:
        batches = [self.paths(batch) for batch in self.batches]
        return {key: [paths[key] for paths in batches] for key in ("models", "out_of_fold")} | {
            "models": [paths["model"] for paths in batches]
        }

    def cross_batch(self) -> Path:
        config, out = self.config, self.ensemble_files["scores"]
        inputs = self.plan_files() | self.batch_lists()
        parts = (config["dataset"], config["learner"]["use_weights"])
        cross_batch.cross_batch_scores(inputs, *parts, threads=1, output=out, missing=self.missing)
        return out

    def combine(self) -> None:
        config, files = self.config, self.ensemble_files
        inputs = self.plan_files() | self.batch_lists() | {"scores": files["scores"]}
        parts = (config["ensemble"], config["learner"]["use_weights"])
        outputs = files | {"model": files["ensemble"]}
        combining.combine_batches(inputs, *parts, outputs=outputs, missing=self.missing)

    def rival_files(self, name: str) -> dict[str, Path]:
        names = ("model.gbm", "honest.parquet", "folds.tsv", "metrics.tsv", "curves.parquet")
        names += ("calibration.json", "mixes.tsv")
        return {file.split(".")[0]: self.folder / name / file for file in names}

    def train_single(self) -> dict[str, Path]:
        config, outputs = self.config, self.rival_files("single")
        parts = [config[key] for key in ("dataset", "cv", "learner", "calibration")]
        single.train_single(self.paths(), *parts, outputs=outputs)
        return outputs

    def distil(self) -> dict[str, Path]:
        config, outputs = self.config, self.rival_files("distilled")
        parts = [config[key] for key in ("dataset", "cv", "learner", "calibration", "ensemble")]
        distillation.distil(self.paths() | self.ensemble_files, *parts, outputs=outputs)
        return outputs

    def rivals(self) -> dict[str, Path]:
        """Models and honest probabilities of the rivals that were trained."""
        found = {}
        for name in ("single", "distilled"):
            files = self.rival_files(name)
            if files["model"].exists():
                found |= {name: files["model"], f"{name}_honest": files["honest"]}
        return found

    def consolidate(self) -> None:
        files, config = self.paths(), self.config
        outputs = {
            "model": files["model"],
            "pickle": files["model"].with_suffix(".pkl"),
            "thresholds": self.folder / "thresholds.tsv",
            "candidates": self.folder / "candidates.tsv",
        }
        consolidation.consolidate(
            files | self.ensemble_files | self.rivals(),
            config["final"],
            config["calibration"]["prevalence"],
            outputs,
        )

    def make_model(self) -> None:
        """Every rule from the analysis of the shards to the model of all batches."""
        self.analyze()
        self.plan()
        for batch in self.batches:
            self.finish_batch(batch)
        self.cross_batch()
        self.combine()
        self.consolidate()

    def evaluate(self) -> dict[str, Path]:
        names = ("metrics.tsv", "systems.tsv", "comparison.tsv", "corrections.tsv")
        names += ("predictions.parquet",)
        outputs = {name.split(".")[0]: self.folder / "evaluation" / name for name in names}
        config = self.config
        evaluation.evaluate(
            self.paths() | self.ensemble_files | self.rivals(),
            config["dataset"],
            config["evaluation"],
            1,
            outputs,
        )
        return outputs


@pytest.fixture(scope="session")
def make_toy_rows() -> Callable[..., pl.DataFrame]:
    return make_rows


@pytest.fixture(scope="session")
def toy_rows() -> pl.DataFrame:
    return make_rows()


@pytest.fixture(scope="session")
def new_run() -> type[Run]:
    return Run


@pytest.fixture(scope="session")
def toy(tmp_path_factory, toy_rows) -> Run:
    """A finished run of two batches; tests read its files and change none."""
    run = Run(tmp_path_factory.mktemp("toy"))
    run.write(toy_rows)
    run.make_model()
    return run


@pytest.fixture(scope="session")
def lent(tmp_path_factory, toy_rows) -> Run:
    """A run of two batches that share some groups, as far as the combined probabilities."""
    changes = {"batching": {"overlap": 0.3}, "learner": CONFIG["learner"] | {"n_estimators": 15}}
    run = Run(tmp_path_factory.mktemp("lent"), changes)
    run.write(toy_rows)
    run.make_model()
    return run


@pytest.fixture
def figures(monkeypatch) -> list[look.Figure]:
    """The matplotlib figures that were drawn."""
    drawn = []

    class Recorded(look.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            drawn.append(self)

    monkeypatch.setattr(look, "Figure", Recorded)
    return drawn
