"""The page and the card say what the tables say, and nothing else."""

import html
import re

import polars as pl
import pytest

from genebatch import load_model
from genebatch.model.held_out import Sample
from genebatch.report.candidate_tables import COMPARED, SHOWN
from genebatch.report.contents import OPTIONAL, SECTIONS
from genebatch.report.numbers import format_share, format_value
from genebatch.report.verdicts import COLUMNS
from tests.builders.finished_run import (
    ABOVE,
    AWKWARD,
    FEATURES,
    FEW,
    PNG,
    SITES,
    TEST_FIGURES,
    VOWELS,
    Data,
)
from tests.builders.pages import Page

pytestmark = pytest.mark.slow


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


def test_the_page_says_that_boosters_have_as_many_trees_as_they_may(written):
    _, page, _ = written("ordinary")
    words = "have as many trees as learner.n_estimators allows (2). More may lower the loss."
    assert Page(page).text.count(words) == 1


def test_the_first_screen_stands_before_the_contents_and_they_before_the_sections(written):
    _, page, _ = written("ordinary")
    marks = ['<header class="answers">', '<nav class="contents"']
    marks += [f'<details class="section" id="{name}">' for name in SECTIONS if name not in OPTIONAL]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)


def test_the_first_screen_answers_five_questions(written):
    data, page, _ = written("ordinary")
    first = page.split('<nav class="contents"')[0]
    text = Page(first).text
    for question in ("How much better?", "Which model?", "What does it look at?"):
        assert question in text
    assert "Can I trust it?" in text
    assert "Where are the predictions?" in text
    table = pl.read_csv(data.folder / "e_comparison.tsv", separator="\t")
    line = table.row(
        by_predicate=(pl.col("class") == "plain")
        & (pl.col("metric") == "average_precision")
        & pl.col("weighted"),
        named=True,
    )
    base, model = (format_share(line[side]) for side in ("base", "model"))
    assert f"plain {base} → {model}" in text
    assert "of 10 groups" not in text
    assert "Judged on 10 groups (300 rows) that no model saw" in text
    assert "1 of 2 jobs needed more memory than estimated" in text


def test_every_candidate_has_a_line_in_the_table_of_every_class(written):
    data, page, _ = written("ordinary")
    tables = page.split("Every candidate on the test groups")[1].split("<h4>All classes")[0]
    for label in ("base scores", "best member", "log_odds", "stacked", "single model"):
        # Weighted, once more for the Brier score, and in rows.
        assert tables.count(f'<th scope="row">{label}') == 3 * len(data.classes)
    assert tables.count("delivered</span>") == 3 * len(data.classes)


def test_the_best_candidate_comes_first(written):
    _, page, _ = written("ordinary")
    tables = page.split("Every candidate on the test groups")[1].split("<h4>All classes")[0]
    ranked = [part for part in tables.split("<table")[1:] if "<th>average precision</th>" in part]
    assert len(ranked) == 6  # three classes, weighted and in rows
    for table in ranked:
        values = re.findall(r'</th>\s*<td><span title="([^"]*)"', table.split("<tbody>")[1])
        assert len(values) == 7
        assert sorted(map(float, values), reverse=True) == list(map(float, values))


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
    assert "Which model? The single model" in text
    assert "The delivered model is one calibrated model, boosted out of core" in text
    assert "trained on 300 rows" in text
    assert "The delivered model is the single model, not the ensemble" in card
    assert "combines" not in text


def test_with_many_classes_the_tables_of_all_but_the_first_are_folded(written):
    classes = [f"c{number}" for number in range(6)]
    _, page, _ = written("many", (ABOVE,) * 6, classes=classes, weight=False, n_members=35)
    tables = page.split("Every candidate on the test groups")[1].split("<h4>All classes")[0]
    assert [name for name in classes if f"<summary>{name}</summary>" in tables] == classes[1:]


def test_the_rest_class_is_last_and_folded(tmp_path):
    data = Data(tmp_path, classes=["neither", *SITES], rest="neither", weight=False)
    page, _ = data.report(data.run((ABOVE,) * 3))
    first, sections = page.split('<nav class="contents"')
    gains = first.split("<tbody>")[1].split("</tbody>")[0]
    assert re.findall(r'<th scope="row">(\w+)', gains) == list(SITES)
    assert "neither, on test rows: ." in Page(first).text
    tables = sections.split("Every candidate on the test groups")[1]
    assert "<summary>neither (the rest)</summary>" in tables.split("<h4>All classes")[0]
    lines = sections.split("The delivered model beside the base scores")[1].split("</table>")[0]
    assert re.findall(r'<th scope="row">(\w+)', lines) == [*SITES, "neither"]


def test_the_page_says_how_often_groups_are_held(written):
    _, page, _ = written("ordinary")
    text = Page(page).text
    phrase = "0 training groups are held by no batch, 1 training group is held by one batch, "
    assert phrase + "1,203 training groups are held by two batches." in text
    assert "b000 7 2 300 33.3 100.0 % 87.5 %" in text


@pytest.mark.parametrize("key", ["ordinary", "bare"])
def test_the_page_has_every_value_of_the_comparison(key, written, bare):
    data, page, _ = written("ordinary") if key == "ordinary" else bare
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
    links = [address for address in read.loaded if not address.startswith("#")]
    files = ["model.gbm", "predictions.parquet", "CARD.md"]
    assert links == files
    assert all((data.folder / name).exists() for name in files)
    assert not {"link", "iframe", "img", "object", "embed"} & read.tags
    assert "<script>" in page
    assert "http" not in page
    assert "url(" not in page.replace("url(#", "")
    assert all((data.folder / f"e_{name}.png").read_bytes()[:4] == PNG for name in TEST_FIGURES)


def test_the_code_on_the_page_loads_the_model(written):
    data, page, _ = written("ordinary")
    code = html.unescape(page.split('<pre tabindex="0">')[1].split("</pre>")[0])
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


def test_without_base_scores_nothing_is_compared(bare):
    _, page, card = bare
    text = Page(page).text
    assert "nothing to compare the model with" in text
    assert not [phrase for phrase in ("etter than", "orse than", "model is") if phrase in text]
    assert "0.5000 to 0.9000" in text  # the model's own interval
    assert "| model is |" not in card
    assert "There are no base scores" in card


def test_without_usage_records_the_page_says_so(bare):
    _, page, _ = bare
    assert "No job recorded its memory." in Page(page).text


def test_nothing_is_shown_as_none_or_nan(written, bare):
    for _, page, card in (written("ordinary"), bare):
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


def test_every_row_of_the_cards_tables_has_as_many_cells_as_its_head(written, bare):
    for _, _, card in (written("ordinary"), bare):
        results = card.split("## Test results")[1].split("## Limits")[0]
        rows = [line for line in results.splitlines() if line.startswith("|")]
        assert len(rows) > 6
        assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_thresholds_are_shown_or_the_reason_why_there_is_none(written, bare):
    _, page, _ = written("ordinary")
    text = Page(page).text
    assert "0.2500" in text
    assert "0.3750" in text
    assert "chosen on the same rows in the same way" in text
    assert "no positive rows" in Page(page).titles
    _, page, _ = bare
    text = Page(page).text
    assert "0.2500" in text
    assert "0.3750" not in text
    assert "in the same way" not in text
