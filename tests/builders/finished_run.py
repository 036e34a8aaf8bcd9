"""A small data set with awkward names, and everything that a run writes about it."""

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.special import logit

from genebatch.config.schema import resolve
from genebatch.config.settings import Settings
from genebatch.dataset.feature_set import Features
from genebatch.dataset.rows import group_codes
from genebatch.evaluation.test_groups import HeldOutRows, compare, compare_systems, resample
from genebatch.io.files import read_json, write_json, write_parquet, write_tsv
from genebatch.io.tables import read_tsv
from genebatch.metrics.multiclass import corrections, score_table
from genebatch.model.archive import load_model
from genebatch.model.boosting import build_matrix, fit_trees
from genebatch.model.calibration import identity
from genebatch.model.ensemble import EQUAL, EnsembleModel, Member
from genebatch.model.origin import Origin
from genebatch.report.batch import BatchResults, summarise
from genebatch.report.settings import PrintedSettings
from genebatch.steps.batches import calibrate_batch
from genebatch.steps.report import diagnose_batch, write_report
from genebatch.training.cross_validation import fold_metrics

AWKWARD = ['<b>bold</b> & "it"', r"$\frac$|*x*", "plain"]
FEATURES = ["<i>gc</i>", "5mer_A|C"]
JOBS = (("train_batch", "b000", 500, 600.0), ("evaluate", "all", 500, 300.0))
BATCH_FIGURES = ("roc", "pr", "calibration", "learning_curves", "shap", "importance")
TEST_FIGURES = ("roc", "pr", "calibration", "members", "weights")
ABOVE, AROUND, BELOW = (0.01, 0.05), (-0.01, 0.05), (-0.05, -0.01)
FEW = "few"  # too few test groups for an interval
PNG = b"\x89PNG"
VOWELS = [f"vowel {number}" for number in range(4)]
SITES = ("donor", "acceptor")
ERRORS = ("corrected", "made", "missed_corrected", "missed_made", "false_corrected", "false_made")


def track_comparison():
    """The comparison on complete tracks of two sites; top-k has too few groups for an interval."""
    lines = [
        ("donor", "average_precision", 0.9, 0.95, 0.05, 0.01, 0.08, None),
        ("donor", "log_loss", 0.002, 0.001, -0.001, -0.0015, -0.0005, None),
        ("acceptor", "top_k", 0.5, 0.5, 0.0, None, None, "only 3 test groups"),
    ]
    names = ("class", "metric", "base", "model", "difference")
    names += ("difference_low", "difference_high", "reason")
    return pl.DataFrame(lines, schema=names, orient="row")


def track_curves():
    """Precision over recall on complete tracks, three points a curve."""
    lines = [
        (name, side, recall, precision, precision)
        for name in SITES
        for side, precision in (("base", 0.5), ("model", 0.75))
        for recall in (1.0, 0.5, 0.0)
    ]
    names = ("class", "scores", "recall", "precision", "average_precision")
    return pl.DataFrame(lines, schema=names, orient="row")


def example_gene():
    """A test gene of which the model finds a donor, and calls an acceptor that is none."""
    lines = [
        ("donor", 11, 0.2, 0.9, "found by the model"),
        ("acceptor", 30, 0.8, 0.9, "found by both"),
        ("acceptor", 50, 0.1, 0.6, "added by the model"),
    ]
    names = ("class", "position", "base", "model", "outcome")
    positions = [dict(zip(names, line, strict=True)) for line in lines]
    positions = [line | {"genomic_position": 100 + line["position"]} for line in positions]
    place = {"chrom": "chr1", "strand": "+", "start": 100, "end": 200, "length": 100}
    told = {"gene_id": "g1", "chosen_as": "typical", "exons": [[0, 12], [30, 100]], "sites": 2}
    return told | place | {"errors": {"base": 1, "model": 1}, "positions": positions}


