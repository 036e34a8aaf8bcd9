"""A made data set that trains in a second, and its whole run by steps."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import genebatch.steps.batches
import genebatch.steps.dataset
import genebatch.steps.ensemble
import genebatch.steps.evaluation
from genebatch.config import schema as configuration
from genebatch.config.settings import Settings
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import RowFile
from genebatch.dataset.row_pass import Part, write_row_files
from genebatch.dataset.shards import described
from genebatch.io.files import read_json
from genebatch.io.tables import read_tsv
from genebatch.model.held_out import ALONE
from genebatch.plan.planning import Plan, row_parts
from genebatch.report.figures import style

steps = genebatch.steps

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
    "batching": {"max_groups": 10, "min_groups": 2, "min_positives": 1},
    "cv": {"n_splits": 3, "stop_fraction": 0.3},
    "learner": {
        "n_estimators": 40,
        "learning_rate": 0.2,
        "max_bin": 256,
        "early_stopping_rounds": 5,
    },
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


def shuffled_labels(rows, groups, seed=1):
    """Labels permuted inside each of some groups, so that no count changes."""
    rng = np.random.default_rng(seed)
    labels = rows["splice_type"].to_numpy().copy()
    for group in groups:
        own = np.flatnonzero(rows["gene_id"].to_numpy() == group)
        labels[own] = labels[rng.permutation(own)]
    return rows.with_columns(pl.Series("splice_type", labels.tolist(), dtype=pl.String))


@dataclass(frozen=True)
class Run:
    """The files of one run under `folder`; every method is one rule, done by its step.

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
    def settings(self) -> Settings:
        return Settings.build(self.config)

    @property
    def batches(self) -> list[str]:
        planned = pl.read_csv(self.folder / "manifest.tsv", separator="\t")["batch"]
        return [batch for batch in planned if batch not in self.missing]

    def files(self, *names: str, folder: str = "") -> dict[str, Path]:
        """Paths by what stands before their endings."""
        return {name.split(".")[0]: self.folder / folder / name for name in names}

    def paths(self, batch: str = "") -> dict[str, Path]:
        names = ("profile.json", "groups.parquet", "test_groups.tsv", "features.json")
        names += ("screened.tsv", "manifest.tsv", "planned.parquet", "dataset.json", "memory.json")
        names += ("coverage.tsv", "times_held.tsv", "group_features.parquet", "similarity.json")
        paths = self.files(*names, "model.gbm")
        if batch:
            names = ("out_of_fold.parquet", "folds.tsv", "metrics.tsv", "curves.parquet")
            names += ("models.gbm", "uncalibrated.gbm", "calibration.json", "model.gbm")
            names += ("shap.parquet", "sample.parquet", "importance.tsv", "families.tsv")
            paths |= self.files(*names, folder=batch)
            paths["rows"] = self.folder / "rows" / f"{batch}.arrow"
        return paths

    def chosen(self, names: str, batch: str = "") -> dict[str, Path]:
        """Some of the paths, by names with blanks between them."""
        paths = self.paths(batch)
        return {name: paths[name] for name in names.split()}

    def row_files(self) -> list[Path]:
        """The row files of all batches of the plan, with a model or without."""
        return sorted(path for path in (self.folder / "rows").glob("b*.arrow"))

    def write(self, rows: pl.DataFrame, n_shards: int = 3) -> None:
        """Whole groups in each shard, in row groups of 64 rows."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        names = rows["gene_id"].unique().sort().to_list()
        for number in range(n_shards):
            part = rows.filter(pl.col("gene_id").is_in(names[number::n_shards]))
            part.write_parquet(self.folder / "data" / f"part-{number}.parquet", row_group_size=64)

    def analyze(self) -> None:
        steps.dataset.analyze_dataset(
            table=self.settings.table,
            test_column=None,
            threads=1,
            **self.chosen("profile groups"),
        )

    def plan(self) -> None:
        """Test groups, screen and batches."""
        settings = self.settings
        known = self.chosen("profile groups test_groups")
        steps.dataset.choose_test_groups(
            test=settings.test, keep=None, **self.chosen("groups test_groups")
        )
        steps.dataset.screen_features(
            labels=settings.table.labels,
            screening=settings.screen,
            **known,
            **self.chosen("features screened"),
        )
        if settings.batching.strategy == "similarity":
            steps.dataset.describe_groups(
                similar_by=settings.batching.similar_by,
                **known,
                **self.chosen("features group_features similarity"),
            )
        self.plan_batches()

    def plan_batches(self) -> None:
        """The plan with its row files."""
        settings = self.settings
        described = settings.batching.strategy == "similarity"
        steps.dataset.plan_batches(
            batching=settings.batching,
            planning=settings.planning,
            budget_mb=8000,
            batch_threads=1,
            rows=self.folder / "rows",
            group_features=self.paths()["group_features"] if described else None,
            **self.chosen("profile groups test_groups features manifest planned dataset memory"),
            **self.chosen("coverage times_held"),
        )

    def take_plan(self, planned: "Run") -> None:
        """Plan the present rows as another run did its own; groups must be of the same size."""
        for path in planned.chosen("features test_groups manifest planned dataset").values():
            shutil.copy(path, self.folder / path.name)
        paths = self.paths()
        plan = Plan(read_tsv(paths["manifest"]), pl.read_parquet(paths["planned"]))
        chosen = read_json(paths["features"])["digest"]
        kinds = read_json(paths["profile"])["identity_kinds"]
        labels = self.settings.table.labels
        self.write_rows(row_parts(plan, chosen, labels, {"identity_kinds": kinds}))

    def write_rows(self, parts: Sequence[Part]) -> None:
        """Row files of the analysed rows, with the features of this folder."""
        paths = self.paths()
        _, shards = described(read_json(paths["profile"]))
        features = Features.from_json(read_json(paths["features"]))
        labels = self.settings.table.labels
        write_row_files(shards, parts, features, labels, self.folder / "rows")

    def opened(self) -> list[RowFile]:
        """The row files of all batches, opened."""
        return [RowFile.open(path) for path in self.row_files()]

    @property
    def plan_lines(self) -> pl.DataFrame:
        """The plan's lines of training groups."""
        return pl.read_parquet(self.paths()["planned"]).filter(~pl.col("test"))

    @property
    def test_groups(self) -> list[str]:
        return read_tsv(self.paths()["test_groups"])["group"].to_list()

    def cross_validate(self, batch: str) -> None:
        steps.batches.cross_validate_batch(
            cv=self.settings.cv,
            learner=self.settings.learner,
            threads=1,
            **self.chosen("rows out_of_fold folds metrics curves models", batch),
        )

    def train(self, batch: str, out: Path | None = None) -> Path:
        paths = self.chosen("rows folds uncalibrated", batch)
        paths["uncalibrated"] = out or paths["uncalibrated"]
        steps.batches.train_batch(learner=self.settings.learner, threads=1, **paths)
        return paths["uncalibrated"]

    def calibrate(self, batch: str) -> None:
        steps.batches.calibrate_batch(
            method=self.settings.calibration.method,
            use_weights=self.settings.learner.use_weights,
            **self.chosen("out_of_fold uncalibrated calibration model", batch),
        )

    def explain(self, batch: str) -> None:
        steps.batches.explain_batch(
            explaining=self.settings.explain,
            use_weights=self.settings.learner.use_weights,
            threads=1,
            **self.chosen("rows uncalibrated models shap sample importance families", batch),
        )

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

    def of_batches(self, name: str) -> list[Path]:
        """A file of every batch that has a model."""
        return [self.paths(batch)[name] for batch in self.batches]

    def routed(self) -> dict[str, Path]:
        """What rows are routed by, where batches are of similar groups."""
        similar = self.settings.batching.strategy == "similarity"
        return self.chosen("similarity group_features") if similar else {}

    def cross_batch(self) -> Path:
        scores = self.ensemble_files["scores"]
        steps.ensemble.cross_batch_scores(
            rows=self.row_files(),
            models=self.of_batches("model"),
            out_of_fold=self.of_batches("out_of_fold"),
            use_weights=self.settings.learner.use_weights,
            missing=list(self.missing),
            score_rows=self.settings.score_rows,
            threads=1,
            scores=scores,
            **self.chosen("manifest planned"),
            **self.routed(),
        )
        return scores

    def combine(self) -> None:
        files = self.ensemble_files
        steps.ensemble.combine_batches(
            models=self.of_batches("model"),
            combining=self.settings.ensemble,
            use_weights=self.settings.learner.use_weights,
            missing=list(self.missing),
            model=files["ensemble"],
            **{name: files[name] for name in ("scores", "combiners", "combined")},
            **self.chosen("manifest planned"),
            **self.routed(),
        )

    def alone_files(self, name: str, folder: Path | None = None) -> dict[str, Path]:
        """The files of a candidate beside the ensemble, of this run or in a folder."""
        names = ("model.gbm", "held_out.parquet", "calibration.json")
        if name == "both":
            names = names[:2]
        elif name == "single":
            names += ("out_of_fold.parquet", "folds.tsv", "metrics.tsv", "curves.parquet")
        else:
            names += ("mixes.tsv",)
        return self.files(*names, folder=folder or name)

    def cross_validate_single(self, fold: int, folder: Path | None = None) -> dict[str, Path]:
        names = ("out_of_fold.parquet", "folds.tsv", "curves.parquet", "models.gbm")
        outputs = self.files(*names, folder=(folder or Path("single")) / f"fold{fold}")
        steps.ensemble.cross_validate_single(
            rows=self.row_files(),
            fold=fold,
            cv=self.settings.cv,
            learner=self.settings.learner,
            threads=1,
            **self.chosen("manifest"),
            **outputs,
        )
        return outputs

    def train_single(
        self, folder: Path | None = None, folds: Sequence[int] | None = None
    ) -> dict[str, Path]:
        settings, outputs = self.settings, self.alone_files("single", folder)
        held_out = range(int(settings.cv.n_splits)) if folds is None else folds
        parts = [self.cross_validate_single(number, folder) for number in held_out]
        steps.ensemble.train_single(
            rows=self.row_files(),
            fold_scores=[part["out_of_fold"] for part in parts],
            fold_trees=[part["folds"] for part in parts],
            fold_curves=[part["curves"] for part in parts],
            cv=settings.cv,
            learner=settings.learner,
            method=settings.calibration.method,
            threads=1,
            **self.chosen("manifest"),
            **outputs,
        )
        return outputs

    def add_single(self) -> dict[str, Path]:
        outputs, alone = self.alone_files("both"), self.alone_files("single")
        steps.ensemble.add_single(
            ensemble=self.ensemble_files["ensemble"],
            scores=self.ensemble_files["scores"],
            single=alone["model"],
            out_of_fold=alone["out_of_fold"],
            combining=self.settings.ensemble,
            use_weights=self.settings.learner.use_weights,
            **self.chosen("manifest planned"),
            **outputs,
        )
        return outputs

    def distil(self) -> dict[str, Path]:
        settings, outputs, files = self.settings, self.alone_files("distilled"), self.ensemble_files
        steps.ensemble.distil(
            rows=self.row_files(),
            cv=settings.cv,
            learner=settings.learner,
            method=settings.calibration.method,
            combining=settings.ensemble,
            threads=1,
            **self.chosen("manifest"),
            **{name: files[name] for name in ("ensemble", "scores", "combined")},
            **outputs,
        )
        return outputs

    def alone(self) -> dict[str, Path]:
        """Model files of the candidates beside the ensemble that were made."""
        models = {name: self.alone_files(name)["model"] for name in ALONE}
        return {name: path for name, path in models.items() if path.exists()}

    def held_out_alone(self) -> dict[str, Path]:
        """Their held-out scores."""
        return {f"{name}_held_out": self.alone_files(name)["held_out"] for name in self.alone()}

    def consolidate(self, folder: Path | None = None, **changes: Any) -> None:
        """Write the final model into a folder, from other inputs or with other settings."""
        out = folder or self.folder
        given = {
            "ensemble": self.ensemble_files["ensemble"],
            "combined": self.ensemble_files["combined"],
            "final": self.settings.final,
            "prevalence": self.settings.calibration.prevalence,
            "left_out": {},
            "model": out / "model.gbm",
            "document_model": out / "model_multiclass_all_genes.gbm",
            "pickle": out / "model_multiclass_all_genes.pkl",
            "thresholds": out / "thresholds.tsv",
            "candidates": out / "candidates.tsv",
            **self.chosen("manifest planned dataset"),
            **self.alone(),
            **self.held_out_alone(),
        }
        steps.ensemble.consolidate(**given | changes)

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
        outputs = self.files(*names, "predictions.parquet", folder="evaluation")
        files = self.ensemble_files
        steps.evaluation.evaluate(
            rows=self.folder / "rows" / "test.arrow",
            evaluation=self.settings.evaluation,
            threads=1,
            **self.chosen("model"),
            **{name: files[name] for name in ("ensemble", "combiners")},
            **self.alone(),
            **outputs,
        )
        return outputs


def finish(run: Run, rows: pl.DataFrame) -> None:
    """Write the rows as shards and make the model of all batches."""
    run.write(rows)
    run.make_model()


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
def toy(made_once, toy_rows) -> Run:
    """A finished run of two batches; tests read its files and change none."""
    return Run(made_once("toy", lambda folder: finish(Run(folder), toy_rows)))


@pytest.fixture(scope="session")
def lent(made_once, toy_rows) -> Run:
    """A run of two batches that share some groups, as far as the combined probabilities."""
    changes = {"batching": {"overlap": 0.3}, "learner": CONFIG["learner"] | {"n_estimators": 15}}
    return Run(made_once("lent", lambda folder: finish(Run(folder, changes), toy_rows)), changes)


@pytest.fixture
def figures(monkeypatch) -> list[style.Figure]:
    """The matplotlib figures that were drawn."""
    drawn = []

    class Recorded(style.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            drawn.append(self)

    monkeypatch.setattr(style, "Figure", Recorded)
    return drawn
