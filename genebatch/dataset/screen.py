"""Screens columns for leaks, constants and duplicates before they become features."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from genebatch.config.settings import Labels, Screening
from genebatch.dataset.categories import TELLS_GROUP, Learned, learn, numbered
from genebatch.dataset.columns import Roles, match_columns
from genebatch.dataset.feature_set import Features
from genebatch.dataset.rows import label_codes
from genebatch.dataset.shards import Shard, read_groups
from genebatch.groups import deal, measures
from genebatch.io.files import InputError
from genebatch.io.tables import BATCH_ROWS
from genebatch.jobs.sizes import FREQUENT

log = logging.getLogger(__name__)

# Pairs of columns are first compared on so many rows. Pairs near the limit are compared again on
# the whole sample.
PAIR_ROWS = 4096


class Finding(NamedTuple):
    """Why a column should not be a feature."""

    column: str
    reason: str


class Screened(NamedTuple):
    """The feature set as JSON, and a table with one line for each column of the data set."""

    features: dict[str, Any]
    table: pl.DataFrame


class Analysed(NamedTuple):
    """What the analysis says of the data set: roles, shards, and facts of each column by name."""

    roles: Roles
    shards: Sequence[Shard]
    columns: Mapping[str, Any]


def say_tracks(
    table: pl.DataFrame, tracks: Mapping[str, Mapping[str, Any]], classes: Sequence[str]
) -> Iterator[str]:
    """Say of each track of evidence how many of its columns are kept, and how well one does alone.

    Parameters
    ----------
    table
        The table of the screen.
    tracks
        Track to its kind and columns, as the built table tells.
    classes
        Names of the classes.
    """
    for name, told in tracks.items():
        own = table.filter(pl.col("column").is_in(told["columns"]))
        better = (pl.max_horizontal(pl.col(f"auc_{c}"), 1 - pl.col(f"auc_{c}")) for c in classes)
        best = own.select(column.max().alias(str(n)) for n, column in enumerate(better)).row(0)
        shown = ", ".join(
            f"{label} {'-' if auc is None else f'{auc:.3f}'}"
            for label, auc in zip(classes, best, strict=True)
        )
        yield (
            f"track {name}: {own['kept'].sum()} of {len(told['columns'])} columns kept; best AUC "
            f"of one alone: {shown}"
        )


def screen(data: Analysed, training: pl.DataFrame, labels: Labels, settings: Screening) -> Screened:
    """Screen a sample of training groups, and give a reason for each column.

    Holds the sample: `screen.max_rows` rows of every column that may become a feature.

    Parameters
    ----------
    data
        The analysed data set.
    training
        The table of groups, without test groups.
    labels, settings
        Sections of the configuration.
    """
    roles = data.roles
    learned = learn(data.shards, training, roles.group, roles.categorical, settings.max_categories)
    categories = {name: of.names for name, of in learned.items()}
    sampled = sample_groups(training, settings.max_rows, settings.seed)
    frame = _read_sample(data, sampled, categories)
    counts = (f"{count:,}" for count in (frame.height, sampled.height))
    log.info("screening %s rows of %s training groups", *counts)
    codes = label_codes(frame[roles.label], labels.classes, labels.null_label)
    kept = match_columns(settings.keep, roles.candidates, "screen.keep")
    kept = [name for name in kept if categories.get(name, True)]  # without any there is no number
    tests = Screen(frame, codes, labels.classes, roles, data.columns, settings)
    findings = [*tests.findings(), *_telling_groups(learned, data.columns)]
    protected = dict.fromkeys(kept, "screen.keep")
    protected |= {column: "a base score" for column in roles.scores.values()}
    dropped = {finding.column for finding in findings} - protected.keys()
    names = [name for name in roles.candidates if name not in dropped]
    if not names:
        raise InputError("the screen leaves no feature; see screen.max_auc and screen.keep")
    lines = _lines(data.columns, roles, findings, protected, tests)
    for line in lines.filter(pl.col("reason").str.starts_with("leak")).iter_rows(named=True):
        log.warning("column '%s': %s", line["column"], line["reason"])
    log.info("%s features of %s columns", f"{len(names):,}", f"{lines.height:,}")
    return Screened(feature_set(names, data.columns, categories), lines)


def _telling_groups(
    learned: Mapping[str, Learned], columns: Mapping[str, Any]
) -> Iterator[Finding]:
    """Categories that are in one group only: of a new group they say nothing."""
    for name, of in learned.items():
        if not of.names and columns[name]["minimum"] is not None:
            yield Finding(name, "empty in every row of the training groups")
        elif of.alone > TELLS_GROUP:
            share = f"{of.alone:.0%} of its rows have a category of one training group only"
            yield Finding(name, f"tells the group: {share}")


def _read_sample(
    data: Analysed, sampled: pl.DataFrame, categories: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Read the rows of some groups; infinite values are missing, categories are numbers."""
    columns = [*data.roles.candidates, data.roles.label]
    frames = (
        frame.with_columns(numbered(frame[name], known) for name, known in categories.items())
        for frame in read_groups(data.shards, sampled, columns, data.roles.group)
    )
    frame = _joined(frames)
    return frame.with_columns(cs.float().cast(pl.Float32).replace([np.inf, -np.inf], None))


