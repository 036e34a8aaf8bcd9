"""The page, the card and the summary say what the tables say, and nothing else."""

import html
import json
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from scipy.special import logit

from genebatch import load_model, plots
from genebatch.calibration import identity
from genebatch.config import resolve
from genebatch.dataset import Features
from genebatch.evaluation import compare
from genebatch.files import write_json
from genebatch.learner import build_matrix, fit_trees
from genebatch.metrics import corrections, score_table
from genebatch.model import EnsembleModel, Member
from genebatch.report import (
    COLUMNS,
    cell,
    diagnose_batch,
    summarise,
    usage_by_rule,
    verdict_word,
    write_report,
)
from genebatch.training import calibrate_batch, fold_metrics

AWKWARD = ['<b>bold</b> & "it"', r"$\frac$|*x*", "plain"]
FEATURES = ["<i>gc</i>", "5mer_A|C"]
PNG = b"\x89PNG"
JOBS = (("train_batch", "b000", 500, 600.0), ("evaluate", "all", 500, 300.0))


class Data:
    """Rows of a small data set, and everything a batch and an evaluation write about it."""

    def __init__(self, folder, classes=AWKWARD, base=True, weight=True, absent=None):
        self.folder, self.classes, self.base, self.weight = folder, classes, base, weight
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
                    "scores": {name: f"{name} score" for name in classes} if base else None,
                    "weight": "w" if weight else None,
                },
                "learner": {"start_from": "none", "n_estimators": 2},
            }
        )

    def _rows(self, rng):
        signal = np.eye(len(self.classes))[self.codes]
        self.probability, scores = (self._system(signal, noise, rng) for noise in (0.5, 1.0))
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
    def _system(signal, noise, rng):
        raw = np.exp(signal + noise * rng.normal(size=signal.shape))
        return raw / raw.sum(axis=1, keepdims=True)

    @property
    def model(self):
        """A model of two members on two features, saved."""
        path = self.folder / "model.gbm"
        if not path.exists():
            x = np.column_stack([self.codes, self.codes % 2]).astype(np.float32)
            settings = self.config["learner"]
            matrix = build_matrix([x], 2, settings["max_bin"], 1)
            ones = np.ones(300)
            boosters = tuple(
                fit_trees(matrix, self.codes == column, ones, None, 2, settings)
                for column in range(len(self.classes))
            )
            calibrators = tuple(identity(np.zeros(1)) for _ in boosters)
            shares = (1.0,) * len(boosters)
            members = tuple(
                Member(name, boosters, calibrators, (f"{name}-group",), shares, {"rows": 300})
                for name in ("b000", "b001")
            )
            EnsembleModel(
                members=members,
                features=Features(tuple(FEATURES), 1),
                classes=tuple(self.classes),
                scores=None,
                combiner={"name": "voting", "parameters": {}},
                prevalence=None,
                columns={"group": "gene_id", "label": "kind", "weight": None, "position": None},
                facts={},
            ).save(path)
        return path

    def batch(self, n_folds=2):
        """Write what the rules of a batch write; gives the inputs of `diagnose_batch`."""
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
        rows.write_parquet(paths["out_of_fold"])
        fold_metrics(rows, self.classes).write_csv(paths["metrics"], separator="\t")
        outputs = {"calibration": paths["calibration"], "model": self.folder / "batch.gbm"}
        single = {"out_of_fold": paths["out_of_fold"], "model": self.model}
        dataset = self.config["dataset"]
        calibrate_batch(single, dataset, self.config["calibration"], self.weight, outputs)
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
            shap.append(pl.DataFrame(values).select(*columns, "(start)", *FEATURES))
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
        groups = self.rows["group"].rank("dense").to_numpy().astype(int)
        systems = {"ensemble": self.probability}
        if self.base:
            systems["base"] = self.scores
        systems["member b000"] = self.probability
        metrics = pl.concat(
            score_table(self.codes, p, self.classes, weight, groups, system)
            for system, p in systems.items()
        )
        lines = []
        for name, ends in zip(self.classes, intervals, strict=True):
            for weighted in (False, True) if self.weight else (False,):
                low, high = (ends[weighted] if isinstance(ends, dict) else ends) or (None, None)
                line = {"class": name, "metric": "average_precision", "weighted": weighted}
                line |= {"base_low": None, "base_high": None}
                line |= {"ensemble_low": 0.5 if ends else None, "ensemble_high": 0.9}
                lines.append(line | {"difference_low": low, "difference_high": high})
        ends = {f"{s}_{e}": pl.Float64 for s in ("base", "difference") for e in ("low", "high")}
        table = pl.DataFrame(lines, schema_overrides=ends, infer_schema_length=None)
        changed = pl.DataFrame(schema={"class": pl.String, "n": pl.Int64})
        if self.base:
            changed = corrections(self.codes, self.scores, self.probability, self.classes, weight)
        paths = {key: self.folder / f"e_{key}.tsv" for key in ("metrics", "comparison")}
        paths["corrections"] = self.folder / "corrections.tsv"
        for key, written in {
            "metrics": metrics,
            "comparison": compare(metrics, table),
            "corrections": changed,
        }.items():
            written.write_csv(paths[key], separator="\t")
        paths["predictions"] = self.folder / "predictions.parquet"
        columns = enumerate(self.classes)
        probabilities = [pl.Series(f"probability_{n}", self.probability[:, i]) for i, n in columns]
        self.rows.hstack(probabilities).write_parquet(paths["predictions"])
        return paths

    def run(self, intervals, usage=JOBS):
        """Write everything a report reads; gives the inputs of `write_report`."""
        outputs = {key: self.folder / f"{key}.png" for key in DRAWN}
        summary = self.folder / "summary.json"
        diagnose_batch(self.batch(), "b000", self.config["dataset"], outputs | {"summary": summary})
        profile = {
            "rows": 600,
            "groups": 20,
            "digest": "abc",
            "shards": [{"path": "p", "rows": 600, "row_groups": 1, "bytes": 1000}],
            "classes": {name: 200 for name in self.classes},
            "roles": {
                "group": "gene_id",
                "label": "kind",
                "weight": "w" if self.weight else None,
                "scores": self.config["dataset"]["scores"] or {},
            },
            "problems": [{"level": "note", "message": "column '<x>' is constant"}],
        }
        write_json(self.folder / "profile.json", profile)
        screen = {
            "column": ["gene_id", "<u>leak</u>", *FEATURES],
            "role": ["group", "dropped", "feature", "feature"],
            "kept": [False, False, True, True],
            "reason": ["set by dataset.group", "leak: AUC 1.0", "passed", "passed"],
        }
        pl.DataFrame(screen).write_csv(self.folder / "screen.tsv", separator="\t")
        manifest = pl.DataFrame({"batch": ["b000"], "genes": [7]})
        manifest.write_csv(self.folder / "manifest.tsv", separator="\t")
        records = []
        for rule, batch, declared, peak in usage:
            records.append(self.folder / "usage" / rule / f"{batch}.json")
            record = {"declared_mb": declared, "peak_mb": peak, "seconds": 1.5, "threads": 2}
            write_json(records[-1], record)
        return {
            "profile": self.folder / "profile.json",
            "screen": self.folder / "screen.tsv",
            "manifest": self.folder / "manifest.tsv",
            "summaries": [summary],
            "usage": records,
            "model": self.model,
            **self.evaluation(intervals),
        }


