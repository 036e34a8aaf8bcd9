"""Trains a model by the steps of the workflow, one after the other in this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from genebatch.config.settings import Settings
from genebatch.dataset.categories import learn
from genebatch.dataset.screen import feature_set
from genebatch.dataset.shards import described
from genebatch.io.files import read_json, read_parquet, write_json, write_tsv
from genebatch.io.tables import read_tsv
from genebatch.jobs.limits import run_limit_mb
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel
from genebatch.model.held_out import score_names
from genebatch.plan.single import ONE_BATCH, final_of, held_out_folds, left_out_with
from genebatch.steps import batches, dataset, ensemble


class Trained(NamedTuple):
    """What a run gives.

    Attributes
    ----------
    model
        The delivered model.
    candidates
        How the candidates compare; see `candidates.compare_candidates`.
    held_out
        `group` and, for each class, the held-out probability of the delivered model; the rows in
        the order of the table. A group has all its rows or none.
    """

    model: EnsembleModel
    candidates: pl.DataFrame
    held_out: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """A run of a table in Parquet, all of whose groups are training groups.

    Attributes
    ----------
    folder
        Where all files of the run go.
    settings
        A whole configuration. Its sections for test groups and the screen count for nothing: every
        column is a feature.
    threads
        Threads that boost.
    """

    folder: Path
    settings: Settings
    threads: int

    def train(self) -> Trained:
        """Train all candidates, and choose the model that is delivered."""
        self._plan()
        names = read_tsv(self._file("manifest"))["batch"].to_list()
        for name in names:
            self._batch(name)
        self._ensemble(names)
        left_out = self._left_out(len(names))
        beside = [name for name in self.settings.beside if name not in left_out]
        if "single" in beside:
            self._single(names)
        if "both" in beside:
            self._both()
        if "distilled" in beside:
            self._distilled(names)
        return self._deliver(names, beside)

    def _plan(self) -> None:
        settings = self.settings
        analysed = self._files("profile groups")
        dataset.analyze_dataset(
            table=settings.table, test_column=None, threads=self.threads, **analysed
        )
        write_json(self._file("features"), self._features(analysed))
        write_tsv(self._file("test_groups"), pl.DataFrame(schema={"group": pl.String}))
        known = self._files("profile groups test_groups features")
        if self._routed:
            dataset.describe_groups(
                similar_by=settings.batching.similar_by, **known, **self._routed
            )
        limit = run_limit_mb(settings.resources.memory_mb)
        dataset.plan_batches(
            batching=settings.batching,
            planning=settings.planning,
            budget_mb=int(limit / settings.resources.mem_factor),
            batch_threads=self.threads,
            rows=self._file("rows"),
            group_features=self._routed.get("group_features"),
            **known,
            **self._files("manifest planned dataset memory coverage times_held"),
        )

    def _features(self, analysed: Mapping[str, str]) -> dict[str, Any]:
        """The feature set of all columns of features."""
        facts, settings = read_json(analysed["profile"]), self.settings
        roles, shards = described(facts)
        groups = read_parquet(analysed["groups"])
        most = settings.screen.max_categories
        learned = learn(shards, groups, roles.group, roles.categorical, most)
        categories = {name: of.names for name, of in learned.items()}
        # A column without any category has no number.
        names = [name for name in roles.candidates if categories.get(name, True)]
        return feature_set(names, facts["columns"], categories)

    def _batch(self, name: str) -> None:
        """The finished model of a batch."""
        learner, rows = self.settings.learner, self._row_files([name])[0]
        batches.cross_validate_batch(
            rows=rows,
            cv=self.settings.cv,
            learner=learner,
            threads=self.threads,
            **self._files("out_of_fold folds metrics curves models", name),
        )
        batches.train_batch(
            rows=rows,
            learner=learner,
            threads=self.threads,
            **self._files("folds uncalibrated", name),
        )
        batches.calibrate_batch(
            method=self.settings.calibration.method,
            use_weights=learner.use_weights,
            **self._files("out_of_fold uncalibrated calibration model", name),
        )

    def _ensemble(self, names: Sequence[str]) -> None:
        models = [self._file("model", name) for name in names]
        given = {"models": models, "use_weights": self.settings.learner.use_weights, "missing": []}
        given |= self._files("manifest planned") | self._routed
        ensemble.cross_batch_scores(
            rows=self._row_files(names),
            out_of_fold=[self._file("out_of_fold", name) for name in names],
            score_rows=self.settings.score_rows,
            threads=self.threads,
            scores=self._file("scores", "ensemble"),
            **given,
        )
        ensemble.combine_batches(
            combining=self.settings.ensemble,
            **given,
            **self._files("scores model combiners combined", "ensemble"),
        )

    def _left_out(self, n_batches: int) -> dict[str, str]:
        """The candidates that are not trained, and why."""
        return left_out_with(ONE_BATCH if n_batches == 1 else None, self.settings.beside)

    def _single(self, names: Sequence[str]) -> None:
        settings = self.settings
        given = {
            "rows": self._row_files(names),
            "cv": settings.cv,
            "learner": settings.learner,
            "threads": self.threads,
        } | self._files("manifest")
        parts = []
        for fold in self._single_folds():
            parts.append(self._files("out_of_fold folds curves models", f"single/{fold}"))
            ensemble.cross_validate_single(fold=fold, **given, **parts[-1])
        ensemble.train_single(
            fold_scores=[part["out_of_fold"] for part in parts],
            fold_trees=[part["folds"] for part in parts],
            fold_curves=[part["curves"] for part in parts],
            method=settings.calibration.method,
            **given,
            **self._files("model held_out out_of_fold folds metrics curves calibration", "single"),
        )

    def _both(self) -> None:
        ensemble.add_single(
            ensemble=self._file("model", "ensemble"),
            scores=self._file("scores", "ensemble"),
            single=self._file("model", "single"),
            out_of_fold=self._file("out_of_fold", "single"),
            combining=self.settings.ensemble,
            use_weights=self.settings.learner.use_weights,
            **self._files("manifest planned"),
            **self._files("model held_out", "both"),
        )

    def _distilled(self, names: Sequence[str]) -> None:
        settings = self.settings
        ensemble.distil(
            rows=self._row_files(names),
            ensemble=self._file("model", "ensemble"),
            cv=settings.cv,
            learner=settings.learner,
            method=settings.calibration.method,
            combining=settings.ensemble,
            threads=self.threads,
            **self._files("manifest"),
            **self._files("scores combined", "ensemble"),
            **self._files("model held_out mixes calibration", "distilled"),
        )

    def _single_folds(self) -> range:
        lines = read_tsv(self._file("manifest")).to_dicts()
        return held_out_folds(lines, self.settings.single, self.settings.ensemble.uncertainty)

    def _fold_models(self, names: Sequence[str], beside: Sequence[str]) -> dict[str, list[str]]:
        """The models of the folds, of which the delivered model may keep its own."""
        if not self.settings.ensemble.uncertainty:
            return {}
        single = self._single_folds() if "single" in beside else []
        return {
            "batch_folds": [self._file("models", name) for name in names],
            "single_folds": [self._file("models", f"single/{fold}") for fold in single],
        }

    def _deliver(self, names: Sequence[str], beside: Sequence[str]) -> Trained:
        settings = self.settings
        models = {name: self._file("model", name) for name in beside}
        scored = {f"{name}_held_out": self._file("held_out", name) for name in beside}
        delivered = self._files("model document_model pickle thresholds candidates", "delivered")
        ensemble.consolidate(
            ensemble=self._file("model", "ensemble"),
            combined=self._file("combined", "ensemble"),
            final=final_of(settings.final, len(names)),
            prevalence=settings.calibration.prevalence,
            left_out=self._left_out(len(names)),
            **self._files("manifest planned dataset"),
            **models,
            **scored,
            **self._fold_models(names, beside),
            **delivered,
        )
        model = load_model(delivered["model"], threads=self.threads)
        chosen = model.facts["final"]
        files = {"ensemble": self._file("combined", "ensemble")}
        files |= {name: scored[f"{name}_held_out"] for name in beside}
        columns = score_names(self._scores_of(chosen), model.classes)
        held_out = read_parquet(files[chosen], columns=["group", *columns])
        return Trained(model, read_tsv(delivered["candidates"]), held_out)

    def _scores_of(self, candidate: str) -> str:
        """The name of a candidate's held-out scores."""
        return self.settings.ensemble.combiner if candidate == "ensemble" else candidate

    @property
    def _routed(self) -> dict[str, str]:
        """What rows are routed by, where batches are of similar groups."""
        similar = self.settings.batching.strategy == "similarity"
        return self._files("group_features similarity") if similar else {}

    def _row_files(self, names: Sequence[str]) -> list[str]:
        return [str(self.folder / "rows" / f"{name}.arrow") for name in names]

    def _file(self, name: str, folder: str = "") -> str:
        return str(self.folder / folder / name)

    def _files(self, names: str, folder: str = "") -> dict[str, str]:
        """Paths by the names of a step's arguments, which have blanks between them."""
        return {name: self._file(name, folder) for name in names.split()}
