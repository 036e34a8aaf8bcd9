"""Says on the page whether calls sit on annotated sites or beside them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from genebatch.metrics.neighbours import REACH, TEST, TRAINING
from genebatch.report.numbers import DASH

GENES = {TEST: "test genes", TRAINING: "training genes, by fold models that never saw them"}


class Peak(NamedTuple):
    """Where the maxima of a class lie.

    Attributes
    ----------
    sites, judged
        Sites drawn, and those of them that have a maximum.
    on_site
        Share of the judged whose maximum is the site, as text; a dash if none is judged.
    other, share
        The most frequent other offset, as text with its sign, and its share.
    beside
        Whether another offset is more frequent than the site.
    reason
        Why none is judged.
    """

    sites: int
    judged: int
    on_site: str
    other: str
    share: str
    beside: bool
    reason: str | None


class PeakLine(NamedTuple):
    """A line of the page: one class of test genes, of all batches or of one."""

    genes: str
    name: str
    base: Peak
    model: Peak


def neighbour_facts(table: pl.DataFrame) -> dict[str, Any]:
    """Give the facts of the section on neighbours of sites.

    Parameters
    ----------
    table
        As `metrics.neighbours.summarise` makes it.
    """
    lines = [
        PeakLine(part, name, *(_peak(rows, system) for system in ("base", "model")))
        for (part, name), rows in table.partition_by(
            "part", "class", as_dict=True, maintain_order=True
        ).items()
    ]
    whole = [line._replace(genes=GENES[line.genes]) for line in lines if line.genes in GENES]
    batches = [line for line in lines if line.genes not in GENES]
    return {
        "verdict": verdict([line for line in lines if line.genes == TEST]),
        "beside": any(line.model.beside for line in lines if line.genes == TEST),
        "lines": whole,
        "batches_beside": [line for line in batches if line.model.beside],
        "reach": REACH,
    }


def verdict(lines: list[PeakLine]) -> str:
    """Say in a sentence whether the model's calls sit on the sites or beside them."""
    judged = [line for line in lines if line.model.judged]
    if not judged:
        reason = lines[0].model.reason if lines else "there are no classes of sites"
        return f"It is not known whether calls sit on the sites: {reason}."
    beside = [line for line in judged if line.model.beside]
    text = "; ".join(_of_class(line) for line in judged)
    if not beside:
        return f"Calls sit on the sites ({text})."
    names = " and ".join(f"{line.name} at {line.model.other}" for line in beside)
    return f"Calls sit beside the sites: {names} nt ({text})."


def _of_class(line: PeakLine) -> str:
    peak = line.model
    other = f", most others at {peak.other}: {peak.share}" if peak.other != DASH else ""
    return f"{line.name}: {peak.on_site} of the highest probabilities on the site{other}"


def _peak(rows: pl.DataFrame, system: str) -> Peak:
    own = rows.filter(pl.col("system") == system)
    sites, judged = own["sites"].max(), round(own["peaks"].sum())
    if not judged:
        return Peak(sites, 0, DASH, DASH, DASH, beside=False, reason=own["reason"].item(0))
    is_site = pl.col("offset") == 0
    at_site = own.filter(is_site)["peak_share"].item()
    first: Mapping[str, Any] = (
        own.filter(~is_site).sort("peaks", descending=True, maintain_order=True).row(0, named=True)
    )
    share = first["peak_share"]
    other = f"{first['offset']:+d}" if share else DASH
    shown = _percent(share) if share else DASH
    return Peak(sites, judged, _percent(at_site), other, shown, share > at_site, None)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