DRAWN = ("roc", "pr", "calibration", "learning_curves", "shap", "importance")
ABOVE, AROUND, BELOW = (0.01, 0.05), (-0.01, 0.05), (-0.05, -0.01)


class Page(HTMLParser):
    """Text, tooltips, tags and loaded addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.words, self.titles, self.tags, self.loaded = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for key, value in attrs:
            if key == "title":
                self.titles.append(value)
            if key in ("src", "href"):
                self.loaded.append(value)

    def handle_data(self, data):
        if self.lasttag != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write a run's report once per kind of data; gives data, page and card."""
    known = {}

    def write(key, intervals=(ABOVE, AROUND, {True: BELOW, False: AROUND}), usage=None, **options):
        if key not in known:
            data = Data(tmp_path_factory.mktemp(key), **options)
            given = {} if usage is None else {"usage": usage}
            inputs = data.run(intervals, **given)
            outputs = {name: data.folder / f"e_{name}.png" for name in FIGURES}
            outputs |= {"page": data.folder / "index.html", "card": data.folder / "CARD.md"}
            write_report(inputs, data.config, outputs)
            known[key] = data, outputs["page"].read_text(), outputs["card"].read_text()
        return known[key]

    return write


FIGURES = ("roc", "pr", "calibration", "members")
VOWELS = [f"vowel {number}" for number in range(4)]


def bare(written):
    """Classes without base scores or weights."""
    return written("bare", (ABOVE,) * 4, (), classes=VOWELS, base=False, weight=False)


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        (ABOVE, "better"),
        (BELOW, "worse"),
        (AROUND, "not distinguishable"),
        ((0.0, 0.1), "not distinguishable"),
        ((-0.1, 0.0), "not distinguishable"),
        ((None, None), "no verdict"),
    ],
)
def test_an_interval_that_includes_zero_is_no_difference(interval, word):
    assert verdict_word(*interval) == word


