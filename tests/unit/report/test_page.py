"""The page and the card say what the tables say, and nothing else."""

import html
from html.parser import HTMLParser

import polars as pl
import pytest

from genebatch import load_model
from genebatch.model.held_out import Sample
from genebatch.report.candidate_tables import COMPARED, SHOWN
from genebatch.report.numbers import format_value
from genebatch.report.verdicts import COLUMNS
from tests.builders.finished_run import (
    ABOVE,
    AROUND,
    AWKWARD,
    BELOW,
    FEATURES,
    FEW,
    PNG,
    TEST_FIGURES,
    VOWELS,
    Data,
)

pytestmark = pytest.mark.slow


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
    """Write a run's report once per kind of data; give data, page and card."""
    reports = {}

    def write(key, intervals=(ABOVE, AROUND, {True: BELOW, False: AROUND}), usage=None, **options):
        if key not in reports:
            data = Data(tmp_path_factory.mktemp(key), **options)
            given = {} if usage is None else {"usage": usage}
            reports[key] = data, *data.report(data.run(intervals, **given))
        return reports[key]

    return write


def bare(written):
    """Classes without base scores or weights."""
    options = {"classes": VOWELS, "base": False, "weight": False, "single": False}
    return written("bare", (ABOVE,) * 4, (), **options)


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
    sections = ("verdict", "candidates", "choice", "use", "model", "corrections", "figures")
    sections += ("batches", "screen", "data", "memory")
    places = [page.index(f'<h2 id="{name}">') for name in sections]
    assert places == sorted(places)


def test_every_candidate_has_a_line_in_the_table_of_every_class(written):
    data, page, _ = written("ordinary")
    tables = page.split('<h2 id="candidates">')[1].split("<h3>All classes")[0]
    for label in ("base scores", "best member", "log_odds", "stacked", "single model"):
        # Once weighted and once in rows.
        assert tables.count(f"<th>{label}") == 2 * len(data.classes)
    assert tables.count("in use</span>") == 2 * len(data.classes)


def test_the_tables_have_every_value_of_the_candidates(written):
    data, page, _ = written("ordinary")
    titles = set(Page(page).titles)
    table = pl.read_csv(data.folder / "e_systems.tsv", separator="\t")
    shown = table.filter(pl.col("class") != "all", pl.col("metric").is_in(SHOWN))
    compared = shown.filter(pl.col("metric").is_in(COMPARED))
    gained = compared.filter(pl.col("system") == "stacked")["over_single"].drop_nulls()
    values = [*shown["value"].drop_nulls(), *gained]
    assert len(values) > 100
    assert {repr(value) for value in values} <= titles


def test_the_page_says_which_model_was_delivered_and_why(written):
    _, page, card = written("ordinary")
    for text in (Page(page).text, card):
        assert "the single model has the lowest log loss on 20 training groups" in text
        assert "the ensemble is worse beyond chance" in text
    _, page, card = written("single", weight=False, final="single")
    text = Page(page).text
    assert "A model of 3 classes from 2 batches: the single model" in text
    assert "It is one calibrated model, boosted out of core on 300 rows" in text
    assert "The delivered model is the single model, not the ensemble" in card
    assert "combines" not in text


def test_with_many_classes_the_tables_of_all_but_the_first_are_folded(written):
    classes = [f"c{number}" for number in range(6)]
    _, page, _ = written("many", (ABOVE,) * 6, classes=classes, weight=False, n_members=35)
    tables = page.split('<h2 id="candidates">')[1].split("<h3>All classes")[0]
    assert tables.count("<details open>") == 1
    assert tables.count("<details>") == 5


