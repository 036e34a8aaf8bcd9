"""Answers the questions of the first screen: how much better the model is, what it looks at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.dataset.columns import START
from genebatch.report.numbers import DASH, format_share
from genebatch.report.verdicts import NOT_JUDGED, EvaluationResults, Verdict, verdict_word

METRIC = "average_precision"
MOST_CLASSES = 6  # of the first screen; the section on candidates has the others
MOST_NAMED = 3  # classes in the headline
TOP_FEATURES = 5
TOP_FAMILIES = 3
PHRASES = {
    "better": "better",
    "worse": "worse",
    "not distinguishable": "no difference shown",
    NOT_JUDGED: NOT_JUDGED,
}

SHORT = {  # after another verdict
    "better": "better",
    "worse": "is worse",
    "not distinguishable": "shows no difference",
    NOT_JUDGED: "is not judged",
}


class Standing(NamedTuple):
    """A class on the first screen, in average precision.

    Attributes
    ----------
    name
        The class.
    base, model, difference, low, high
        Values; `base` and `difference` are None without base scores, and the interval is that of
        the difference or, without base scores, of the model.
    word
        The verdict.
    chance
        What a model without any knowledge reaches: the share of the class.
    reason
        Why there is no interval.
    """

    name: str
    base: float | None
    model: float | None
    difference: float | None
    low: float | None
    high: float | None
    word: str
    chance: float | None
    reason: str | None

    @property
    def numbers(self) -> dict[str, str]:
        """The values as the page shows them."""
        signed = self.base is not None
        return {
            "base": _text(self.base),
            "model": _text(self.model),
            "difference": _text(self.difference, signed=True),
            "interval": _interval(self.low, self.high, signed),
            "chance": _text(self.chance),
            "word": PHRASES[self.word],
        }


class Bar(NamedTuple):
    """A feature or a family and what it is worth; `share` is that of the largest."""

    name: str
    value: float
    share: float


class Looks(NamedTuple):
    """What the model looks at, over the classes but the rest."""

    features: list[Bar]
    families: list[Bar]


def standings(
    results: EvaluationResults, lines: Sequence[Verdict], rest: str | None
) -> list[Standing]:
    """Give the standing of every class on test rows, the rest class last.

    Parameters
    ----------
    results
        The evaluation.
    lines
        Its verdicts.
    rest
        The class of what is none of the others, or None.
    """
    rows = results.rows
    weight = rows["weight"] if results.weighted else pl.repeat(1.0, rows.height, eager=True)
    shares = {
        name: float((weight * (rows["label"] == name)).sum() / weight.sum())
        for name in results.classes
    }
    found = [
        _standing(results, line, shares[line.name])
        for line in lines
        if line.weighted == results.weighted
    ]
    return sorted(found, key=lambda standing: standing.name == rest)


def track_standings(comparison: pl.DataFrame, summary: Mapping[str, Any]) -> list[Standing]:
    """Give the standing of every class of sites at all positions of the test genes."""
    lines = comparison.filter(pl.col("metric") == METRIC)
    return [
        Standing(
            row["class"],
            *(row[key] for key in ("base", "model", "difference")),
            *(row[f"difference_{end}"] for end in ("low", "high")),
            verdict_word(row["difference_low"], row["difference_high"]),
            summary["classes"].get(row["class"], {}).get("sites", 0) / summary["positions"],
            row["reason"],
        )
        for row in lines.iter_rows(named=True)
    ]


def headline(delivered: str, lines: Sequence[Standing], has_base: bool) -> str:
    """Say in a sentence what was delivered and how it stands."""
    taken = delivered[:1].upper() + delivered[1:]
    if not has_base:
        return f"{taken} reaches an average precision of {_range(lines)}"
    by_word: dict[str, list[str]] = {}
    for line in lines:
        by_word.setdefault(line.word, []).append(line.name)
    words = [word for word in PHRASES if word in by_word]
    parts = [
        f"{SHORT[word] if place else _verdict(word)} {_classes(by_word[word], len(lines))}"
        for place, word in enumerate(words)
    ]
    return f"{taken} {', '.join(parts)}"


def looks(
    importance: pl.DataFrame, families: pl.DataFrame, classes: Sequence[str], rest: str | None
) -> Looks:
    """Give the most important features, and the families whose loss costs most.

    Parameters
    ----------
    importance, families
        Tables of the delivered model on test groups.
    classes, rest
        Names of the classes; the one that does not count, or None.
    """
    counted = [name for name in classes if name != rest]
    by_feature = (
        importance.filter(pl.col("class").is_in(counted), pl.col("feature") != START)
        .group_by("feature", maintain_order=True)
        .agg(pl.col("mean_abs_shap").sum().alias("value"))
    )
    by_family = (
        families.filter(pl.col("class").is_in(counted))
        .group_by("family", maintain_order=True)
        .agg(pl.col("log_loss_rise").cast(pl.Float64).mean().alias("value"))
    )
    return Looks(_bars(by_feature, TOP_FEATURES), _bars(by_family, TOP_FAMILIES))


def _bars(table: pl.DataFrame, most: int) -> list[Bar]:
    """The largest positive values of a table of names and values."""
    name = table.columns[0]
    rows = table.filter(pl.col("value") > 0).sort("value", descending=True, maintain_order=True)
    pairs = list(rows.head(most).select(name, "value").iter_rows())
    return [Bar(name, value, value / pairs[0][1]) for name, value in pairs]


def _standing(results: EvaluationResults, line: Verdict, chance: float) -> Standing:
    row = results.comparison.row(
        by_predicate=(pl.col("class") == line.name)
        & (pl.col("metric") == METRIC)
        & (pl.col("weighted") == line.weighted),
        named=True,
    )
    ends = "difference" if results.has_base else "model"
    values = [row[key] if results.has_base else None for key in ("base", "difference")]
    return Standing(
        line.name,
        values[0],
        row["model"],
        values[1],
        row[f"{ends}_low"],
        row[f"{ends}_high"],
        line.word,
        chance,
        line.low.note if line.low.text == DASH else None,
    )


def _range(lines: Sequence[Standing]) -> str:
    """The lowest and the highest average precision of the classes."""
    values = [line.model for line in lines if line.model is not None]
    if not values:
        return DASH
    low, high = format_share(min(values)), format_share(max(values))
    if len(values) == 1:
        return f"{high} for {next(line.name for line in lines if line.model is not None)}"
    return f"{low} to {high} in {len(lines)} classes"


def _verdict(word: str) -> str:
    return {
        "better": "beats the base scores",
        "worse": "is worse than the base scores",
        "not distinguishable": "is not distinguishable from the base scores",
        NOT_JUDGED: "has too few test groups to be judged",
    }[word]


def _classes(names: Sequence[str], n_classes: int) -> str:
    """Name the classes of a verdict, or count them where there are many."""
    if len(names) > MOST_NAMED and len(names) == n_classes:
        return f"in all {n_classes} classes"
    if len(names) > MOST_NAMED:
        return f"in {len(names)} of {n_classes} classes"
    *first, last = names
    return "for " + " and ".join([", ".join(first), last] if first else [last])


def _text(value: float | None, signed: bool = False) -> str:
    return DASH if value is None else format_share(value, signed)


def _interval(low: float | None, high: float | None, signed: bool) -> str:
    if low is None or high is None:
        return DASH
    return f"{format_share(low, signed)} to {format_share(high, signed)}"