def test_the_page_states_each_verdict_in_words(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    better, around, worse = AWKWARD
    for phrase, name in (
        ("Better than the base scores:", better),
        ("Not distinguishable from the base scores (the interval includes zero):", around),
        ("Worse than the base scores:", worse),
    ):
        assert f"{phrase} {name} (" in text


def test_the_page_says_where_weights_change_the_verdict(written):
    _, page, _ = written("ordinary")
    phrase = "Counted in rows, without weights, the verdict differs: plain not distinguishable ("
    assert Page(page).text.count(phrase) == 1


def test_the_verdict_stands_before_everything_else(written):
    _, page, _ = written("ordinary")
    sections = ("verdict", "corrections", "figures", "batches", "screen", "data", "memory")
    places = [page.index(f'<h2 id="{name}">') for name in sections]
    assert places == sorted(places)
    assert page.index("load_model(") < places[0]


@pytest.mark.parametrize("key", ["ordinary", "bare"])
def test_the_page_has_every_value_of_the_comparison(key, written):
    data, page, _ = written("ordinary") if key == "ordinary" else bare(written)
    table = pl.read_csv(data.folder / "e_comparison.tsv", separator="\t")
    titles = set(Page(page).titles)
    shown = table.filter(pl.col("metric").is_in(list(COLUMNS)))
    columns = ("base", "ensemble", *(("difference_low", "difference_high") * data.base))
    values = [
        float(value) for column in columns for value in shown[column].to_list() if value is not None
    ]
    assert len(values) >= 6 * len(data.classes)
    assert {repr(value) for value in values} <= titles


def test_the_card_has_the_values_of_the_comparison_as_the_page_shows_them(written):
    data, _, card = written("ordinary")
    table = pl.read_csv(data.folder / "e_comparison.tsv", separator="\t")
    line = table.row(
        by_predicate=(pl.col("class") == "plain")
        & (pl.col("metric") == "auc")
        & pl.col("weighted"),
        named=True,
    )
    base, ensemble = (plots.format_value(line[system]) for system in ("base", "ensemble"))
    n = int((data.codes == 2).sum())
    assert f"| plain | {n} | weighted | AUC | {base} | {ensemble} |" in card


def test_classes_features_and_columns_are_escaped(written):
    _, page, card = written("ordinary")
    read = Page(page)
    assert not {"i", "u", "shards"} & read.tags
    for name in (*AWKWARD, "<u>leak</u>", "column '<x>' is constant", "data/<shards>"):
        assert name in read.text
        assert html.escape(name, quote=False) in page or html.escape(name) in page.replace(
            "&#34;", "&quot;"
        ).replace("&#39;", "&#x27;")
    assert "<b>" not in card
    assert "&lt;b>bold&lt;/b> &amp;" in card
    assert r"\$\\frac\$\|\*x\*" in card


def test_the_page_needs_no_other_file(written):
    data, page, _ = written("ordinary")
    read = Page(page)
    assert len(read.loaded) == len(FIGURES) + 1
    assert all(address.startswith("data:image/png;base64,") for address in read.loaded)
    assert not {"script", "link", "iframe"} & read.tags
    assert "http" not in page
    assert all((data.folder / f"e_{name}.png").read_bytes()[:4] == PNG for name in FIGURES)


def test_the_code_on_the_page_loads_the_model(written):
    data, page, _ = written("ordinary")
    code = html.unescape(page.split("<pre>")[1].split("</pre>")[0])
    assert len(code.splitlines()) == 5
    table = pl.DataFrame({name: [0.0, 1.0] for name in FEATURES})
    table.write_parquet(data.folder / "table.parquet")
    code = code.replace("table.parquet", str(data.folder / "table.parquet"))
    names = {}
    exec(code, names)
    assert names["probabilities"].shape == (2, 3)
    assert set(names["labels"]) <= set(AWKWARD)


def test_errors_corrected_and_made_are_those_of_the_table(written):
    data, page, _ = written("ordinary")
    right = data.probability.argmax(axis=1) == data.codes
    base_right = data.scores.argmax(axis=1) == data.codes
    corrected, made = int((right & ~base_right).sum()), int((base_right & ~right).sum())
    assert corrected > 0
    assert (
        f"Of 300 test rows the ensemble calls {corrected} right that the base scores call wrong, "
        f"and {made} wrong that they call right." in Page(page).text
    )


def test_without_base_scores_nothing_is_compared(written):
    _, page, card = bare(written)
    text = Page(page).text
    assert "nothing to compare the ensemble with" in text
    assert not [phrase for phrase in ("etter than", "orse than", "ensemble is") if phrase in text]
    assert "0.5000 to 0.9000" in text  # the ensemble's own interval
    assert "| ensemble is |" not in card
    assert "There are no base scores" in card


def test_without_usage_records_the_page_says_so(written):
    _, page, _ = bare(written)
    assert "No job recorded its memory." in Page(page).text


def test_nothing_is_shown_as_none_or_nan(written):
    for _, page, card in (written("ordinary"), bare(written)):
        for text in (Page(page).text, card):
            assert not {"None", "nan", "NaN", "null"} & set(text.replace(",", " ").split())


def test_a_metric_without_a_value_is_a_dash_with_its_reason(written):
    intervals = (ABOVE, None, ABOVE)
    _, page, card = written("absent", intervals, weight=False, absent=1)
    assert '<span title="no positive rows">\N{EN DASH}</span>' in page
    assert f"No verdict: {AWKWARD[1]} (no positive rows)" in Page(page).text
    assert "average precision of" in card.split("Metrics without a value:")[1]


def test_jobs_above_their_estimate_are_named(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    assert "1 of 2 jobs needed more than estimated: train_batch b000 (600 of 500 MB)." in text


def test_usage_is_summed_up_by_rule():
    records = [
        {"rule": r, "batch": b, "declared_mb": d, "peak_mb": p, "seconds": 2.0, "threads": 1}
        for r, b, d, p in (("a", "0", 100, 50.0), ("a", "1", 200, 150.0), ("b", "all", 400, 300.0))
    ]
    first, second = usage_by_rule(records)
    assert first[:2] == ("b", 1)
    assert second == ("a", 2, 200, 150.0, 0.5, 0.75, 4.0, 1)


def test_model_card_tells_how_the_model_was_made(written):
    data, _, card = written("ordinary")
    model = load_model(data.model)
    assert f"Batches: {len(model.members)}, dealt by whole groups (balanced)." in card
    assert "5 folds of whole groups" in card
    assert "6 identity" in card
    assert "| digest | abc |" in card
    assert "2 groups, 600 rows" in card
    for heading in ("Intended use", "Training data", "How it was made", "Test results"):
        assert f"## {heading}" in card


def test_every_row_of_the_cards_tables_has_as_many_cells_as_its_head(written):
    for _, _, card in (written("ordinary"), bare(written)):
        results = card.split("## Test results")[1].split("## Limits")[0]
        rows = [line for line in results.splitlines() if line.startswith("|")]
        assert len(rows) > 6
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


# One batch.


@pytest.mark.parametrize(
    "options",
    [
        {"absent": 1},
        {"classes": VOWELS, "base": False, "weight": False},
    ],
)
def test_a_batch_gets_six_figures_and_a_summary(options, tmp_path):
    data = Data(tmp_path, **options)
    outputs = {key: tmp_path / "figures" / f"{key}.png" for key in DRAWN}
    outputs["summary"] = tmp_path / "summary.json"
    diagnose_batch(data.batch(), "b007", data.config["dataset"], outputs)
    assert all(outputs[key].read_bytes()[:4] == PNG for key in DRAWN)
    summary = json.loads(outputs["summary"].read_text())
    assert (summary["batch"], summary["rows"], summary["groups"]) == ("b007", 300, 10)
    assert list(summary["classes"]) == data.classes
    systems = {line["system"] for line in summary["metrics"]}
    assert systems == ({"model", "base"} if data.base else {"model"})
    assert {line["weighted"] for line in summary["metrics"]} == (
        {False, True} if data.weight else {False}
    )
    for code, facts in enumerate(summary["classes"].values()):
        assert facts["rows"] == int((data.codes == code).sum())
        assert facts["trees"] == {"median": 15.0, "min": 10, "max": 20}
        assert facts["verdicts"] == {"good": 2}
        assert [line["feature"] for line in facts["top_features"]] == FEATURES
        assert (
            facts["calibration"]["after"]["log_loss"] <= facts["calibration"]["before"]["log_loss"]
        )


def fold_values(values):
    return pl.DataFrame(
        {
            "system": "model",
            "class": "a",
            "metric": "auc",
            "weighted": False,
            "value": values,
            "reason": [None if v is not None else "no positive rows" for v in values],
            "fold": range(len(values)),
        },
        schema_overrides={"value": pl.Float64, "reason": pl.String},
    )


@pytest.mark.parametrize(
    ("values", "mean", "folds", "reason"),
    [
        ([0.5, 1.0], 0.75, 2, None),
        ([0.5, None], 0.5, 1, "fold 1: no positive rows"),
        ([None, None], None, 0, "fold 0: no positive rows; fold 1: no positive rows"),
    ],
)
def test_means_say_which_folds_they_lack(values, mean, folds, reason):
    rows = pl.DataFrame({"label": ["a"], "group": ["g"]})
    summary = summarise([], rows, pl.DataFrame(), fold_values(values), {}, pl.DataFrame())
    (line,) = summary["metrics"]
    assert (line["mean"], line["folds"], line["reason"]) == (mean, folds, reason)


def test_a_shown_number_keeps_its_full_value():
    assert cell(0.123456789, None) == ("0.1235", "0.123456789")
    assert cell(None, "no positive rows") == ("\N{EN DASH}", "no positive rows")