def track_tiers(base_at=("default",)):
    """Calls by tier: of 10 canonical and 4 other sites of each class the model finds 9 and 1."""
    lines = []
    for at in base_at:
        for name, times in {"donor": 1, "acceptor": 1, "all": 2}.items():
            counts = {
                "canonical": (10, 0, 9, 0, 0.8, 0.9),
                "other": (4, 2, 1, 1, 0.5, 0.25),
                "other_gene": (6, 6, 2, 2, None, None),
                "unknown": (5, 5, 1, 1, None, None),
                "none": (900, 0, 3, 0, None, None),
            }
            for tier, (*numbers, base, model) in counts.items():
                positions, left_out, called, unlabelled = (times * n for n in numbers)
                line = {"class": name, "tier": tier, "base_at": at, "positions": positions}
                line |= {"left_out": left_out, "model_called": called}
                line |= {"model_left_out": unlabelled, "base_recall": base, "model_recall": model}
                lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def errors(at, limits, counts):
    """Lines of corrections: of both classes with these thresholds, and these counts of all."""
    lines = [
        {"class": name, "base_at": at, "base_threshold": limit, "model_threshold": 0.4}
        for name, limit in zip((*SITES, "all"), (*limits, None), strict=True)
    ]
    lines[-1]["model_threshold"] = None
    drawn = {"n": 10, "base_missed": 4, "base_false": 2, "model_missed": 1, "model_false": 1}
    return [line | drawn | dict(zip(ERRORS, counts, strict=True)) for line in lines]


def track_files(folder, lines):
    """Write the tables on complete tracks; `lines` are the corrections."""
    names = ("comparison", "corrections", "hybrid", "tiers", "curves", "summary", "examples")
    paths = {name: folder / f"tracks_{name}" for name in names}
    write_tsv(paths["comparison"], track_comparison())
    write_tsv(paths["corrections"], pl.DataFrame(lines, infer_schema_length=None))
    cost = {"low": [0.1], "share": [0.01], "change_donor": [-0.01], "change_acceptor": [None]}
    write_tsv(paths["hybrid"], pl.DataFrame(cost))
    write_tsv(paths["tiers"], track_tiers(tuple({line["base_at"]: 0 for line in lines})))
    write_tsv(paths["curves"], track_curves())
    counts = {"positions": 7, "genes": 2, "groups": 2}
    counts["left_out"] = {"foreign": 5, "ambiguous": 0, "other": 4}
    counts["canonical_by"] = {"MANE_Select": 1, "longest": 2}
    write_json(paths["summary"], counts | {"classes": {name: {} for name in SITES}})
    write_json(paths["examples"], {"genes": [example_gene()]})
    return {f"tracks_{name}": path for name, path in paths.items()}


