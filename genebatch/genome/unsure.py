"""Finds the stretches of genes in which an annotation does not tell all splice sites."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genebatch.genome.structure import Structure
from genebatch.io.files import first_names

if TYPE_CHECKING:
    from genebatch.genome.genes import Gene

log = logging.getLogger(__name__)

STRETCH = ("chrom", "strand", "start", "end")


def hollow_stretches(path: str | Path, structure: Structure, exons: pl.DataFrame) -> pl.DataFrame:
    """Spans of genes and transcripts that have neither exons nor CDS or UTR; warns of them.

    A line that spans exactly what a gene with exons spans is a double of that gene.
    """
    hollow = structure.hollow.filter(pl.col("end") > pl.col("start"))
    spans = exons.group_by("gene", "chrom", "strand").agg(
        pl.col("start").min(), pl.col("end").max()
    )
    hollow = hollow.join(spans, on=STRETCH, how="anti", maintain_order="left")
    for (what,), lines in hollow.partition_by("what", as_dict=True, maintain_order=True).items():
        log.warning(
            "%s: %s %ss without exons, CDS and UTR left out; their positions in other genes become "
            "no rows: %s",
            path,
            f"{lines.height:,}",
            what,
            first_names(
                f"{name!r} (line {line:,})" for name, line in lines.select("name", "line").rows()
            ),
        )
    return hollow.select(STRETCH)


def unsure_of_genes(genes: Sequence["Gene"], *stretches: pl.DataFrame) -> list["Gene"]:
    """Add the stretches on the strand of each gene in which sites are not known.

    A stretch without a strand counts for both.
    """
    table = pl.concat(part.select(STRETCH) for part in stretches)
    table = table.filter(pl.col("end") > pl.col("start"))
    spans: dict[tuple[str, str], np.ndarray] = {}
    for (chrom,), part in table.partition_by("chrom", as_dict=True).items():
        for strand, other in (("+", "-"), ("-", "+")):
            here = part.filter(pl.col("strand") != other).select("start", "end").to_numpy()
            spans[chrom, strand] = _merged(here)
    nothing = np.empty((0, 2), np.int64)
    return [_with_unsure(gene, spans.get((gene.chrom, gene.strand), nothing)) for gene in genes]


def _merged(spans: np.ndarray) -> np.ndarray:
    """Stretches that overlap or touch as one: (n, 2) int64, sorted and apart."""
    spans = spans.reshape(-1, 2).astype(np.int64)
    if not len(spans):
        return spans
    spans = spans[spans[:, 0].argsort(kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    opens = np.r_[True, spans[1:, 0] > reach[:-1]]
    closes = np.r_[opens[1:], True]
    return np.column_stack([spans[opens, 0], reach[closes]])


def _with_unsure(gene: "Gene", spans: np.ndarray) -> "Gene":
    first = np.searchsorted(spans[:, 1], gene.start, side="right")
    last = np.searchsorted(spans[:, 0], gene.end, side="left")
    if first == last:
        return gene
    inside = np.clip(spans[first:last], gene.start, gene.end)
    merged = _merged(np.concatenate([np.array(gene.unsure, np.int64).reshape(-1, 2), inside]))
    return gene._replace(unsure=tuple((start, end) for start, end in merged.tolist()))
