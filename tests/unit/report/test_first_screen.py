"""The first screen says in words and in numbers how the model stands."""

import polars as pl
import pytest

from genebatch.dataset.columns import START
from genebatch.report.first_screen import Standing, headline, looks, track_standings
from genebatch.report.numbers import format_seconds, format_share
from genebatch.report.remarks import remarks
from tests.builders.finished_run import track_comparison

TAKEN = "the single model"


def standing(name, word, base=0.675, model=0.891):
    ends = None if word == "not judged" else 0.1
    gain = None if base is None else model - base
    return Standing(name, base, model, gain, ends, ends, word, 0.01, "too few groups")


def said(*words):
    lines = [standing(f"c{number}", word) for number, word in enumerate(words)]
    return headline(TAKEN, lines, has_base=True)


def test_the_headline_names_the_classes_of_each_verdict():
    assert said("better", "better") == "The single model beats the base scores for c0 and c1"
    assert said("better", "worse", "not distinguishable") == (
        "The single model beats the base scores for c0, is worse for c1, shows no difference for c2"
    )
    assert said(*["better"] * 3) == ("The single model beats the base scores for c0, c1 and c2")
    assert said("not judged") == "The single model has too few test groups to be judged for c0"


def test_the_headline_counts_many_classes():
    assert said(*["better"] * 5) == "The single model beats the base scores in all 5 classes"
    assert said(*["better"] * 5, "worse") == (
        "The single model beats the base scores in 5 of 6 classes, is worse for c5"
    )


def test_without_base_scores_the_headline_tells_what_the_model_reaches():
    lines = [standing("a", "not judged", None, 0.8), standing("b", "not judged", None, 0.9)]
    text = headline(TAKEN, lines, has_base=False)
    assert text == "The single model reaches an average precision of .800 to .900 in 2 classes"
    text = headline(TAKEN, lines[:1], has_base=False)
    assert text == "The single model reaches an average precision of .800 for a"


def test_numbers_are_absolute_and_have_their_interval():
    line = Standing("donor", 0.675, 0.891, 0.216, 0.122, 0.293, "better", 0.0005, None)
    assert line.numbers == {
        "base": ".675",
        "model": ".891",
        "difference": "+.216",
        "interval": "+.122 to +.293",
        "chance": ".00050",
        "word": "better",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.675, ".675"), (0.99998496, ".999985"), (7.7e-7, "7.7e-07"), (1.0, "1"), (0.0, "0")),
        *((0.99999971, ">.999999"), (-0.99999971, "<-.999999"), (-7.7e-7, "-7.7e-07")),
    ],
)
def test_a_share_has_the_decimals_that_tell_it_from_0_and_1(value, text):
    assert format_share(value) == text


def test_times_are_in_the_unit_of_their_size():
    assert [format_seconds(s) for s in (41.2, 720, 12_600)] == ["41 s", "12 min", "3.5 h"]


def test_complete_tracks_have_their_own_standing():
    summary = {"positions": 1_000, "classes": {"donor": {"sites": 5}}}
    (line,) = track_standings(track_comparison(), summary)
    assert (line.name, line.base, line.model, line.word) == ("donor", 0.9, 0.95, "better")
    assert line.chance == 0.005


def test_the_rest_class_and_the_start_are_not_looked_at():
    shap = [("rest", "f", 9.0), ("a", START, 8.0), ("a", "f", 1.0), ("a", "g", 0.5)]
    shap += [("b", "g", 2.0), ("b", "unused", 0.0)]
    features = pl.DataFrame(shap, schema=["class", "feature", "mean_abs_shap"], orient="row")
    rises = [("rest", "x", 5.0), ("a", "x", 0.1), ("a", "y", -0.2), ("b", "y", -0.2)]
    families = pl.DataFrame(rises, schema=["class", "family", "log_loss_rise"], orient="row")
    found = looks(features, families, ["rest", "a", "b"], "rest")
    assert [tuple(bar) for bar in found.features] == [("g", 2.5, 1.0), ("f", 1.0, 0.4)]
    assert [bar.name for bar in found.families] == ["x"]


def facts(**changed):
    """Facts of a run without any reason to warn."""
    plain = {"test_rows": 300, "test_groups": 20, "tracks": None, "has_base": True}
    plain |= {"standings": [standing("a", "better")], "verdicts": [], "weighted": False}
    plain |= {"absent": [], "over": [], "n_batches": 2, "neighbours": None, "differing": []}
    return plain | {"dataset": {"problems": []}, "jobs": 9} | changed


def warnings(**changed):
    return [(one.section, one.text) for one in remarks(facts(**changed)) if one.is_warning]


def test_each_reason_to_be_careful_is_a_warning():
    assert warnings() == []
    assert warnings(absent=[{}]) == [("batches", "1 of 3 batches have no model")]
    assert warnings(over=[{}] * 2) == [("memory", "2 of 9 jobs needed more memory than estimated")]
    lines = [standing(name, "not judged") for name in "abcde"]
    assert warnings(standings=lines) == [
        ("comparison", "No interval for a, b, c and 2 more: too few groups")
    ]
    assert warnings(neighbours={"beside": True})[0][0] == "neighbours"
    noted = {"problems": [{"level": "note"}, {"level": "warning"}]}
    assert warnings(dataset=noted) == [("data", "The table has a problem")]
