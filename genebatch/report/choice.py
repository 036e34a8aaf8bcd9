"""Tells in words why a candidate became the final model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from genebatch.report.candidate_tables import NAMES
from genebatch.report.numbers import Cell, cell, format_value


class ModelChoice(NamedTuple):
    """The candidates for the final model, and why one was delivered: in full, and in short."""

    sentence: str
    short: str
    lines: list[dict[str, Any]]


def delivered_name(final: str, combiner: str) -> str:
    """Name the delivered model in a sentence."""
    return f"the ensemble ({combiner})" if final == "ensemble" else f"the {NAMES[final]}"


def choice(candidates: pl.DataFrame, final: str) -> ModelChoice:
    """Tell why a candidate was delivered.

    Parameters
    ----------
    candidates
        `candidates.tsv`.
    final
        The config's `final`.
    """
    rows = candidates.filter(pl.col("log_loss").is_not_null()).to_dicts()
    left_out = candidates.filter(pl.col("log_loss").is_null())
    lead = min(rows, key=lambda row: row["log_loss"])
    chosen = next(row for row in rows if row["chosen"])
    lines = [
        row
        | {
            "name": _name(row["candidate"]),
            "loss": cell(row["log_loss"], None),
            "gap": Cell("lowest", "0") if row is lead else cell(row["difference"], None, True),
            "low": cell(row["difference_low"], row["reason"], signed=True),
            "high": cell(row["difference_high"], row["reason"], signed=True),
            "why": _why(row, lead, chosen, final),
        }
        for row in rows
    ]
    sentence = _sentence(rows, lead, chosen, final)
    for reason in left_out["reason"].unique(maintain_order=True):
        sentence += f" Not trained: {reason}."
    return ModelChoice(sentence, _short(rows, lead, chosen, final), lines)


def _name(candidate: str) -> str:
    return "ensemble" if candidate == "ensemble" else NAMES[candidate]


def _beyond_chance(row: Mapping[str, Any]) -> bool:
    return row["difference_low"] is not None and row["difference_low"] > 0


def _why(
    row: Mapping[str, Any], lead: Mapping[str, Any], chosen: Mapping[str, Any], final: str
) -> str:
    """Tell how one candidate stands, and why it was delivered or not."""
    if row is lead:
        standing = "lowest loss"
    elif row["difference_low"] is None:
        standing = row["reason"]
    else:
        standing = f"{'' if _beyond_chance(row) else 'not '}worse beyond chance"
    if final != "best":
        return f"{standing}; asked for" if row is chosen else f"{standing}; not asked for"
    if row is chosen:
        return f"{standing}; fewest trees of the equally good"
    level = row is lead or (row["difference_low"] is not None and not _beyond_chance(row))
    return f"{standing}; more trees" if level else standing


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    lead: Mapping[str, Any],
    chosen: Mapping[str, Any],
    final: str,
) -> str:
    taken, best = (f"the {_name(row['candidate'])}" for row in (chosen, lead))
    if len(rows) == 1:
        return f"{taken.capitalize()} was delivered; no other model was trained to compare it with."
    scored = f"on {chosen['groups']:,} training groups, each scored by models that never saw it"
    if chosen is lead:
        fewest = ", and no model with fewer trees is as good within chance" * (final == "best")
        return f"{_because(final, taken)}{taken} has the lowest log loss {scored}{fewest}."
    gap = _gap(chosen)
    if final == "best":
        return (
            f"{_because(final, taken)}{best} has the lowest log loss {scored}; {taken} is not "
            f"worse beyond chance ({gap}) and needs {chosen['trees']:,} trees instead of "
            f"{lead['trees']:,}."
        )
    worse = "worse beyond chance" if _beyond_chance(chosen) else "not worse beyond chance"
    worse = "worse, perhaps by chance" if chosen["difference_low"] is None else worse
    return (
        f"{_because(final, taken)}{best} has the lowest log loss {scored}; {taken} is {worse} "
        f"({gap})."
    )


def _short(
    rows: Sequence[Mapping[str, Any]],
    lead: Mapping[str, Any],
    chosen: Mapping[str, Any],
    final: str,
) -> str:
    """Tell in a few words why the model was delivered."""
    if len(rows) == 1:
        return "No other model was trained to compare it with."
    asked = "" if final == "best" else f"Asked for (final: {final}). "
    if chosen is lead:
        return f"{asked}Lowest held-out log loss of {len(rows)} candidates."
    best = f"the {_name(lead['candidate'])}"
    if chosen["difference_low"] is None:
        return f"{asked}Held-out log loss above that of {best}, perhaps by chance."
    if _beyond_chance(chosen):
        return f"{asked}Held-out log loss worse than that of {best}, beyond chance."
    trees = f", with {chosen['trees']:,} trees instead of {lead['trees']:,}" * (final == "best")
    return f"{asked}As good within chance as {best}, the best of {len(rows)} candidates{trees}."


def _gap(chosen: Mapping[str, Any]) -> str:
    """The delivered model's difference to the lowest loss, with its interval where it has one."""
    gap = f"{format_value(chosen['difference'], signed=True)} nats"
    if chosen["difference_low"] is None:
        return gap
    ends = (format_value(chosen[f"difference_{end}"], signed=True) for end in ("low", "high"))
    return f"{gap}, {' to '.join(ends)}"


def _because(final: str, taken: str) -> str:
    delivered = f"{taken.capitalize()} was delivered "
    if final == "best":
        return f"{delivered}as the best (final: best): "
    return f"{delivered}because it was asked for (final: {final}): "