def feature_set(
    names: Sequence[str],
    columns: Mapping[str, Any],
    categories: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The ordered features as JSON, with what the memory of a batch depends on."""
    chosen = Features.order({name: columns[name]["kind"] for name in names}, categories)
    facts = [columns[name] for name in chosen.names]
    densities = [column["density"] for column in facts[chosen.n_dense :]]
    size = {
        "counts_per_row": sum(densities),
        "n_frequent": sum(density >= FREQUENT for density in densities),
        "n_wide": sum(map(_is_wide, facts[: chosen.n_dense])),
    }
    return chosen.to_json() | {"digest": chosen.digest} | size


def _is_wide(column: Mapping[str, Any]) -> bool:
    """True if a column may take more values than a whole number of one byte."""
    if column["kind"] == "category":
        return False
    if "int" not in column["type"] or column["minimum"] is None:
        return column["type"] != "bool"
    return column["maximum"] - column["minimum"] > 255


def sample_groups(training: pl.DataFrame, max_rows: int, seed: int) -> pl.DataFrame:
    """Whole groups, at least one, with about `max_rows` rows and the class shares of all."""
    share = max_rows / int(training["rows"].sum())
    if share >= 1:
        return training
    names = training["group"].to_list()
    parts = deal(names, measures(training), [share, 1 - share], seed)
    if parts.all():
        return training.bottom_k(1, by=["rows", "group"])
    return training.filter(pl.Series(parts == 0))


def _joined(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Join frames as they come: each column of a small frame takes 1 KB beside its cells."""
    whole, pending = [], []
    for frame in frames:
        pending.append(frame)
        if sum(part.height for part in pending) >= BATCH_ROWS:
            whole.append(pl.concat(pending, rechunk=True))
            pending = []
    return pl.concat([*whole, *pending], rechunk=True)


class Screen:
    """Tests of single columns, and of pairs of them, against every class.

    Parameters
    ----------
    frame
        The sample.
    codes
        (rows,) class of each row.
    classes, roles, columns, settings
        Class names, roles, column facts of the profile, and the section `screen`.
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        codes: np.ndarray,
        classes: Sequence[str],
        roles: Roles,
        columns: Mapping[str, Any],
        settings: Screening,
    ):
        self.frame, self.classes, self.roles = frame, list(classes), roles
        self.columns, self.settings = columns, settings
        self.positives = codes[:, None] == np.arange(len(classes))
        self.aucs = {name: self._auc(name) for name in roles.candidates}
        self.limits = self._limits()
        self.distinct = {name: frame[name].n_unique() for name in roles.candidates}

    def findings(self) -> list[Finding]:
        """Every reason against every column, in the order of the tests."""
        found = []
        for name in self.roles.candidates:
            facts = self.columns[name]
            if facts["minimum"] is None:
                found.append(Finding(name, "empty in every row"))
            elif facts["constant"]:
                value = "" if facts["kind"] == "category" else f" ({facts['minimum']:g})"
                found.append(Finding(name, f"constant{value}"))
        found += self._duplicates({finding.column for finding in found})
        for name in self.roles.candidates:
            found += self._leaks(name)
        excused = {finding.column for finding in found}
        return found + self._pair_leaks(excused)

    def _auc(self, name: str) -> np.ndarray:
        """AUC of the column for each class, NaN where a class or its rest has no value.

        Categories are in the order of the share of the class.
        """
        column = self.frame[name]
        if column.dtype in (pl.UInt8, pl.UInt16) and not column.null_count():
            return aucs_by_value(column.to_numpy().astype(np.int64), self.positives)
        values = column.cast(pl.Float32).to_numpy()
        present = ~np.isnan(values)
        _, codes = np.unique(values[present], return_inverse=True)
        aucs = aucs_by_category if name in self.roles.categorical else aucs_by_value
        return aucs(codes, self.positives[present])

    def _limits(self) -> np.ndarray:
        """For each class, the AUC above which something gives the label away.

        A column made from the base score may be as good as the score. So with a base score the
        limit is 1 - (1 - AUC of the score) / 2.
        """
        limits = np.full(len(self.classes), self.settings.max_auc)
        for number, name in enumerate(self.classes):
            if name in self.roles.scores:
                base = self.aucs[self.roles.scores[name]][number]
                if np.isfinite(base):
                    limits[number] = max(limits[number], 1 - (1 - base) / 2)
        return limits

    def _duplicates(self, skip: set[str]) -> list[Finding]:
        """Columns equal to an earlier one in every row of the sample; base scores come first."""
        first: dict[str, str] = {}
        findings = []
        scores = list(self.roles.scores.values())
        for name in [*scores, *(c for c in self.roles.candidates if c not in set(scores))]:
            if name in skip or self.distinct[name] < 2:
                continue
            values = self.frame[name].cast(pl.Float32).to_numpy()
            key = hashlib.blake2b(values.tobytes()).hexdigest()
            if key in first:
                findings.append(Finding(name, f"duplicate of '{first[key]}'"))
            else:
                first[key] = name
        return findings

    def _leaks(self, name: str) -> list[Finding]:
        findings = []
        number, auc = _worst(self.aucs[name], self.limits)
        if auc is not None:
            findings.append(
                Finding(name, f"leak: alone it has AUC {auc:.4f} for '{self.classes[number]}'")
            )
        column = self.frame[name].cast(pl.Float32).fill_nan(None)
        missing = column.is_null().to_numpy()
        if missing.any():
            limit = np.full(len(self.classes), self.settings.max_missing_auc)
            number, auc = _worst(self._indicator(missing), limit)
            if auc is not None:
                label = self.classes[number]
                findings.append(
                    Finding(name, f"leak: being missing has AUC {auc:.4f} for '{label}'")
                )
        present = column.drop_nulls()
        if self.columns[name]["kind"] == "dense" and present.n_unique() > 2:
            value = present.mode().min()
            number, auc = _worst(
                self._indicator((column == value).fill_null(False).to_numpy()), self.limits
            )
            if auc is not None:
                label = self.classes[number]
                findings.append(
                    Finding(name, f"leak: the value {value:g} has AUC {auc:.4f} for '{label}'")
                )
        return findings

    def _pair_leaks(self, excused: set[str]) -> list[Finding]:
        """Pairs of dense columns whose equality gives a class away; the stronger one is dropped."""
        names = [
            name
            for name in self.roles.candidates
            if self.columns[name]["kind"] == "dense"
            and self.distinct[name] > 2
            and name not in excused
        ]
        if len(names) < 2:
            return []
        rows = np.linspace(0, self.frame.height - 1, min(PAIR_ROWS, self.frame.height)).astype(int)
        part = self.frame[rows][names].cast(pl.Float32).to_numpy()
        near = 0.5 + (self.limits - 0.5) * 0.8  # the AUC on a part of the rows may be that far off
        found, gone = [], set()
        for left, name in enumerate(names[:-1]):
            equal = part[:, left + 1 :] == part[:, [left]]
            aucs = _indicator_aucs(equal, self.positives[rows])
            for offset in np.flatnonzero((aucs > near).any(axis=1)):
                other = names[left + 1 + offset]
                finding = None if {name, other} & gone else self._pair_leak(name, other)
                if finding is not None:
                    found.append(finding)
                    gone.add(finding.column)
        return found

    def _pair_leak(self, name: str, other: str) -> Finding | None:
        equal = (self.frame[name] == self.frame[other]).fill_null(False).to_numpy()
        number, auc = _worst(self._indicator(equal), self.limits)
        if auc is None:
            return None
        scores = set(self.roles.scores.values())
        strength = {c: np.nanmax(np.abs(self.aucs[c] - 0.5)) for c in (name, other)}
        worse, better = sorted((name, other), key=lambda c: (c in scores, -strength[c], c))
        label = self.classes[number]
        return Finding(worse, f"leak: being equal to '{better}' has AUC {auc:.4f} for '{label}'")

    def _indicator(self, flags: np.ndarray) -> np.ndarray:
        return _indicator_aucs(flags[:, None], self.positives)[0]


def aucs_by_value(codes: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AUC of an ordered value for each class against the rest.

    Parameters
    ----------
    codes
        (rows,) rank of the value of each row among the distinct values.
    positives
        (rows, classes) bool.

    Returns
    -------
    numpy.ndarray
        (classes,), the Mann-Whitney statistic with ties counted half; NaN without both sides.
    """
    if not len(codes):
        return np.full(positives.shape[1], np.nan)
    total = np.bincount(codes).astype(float)
    aucs = np.empty(positives.shape[1])
    for number in range(positives.shape[1]):
        hits = np.bincount(codes, positives[:, number], minlength=len(total))
        rest = total - hits
        below = np.cumsum(rest) - rest
        pairs = hits.sum() * rest.sum()
        aucs[number] = (hits * (below + rest / 2)).sum() / pairs if pairs else np.nan
    return aucs


def aucs_by_category(codes: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AUC of categories for each class against the rest, in the order of the class's share.

    Arguments and result are those of `aucs_by_value`. No order has a larger AUC on these rows.
    """
    aucs = np.full(positives.shape[1], np.nan)
    for number, own in enumerate(positives.T):
        if len(codes):
            share = np.bincount(codes, own) / np.maximum(np.bincount(codes), 1)
            place = np.unique(share, return_inverse=True)[1]
            aucs[number] = aucs_by_value(place[codes], own[:, None])[0]
    return aucs


def _indicator_aucs(flags: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """AUC of (rows, columns) flags in the better direction: 1/2 + |rate - rest rate| / 2."""
    hits = flags.T.astype(np.float32) @ positives.astype(np.float32)
    size = positives.sum(axis=0)
    rest = len(positives) - size
    rate = hits / np.maximum(size, 1)
    rest_rate = (flags.sum(axis=0)[:, None] - hits) / np.maximum(rest, 1)
    return np.where((size > 0) & (rest > 0), 0.5 + np.abs(rate - rest_rate) / 2, 0.5)


def _worst(aucs: np.ndarray, limits: np.ndarray) -> tuple[int, float | None]:
    """The class that is given away most, in either direction, and its AUC if above the limit."""
    folded = np.nan_to_num(np.maximum(aucs, 1 - aucs), nan=0.5)
    number = int(np.argmax(folded - limits))
    return number, float(folded[number]) if folded[number] > limits[number] else None


def _lines(
    columns: Mapping[str, Any],
    roles: Roles,
    findings: Sequence[Finding],
    protected: Mapping[str, str],
    tests: Screen,
) -> pl.DataFrame:
    """One line for each column of the data set."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        reasons.setdefault(finding.column, []).append(finding.reason)
    lines = [
        {"column": column, "role": role, "kind": None, "kept": False, "reason": f"set by {key}"}
        for column, role, key in _given_roles(roles)
    ]
    lines += [
        {"column": column, "role": "left out", "kind": None, "kept": False, "reason": reason}
        for column, reason in roles.left_out.items()
    ]
    for column in roles.candidates:
        reason = "; ".join(reasons.get(column, []))
        kept = column in protected or not reason
        if kept and reason:
            reason = f"{reason}; kept all the same: {protected[column]}"
        aucs = {
            f"auc_{name}": None if np.isnan(auc) else float(auc)
            for name, auc in zip(tests.classes, tests.aucs[column], strict=True)
        }
        kind = columns[column]["kind"]
        lines.append(
            {"column": column, "role": "feature" if kept else "dropped", "kind": kind}
            | {"kept": kept, "reason": reason or "passed every test"}
            | aucs
        )
    return pl.DataFrame(lines, infer_schema_length=None)


def _given_roles(roles: Roles) -> list[tuple[str, str, str]]:
    given = [(roles.group, "group", "dataset.group"), (roles.label, "label", "dataset.label")]
    given += [(roles.weight, "weight", "dataset.weight")] if roles.weight else []
    given += [(roles.position, "position", "dataset.position")] if roles.position else []
    given += [(name, "metadata", "dataset.metadata") for name in roles.metadata]
    taken = {column for column, _, _ in given}
    return given + [(c, "excluded", "dataset.exclude") for c in roles.excluded if c not in taken]