def test_the_page_says_how_often_groups_are_held(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    phrase = "0 training groups are held by no batch, 1 training group is held by one batch, "
    assert phrase + "1,203 training groups are held by two batches." in text
    assert "b000 7 2 300 33.3 100.0 % 87.5 %" in text


@pytest.mark.parametrize("key", ["ordinary", "bare"])
def test_the_page_has_every_value_of_the_comparison(key, written):
    data, page, _ = written("ordinary") if key == "ordinary" else bare(written)
    table = pl.read_csv(data.folder / "e_comparison.tsv", separator="\t")
    titles = set(Page(page).titles)
    shown = table.filter(pl.col("metric").is_in(list(COLUMNS)))
    columns = ("base", "model", *(("difference_low", "difference_high") * data.base))
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
    base, model = (format_value(line[side]) for side in ("base", "model"))
    n = int((data.codes == 2).sum())
    assert f"| plain | {n} | weighted | AUC | {base} | {model} |" in card


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
    assert len(read.loaded) == len(TEST_FIGURES) + 2
    assert all(address.startswith("data:image/png;base64,") for address in read.loaded)
    assert not {"script", "link", "iframe"} & read.tags
    assert "http" not in page
    assert all((data.folder / f"e_{name}.png").read_bytes()[:4] == PNG for name in TEST_FIGURES)


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
        f"Of 300 test rows the model calls {corrected} right that the base scores call wrong, "
        f"and {made} wrong that they call right." in Page(page).text
    )


def test_without_base_scores_nothing_is_compared(written):
    _, page, card = bare(written)
    text = Page(page).text
    assert "nothing to compare the model with" in text
    assert not [phrase for phrase in ("etter than", "orse than", "model is") if phrase in text]
    assert "0.5000 to 0.9000" in text  # the model's own interval
    assert "| model is |" not in card
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
    assert f"Not judged: {AWKWARD[1]} (no positive rows)" in Page(page).text
    assert "average precision of" in card.split("Metrics without a value:")[1]


def test_too_few_test_groups_are_said_and_nothing_is_called_better(written):
    _, page, card = written("few", (FEW,) * 3, weight=False)
    text = Page(page).text
    reason = "only 1 test group with plain rows, fewer than 10"
    assert "Not judged: " in text
    assert f"plain ({reason})" in text
    assert "etter than" not in text
    assert f"not judged: {reason} |" in card
    assert "| better |" not in card


def test_without_base_scores_too_few_test_groups_are_said_as_well(written):
    _, _, card = written("few_bare", (FEW,) * 4, (), classes=VOWELS, base=False, weight=False)
    assert "(only 1 test group with vowel 0 rows, fewer than 10)" in card


def test_sample_that_all_members_scored_is_told(written):
    _, page, card = written("sample", sample=Sample(30, 1_200, 250, 10_000))
    counted = "All members scored 30 of 250 training groups (1,200 of 10,000 rows)"
    assert counted in Page(page).text
    assert counted in card
    assert "On training groups" in Page(page).text
    _, page, card = written("ordinary")
    assert "On all training groups" in Page(page).text
    assert "All members scored" not in page + card


def test_jobs_above_their_estimate_are_named(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    assert "1 of 2 jobs needed more than estimated: train_batch b000 (600 of 500 MB)." in text


def test_model_card_tells_how_the_model_was_made(written):
    data, _, card = written("ordinary")
    model = load_model(data.model)
    assert f"Batches: {len(model.members)}, dealt by whole groups (balanced)." in card
    assert "3 folds of whole groups" in card
    assert "6 identity" in card
    assert "| digest | abc |" in card
    assert "2 groups, 300 rows" in card  # 600 of the profile less 300 test rows
    for heading in ("Intended use", "Training data", "How it was made", "Test results"):
        assert f"## {heading}" in card


def test_every_row_of_the_cards_tables_has_as_many_cells_as_its_head(written):
    for _, _, card in (written("ordinary"), bare(written)):
        results = card.split("## Test results")[1].split("## Limits")[0]
        rows = [line for line in results.splitlines() if line.startswith("|")]
        assert len(rows) > 6
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_thresholds_are_shown_or_the_reason_why_there_is_none(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    assert "0.2500" in text
    assert "0.3750" in text
    assert "chosen on the same rows in the same way" in text
    assert "no positive rows" in Page(page).titles
    _, page, _ = bare(written)
    text = Page(page).text
    assert "0.2500" in text
    assert "0.3750" not in text
    assert "in the same way" not in text
