"""Counts what is left out of an annotation, names it, and refuses the file if it is too much."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

ALWAYS_ALLOWED = 10  # genes; a share of a small file would allow none
MAX_REFUSED = 0.1  # share of the genes
ITEMS = {"line": pl.Int64, "name": pl.String, "gene": pl.String, "reason": pl.String}


class Found(NamedTuple):
    """Things of one kind that are left out.

    Attributes
    ----------
    items
        line, name, gene, reason: one row a thing; `reason` may be null.
    counts
        Whether they count for the limit.
    """

    items: pl.DataFrame
    counts: bool


class LeftOut:
    """What is left out of one file, by the reason.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: str | Path):
        self.path = path
        self._found: dict[str, list[Found]] = {}

    def add(self, what: str, items: pl.DataFrame, *, counts: bool = True) -> None:
        """Add things that are left out.

        Parameters
        ----------
        what
            What they are and why they are left out.
        items
            `line` and `name` of each; with `gene`, things of one gene count once for the limit;
            with `reason`, it is shown behind the name.
        counts
            Whether they count for the limit. What has no splice site to give does not.
        """
        if items.height:
            absent = [pl.lit(None, t).alias(n) for n, t in ITEMS.items() if n not in items.columns]
            rows = items.with_columns(absent).select(*ITEMS).cast(ITEMS)
            self._found.setdefault(what, []).append(Found(rows, counts))

    @property
    def genes(self) -> int:
        """Number of genes that count for the limit; a line without a gene counts as one."""
        rows = [found.items for each in self._found.values() for found in each if found.counts]
        if not rows:
            return 0
        genes = pl.concat(rows)["gene"]
        return genes.drop_nulls().n_unique() + genes.null_count()

    def report(self) -> None:
        """Log every reason as a warning."""
        for text in self._reasons():
            log.warning("%s: left out: %s", self.path, text)

    def refuse(self, fact: str, remedy: str) -> None:
        """Raise an `InputError` that names every reason."""
        reasons = "; ".join(self._reasons())
        raise InputError(f"{self.path} {fact}{': ' + reasons if reasons else ''}; {remedy}")

    def check(self, kept: int, max_refused: float, key: str) -> None:
        """Report; refuse the file if too many genes are left out.

        Parameters
        ----------
        kept
            Number of genes that stay.
        max_refused
            Largest share of the genes that may be left out; up to `ALWAYS_ALLOWED` genes always
            may, unless it is 0.
        key
            The config key or flag that sets it.
        """
        total = kept + self.genes
        allowed = max(ALWAYS_ALLOWED, max_refused * total) if max_refused else 0
        if self.genes > allowed:
            self.refuse(
                f"has {self.genes:,} of {total:,} genes that cannot be used, more than {key} "
                f"({max_refused:g}) allows",
                f"mend them, or set {key} to at least {_above(self.genes, total):g}",
            )
        self.report()

    def _reasons(self) -> Iterable[str]:
        for what, found in self._found.items():
            rows = pl.concat(each.items for each in found).sort("line", maintain_order=True)
            yield f"{rows.height:,} {what}: {first_names(map(_shown, *_first(rows)))}"


def _first(rows: pl.DataFrame) -> tuple[list, list, list]:
    shown = rows.head(10)
    return shown["line"].to_list(), shown["name"].to_list(), shown["reason"].to_list()


def _shown(line: int | None, name: str | None, reason: str | None) -> str:
    place = "" if line is None else f"line {line:,}"
    named = "" if name is None else repr(name)
    text = f"{named} ({place})" if named and place else named or place
    return text + (f" {reason}" if reason else "")


def _above(genes: int, total: int) -> float:
    """The share of the genes, rounded up to three digits."""
    return min(1.0, -(-1000 * genes // max(total, 1)) / 1000)