class Data:
    """Rows of a small data set, and everything a batch and an evaluation write about it."""

    def __init__(
        self,
        folder,
        classes=AWKWARD,
        base=True,
        weight=True,
        absent=None,
        final="ensemble",
        n_members=2,
        single=True,
        sample=None,
        rest=None,
    ):
        """An ensemble and, where there is one, a `single` model, of which `final` was delivered.

        Its members scored a `sample` of the training groups, or all of them.
        """
        self.folder, self.classes, self.base, self.weight = folder, classes, base, weight
        self.final, self.single, self.sample = final, single, sample
        self.members = [f"b{number:03d}" for number in range(n_members)]
        rng = np.random.default_rng(3)
        self.codes = rng.integers(0, len(classes), 300)
        if absent is not None:
            self.codes[self.codes == absent] = (absent + 1) % len(classes)
        self.rows = self._rows(rng)
        self.config = resolve(
            {
                "dataset": {
                    "path": "data/<shards>",
                    "group": "gene_id",
                    "label": "kind",
                    "classes": classes,
                    "rest_class": rest,
                    "scores": {name: f"{name} score" for name in classes} if base else None,
                    "weight": "w" if weight else None,
                },
                "learner": {"start_from": "none", "n_estimators": 2},
                "ensemble": {"combiner": "stacked", "rivals": ["single"] if single else []},
                "final": final,
                "evaluation": {"n_replicates": 20},
            }
        )
        self.settings = Settings.build(self.config)

    def _rows(self, rng):
        signal = np.eye(len(self.classes))[self.codes]
        self.probability, scores = (self._scores(signal, noise, rng) for noise in (0.5, 1.0))
        rows = pl.DataFrame(
            {
                "group": [f"g{number % 10}" for number in range(300)],
                "label": [self.classes[code] for code in self.codes],
            }
        )
        if self.weight:
            rows = rows.with_columns(pl.Series("weight", rng.choice([1.0, 30.0], 300)))
        if self.base:
            self.scores = scores
            rows = rows.hstack(
                [pl.Series(f"score_{n}", scores[:, i]) for i, n in enumerate(self.classes)]
            )
        return rows

    @staticmethod
    def _scores(signal, noise, rng):
        raw = np.exp(signal + noise * rng.normal(size=signal.shape))
        return raw / raw.sum(axis=1, keepdims=True)

    @property
    def model(self):
        """A model of two members on two features, saved."""
        path = self.folder / "model.gbm"
        if not path.exists():
            x = np.column_stack([self.codes, self.codes % 2]).astype(np.float32)
            learner = self.settings.learner.for_rows(0)
            matrix = build_matrix([x], 2, learner.max_bin, 1)
            ones = np.ones(300)
            boosters = tuple(
                fit_trees(matrix, self.codes == column, ones, None, 2, learner)
                for column in range(len(self.classes))
            )
            calibrators = tuple(identity(np.zeros(1)) for _ in boosters)
            shares = (1.0,) * len(boosters)
            members = tuple(
                Member(name, boosters, calibrators, (f"{name}-group",), shares, {"rows": 300})
                for name in (self.members if self.final == "ensemble" else [self.final])
            )
            EnsembleModel(
                members=members,
                features=Features(tuple(FEATURES), 1),
                classes=tuple(self.classes),
                scores=None,
                combiner=self.combiner if self.final == "ensemble" else EQUAL,
                prevalence=None,
                columns={"group": "gene_id", "label": "kind", "weight": None, "position": None},
                facts={"final": self.final}
                | ({"sample": self.sample._asdict()} if self.sample else {}),
            ).save(path)
        return path

    @property
    def combiner(self):
        return {"name": "stacked", "parameters": self.combiners()["stacked"]}

    def combiners(self):
        """Parameters of combiners; the first member has all the weight but one equal share."""
        weights = [1 / len(self.members)] * len(self.members)
        weights[0] += 0.5
        learned = {
            "weights": [weights] * len(self.classes),
            "intercept": [0.0] * len(self.classes),
        }
        return {"log_odds": {}, "stacked": learned}

    def batch(self, n_folds=2):
        """Write what the rules of a batch write; give the inputs of `diagnose_batch`."""
        paths = {
            key: self.folder / name
            for key, name in {
                "out_of_fold": "oof.parquet",
                "folds": "folds.tsv",
                "metrics": "metrics.tsv",
                "curves": "curves.parquet",
                "calibration": "calibration.json",
                "shap": "shap.parquet",
                "sample": "sample.parquet",
                "importance": "importance.tsv",
                "families": "families.tsv",
            }.items()
        }
        margins = logit(self.probability).astype(np.float32)
        fold = pl.Series("fold", [int(g[1:]) % n_folds for g in self.rows["group"]])
        rows = self.rows.hstack(
            [fold, *(pl.Series(f"margin_{n}", margins[:, i]) for i, n in enumerate(self.classes))]
        )
        origin = Origin("rows", {})
        write_parquet(paths["out_of_fold"], rows, origin.metadata())
        labels = self.settings.table.labels
        fold_metrics(rows, labels).write_csv(paths["metrics"], separator="\t")
        whole = load_model(self.model)
        raw = self.folder / "uncalibrated.gbm"
        first = whole.members[0]
        first = first._replace(facts=first.facts | origin.facts())
        replace(whole, members=(first,), combiner=EQUAL).save(raw)
        calibrate_batch(
            out_of_fold=paths["out_of_fold"],
            uncalibrated=raw,
            method=self.settings.calibration.method,
            use_weights=self.weight,
            calibration=paths["calibration"],
            model=self.folder / "batch.gbm",
        )
        lines, curves = [], []
        for name in self.classes:
            for number in range(n_folds):
                trees = 10 * (number + 1)
                line = {"fold": number, "class": name, "n_trees": trees, "verdict": "good"}
                lines.append(line)
                loss = np.linspace(0.5, 0.1, 31)
                columns = {"n_trees": range(31), "train_log_loss": loss, "stop_log_loss": loss}
                keys = (pl.lit(number).alias("fold"), pl.lit(name).alias("class"))
                curves.append(pl.DataFrame(columns).with_columns(keys))
        pl.DataFrame(lines).write_csv(paths["folds"], separator="\t")
        pl.concat(curves).write_parquet(paths["curves"])
        self._explanation(paths)
        return paths

    def _explanation(self, paths):
        rng = np.random.default_rng(5)
        shap, importance, families = [], [], []
        for name in self.classes:
            values = {"(start)": [1.0] * 40} | {f: rng.normal(size=40) for f in FEATURES}
            columns = (pl.lit(name).alias("class"), self.rows["label"][:40])
            shap.append(pl.DataFrame(values).select(columns[0], "(start)", columns[1], *FEATURES))
            for place, feature in enumerate(["(start)", *FEATURES]):
                line = {"class": name, "feature": feature, "family": "all", "total_gain": 1.0}
                importance.append(line | {"mean_abs_shap": 3.0 - place})
            line = {"class": name, "family": "all", "features": 2, "log_loss_rise": 0.1}
            families.append(line | {"standard_error": None})
        pl.concat(shap).write_parquet(paths["shap"])
        shap[0].drop("class", "(start)").write_parquet(paths["sample"])
        pl.DataFrame(importance).write_csv(paths["importance"], separator="\t")
        pl.DataFrame(families).write_csv(paths["families"], separator="\t")

    def evaluation(self, intervals):
        """Write an evaluation whose difference has these intervals, class by class."""
        weight = self.rows["weight"].to_numpy() if self.weight else None
        groups = group_codes(self.rows)
        systems = {"base": self.scores} if self.base else {}
        systems |= {"model": self.probability, "log_odds": self.probability**0.5}
        systems["log_odds"] /= systems["log_odds"].sum(axis=1, keepdims=True)
        systems |= {"stacked": self.probability}
        systems |= {"single": self.probability[:, ::-1]} if self.single else {}
        systems |= {f"member {name}": self.probability for name in self.members}
        metrics = pl.concat(
            score_table(self.codes, p, self.classes, weight, groups, system)
            for system, p in systems.items()
        )
        lines = []
        for name, ends in zip(self.classes, intervals, strict=True):
            for weighted in (False, True) if self.weight else (False,):
                few = ends == FEW
                known = None if few else ends[weighted] if isinstance(ends, dict) else ends
                low, high = known or (None, None)
                line = {"class": name, "metric": "average_precision", "weighted": weighted}
                line["groups"] = 1 if few else 10
                line |= {"base_low": None, "base_high": None}
                line |= {"model_low": 0.5 if known else None}
                line["model_high"] = 0.9 if known else None
                lines.append(line | {"difference_low": low, "difference_high": high})
        ends = {
            f"{s}_{e}": pl.Float64 for s in ("base", "model", "difference") for e in ("low", "high")
        }
        table = pl.DataFrame(lines, schema_overrides=ends, infer_schema_length=None)
        judged = HeldOutRows(self.codes, systems, self.classes, weight, groups)
        resampled = resample(judged, self.settings.evaluation)
        in_use = "stacked" if self.final == "ensemble" else self.final
        known = compare_systems(judged, metrics, resampled, in_use)
        if FEW in intervals:
            known = known.with_columns(pl.col("^over_.*_(low|high)$") * None)
        changed = pl.DataFrame(schema={"class": pl.String, "n": pl.Int64})
        if self.base:
            changed = corrections(self.codes, self.scores, self.probability, self.classes, weight)
        paths = {
            key: self.folder / f"e_{key}.tsv"
            for key in ("metrics", "comparison", "systems", "estimate")
        }
        paths["corrections"] = self.folder / "corrections.tsv"
        for key, written in {
            "metrics": metrics,
            "comparison": self._compared(judged, metrics, resampled, table),
            "systems": known,
            "estimate": known,
            "corrections": changed,
        }.items():
            written.write_csv(paths[key], separator="\t")
        paths["predictions"] = self.folder / "predictions.parquet"
        columns = enumerate(self.classes)
        probabilities = [pl.Series(f"probability_{n}", self.probability[:, i]) for i, n in columns]
        self.rows.hstack(probabilities).write_parquet(paths["predictions"])
        return paths

    @staticmethod
    def _compared(judged, metrics, resampled, intervals):
        """The comparison with these intervals in place of those of the resamples."""
        real = compare(judged, metrics, resampled)
        kept = [name for name in real.columns if name not in intervals.columns[3:]]
        keys = ["class", "metric", "weighted"]
        return real.select(kept).join(intervals, on=keys, how="left", maintain_order="left")

    def candidates(self):
        path = self.folder / "candidates.tsv"
        lines = [
            ("ensemble", 0.25, 0.125, 0.0625, 0.1875, len(self.members), 60, None),
            ("single", 0.125, 0.0, None, None, 1, 30, "lowest loss"),
        ]
        names = ("candidate", "log_loss", "difference", "difference_low", "difference_high")
        names += ("members", "trees", "reason")
        table = pl.DataFrame(lines[: 1 + self.single], schema=names, orient="row")
        chosen = (pl.col("candidate") == self.final).alias("chosen")
        judged = (pl.lit(20).alias("groups"), pl.lit(300).alias("rows"), chosen)
        table.with_columns(*judged).write_csv(path, separator="\t")
        return path

    def thresholds(self):
        path = self.folder / "thresholds.tsv"
        lines = [
            (system, name, weighted, limit, 0.75, 0.5, 0.6, None if number else "no positive rows")
            for system, limit in (("model", 0.25), *([("base", 0.375)] if self.base else []))
            for number, name in enumerate(self.classes)
            for weighted in ([False, True] if self.weight else [False])
        ]
        names = ("system", "class", "weighted", "threshold", "precision", "recall", "f1", "reason")
        table = pl.DataFrame(lines, schema=names, orient="row")
        missing = pl.col("reason").is_not_null()
        numbers = [pl.when(~missing).then(pl.col(name)).alias(name) for name in names[3:7]]
        table.with_columns(numbers).write_csv(path, separator="\t")
        return path

    def diagnose(self, batch="b000"):
        """Diagnose a batch; give its figures by name, and its summary."""
        figures = {name: self.folder / f"{name}.png" for name in BATCH_FIGURES}
        summary = self.folder / "summary.json"
        written = {f"{name}_figure": path for name, path in figures.items()}
        given = {"batch": batch, "classes": self.classes, **self.batch()}
        diagnose_batch(**given, **written, summary=summary)
        return figures, summary

    def summary(self):
        """Sum a batch up without its figures, which take seconds to draw."""
        paths = self.batch()
        results = BatchResults(
            name="b000",
            classes=self.classes,
            rows=pl.read_parquet(paths["out_of_fold"]),
            curves=pl.read_parquet(paths["curves"]),
            calibration=read_json(paths["calibration"])["classes"],
            **{key: read_tsv(paths[key]) for key in ("folds", "metrics", "importance", "families")},
        )
        write_json(self.folder / "summary.json", summarise(results))
        return self.folder / "summary.json"

    def report(self, inputs):
        """Write the page and the card from these inputs; give both as text."""
        page, card = self.folder / "index.html", self.folder / "CARD.md"
        figures = {f"{name}_figure": self.folder / f"e_{name}.png" for name in TEST_FIGURES}
        settings = PrintedSettings.build(self.config)
        write_report(settings=settings, page=page, card=card, **figures, **inputs)
        return page.read_text(), card.read_text()

    def run(self, intervals, usage=JOBS):
        """Write everything a report reads; give the inputs of `write_report`."""
        summary = self.summary()
        dataset = {
            "rows": 600,
            "groups": 20,
            "digest": "abc",
            "files": 1,
            "bytes": 1000,
            "classes": {name: 200 for name in self.classes},
            "problems": [{"level": "note", "message": "column '<x>' is constant"}],
        }
        write_json(self.folder / "dataset.json", dataset)
        screen = {
            "column": ["gene_id", "<u>leak</u>", *FEATURES],
            "role": ["group", "dropped", "feature", "feature"],
            "kept": [False, False, True, True],
            "reason": ["set by dataset.group", "leak: AUC 1.0", "passed", "passed"],
        }
        pl.DataFrame(screen).write_csv(self.folder / "screen.tsv", separator="\t")
        manifest = pl.DataFrame({"batch": ["b000"], "groups": [7], "folds": [3], "rows": [300]})
        manifest.write_csv(self.folder / "manifest.tsv", separator="\t")
        held = {"batch": ["b000"], "groups": [7], "lent": [2], "rows": [300]}
        held |= {"rows_per_group": [33.3], "weight_share": [1.0], "complexity": [0.875]}
        pl.DataFrame(held).write_csv(self.folder / "coverage.tsv", separator="\t")
        times = {"role": ["training"] * 3 + ["test"], "batches": [0, 1, 2, 0]}
        times |= {"groups": [0, 1, 1203, 11], "rows": [0, 100, 200, 300]}
        pl.DataFrame(times).write_csv(self.folder / "times_held.tsv", separator="\t")
        combiners = self.folder / "combiners.json"
        write_json(combiners, {"members": self.members, "combiners": self.combiners()})
        records = []
        for rule, batch, declared, peak in usage:
            records.append(self.folder / "usage" / rule / f"{batch}.json")
            record = {"declared_mb": declared, "peak_mb": peak, "seconds": 1.5, "threads": 2}
            write_json(records[-1], record)
        return {
            "dataset": self.folder / "dataset.json",
            "screen": self.folder / "screen.tsv",
            "manifest": self.folder / "manifest.tsv",
            "coverage": self.folder / "coverage.tsv",
            "times_held": self.folder / "times_held.tsv",
            "summaries": [summary],
            "usage_records": records,
            "model": self.model,
            "thresholds": self.thresholds(),
            "candidates": self.candidates(),
            "importance": self.folder / "importance.tsv",
            "final_families": self.folder / "families.tsv",
            "combiners": combiners,
            **self.evaluation(intervals),
        }
