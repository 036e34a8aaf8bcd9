"""Sorts the positions of a gene by what the annotation says of them, for each kind of site."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from genebatch.calls.evaluation.counts import TIERS, Tracks
from genebatch.features.gene_rows import Sites
from genebatch.genome.choice import canonical_transcript
from genebatch.genome.genes import SITES, Gene, splice_sites
from genebatch.genome.tags import TAGS

UNTAGGED = "longest"


def tier_codes(gene: Gene, labels: Sites, on_strand: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Place among `counts.TIERS` of each position as a donor and as an acceptor, (sites, length).

    Parameters
    ----------
    gene
        The gene.
    labels
        Its sites by their label.
    on_strand
        All annotated sites on its strand, see `genes.sites_on_strand`.
    """
    codes = np.full((len(SITES), gene.length), TIERS.index("none"), np.int8)
    codes[:, labels.left_out] = TIERS.index("unknown")
    own = splice_sites(gene, gene.transcripts + gene.others)
    main = splice_sites(gene, (canonical_transcript(gene),))
    # The later ones have the last word.
    for tier, sites in (("other_gene", on_strand), ("other", own), ("canonical", main)):
        for row, places in zip(codes, sites, strict=True):
            row[places] = TIERS.index(tier)
    return codes


def tier_table(tracks: Tracks) -> pl.DataFrame:
    """Count positions and calls by what the annotation says of them.

    Returns
    -------
    polars.DataFrame
        A line for each threshold of the base scores (`base_at`, see `counts.BASE_AT`), class, also
        "all", and tier:

        - `base_threshold`, `model_threshold`;
        - `positions`, and `left_out`: those of them that have no label;
        - `base_called`, `model_called`, and of these `base_left_out`, `model_left_out`;
        - `base_recall`, `model_recall`: share of the positions called; null for tiers that are no
          sites of the gene, and without positions.
    """
    lines = []
    for (at, limits), cells in zip(tracks.base_thresholds.items(), tracks.tiers, strict=True):
        for name, tiers in zip((*SITES, "all"), (*cells, cells.sum(axis=0)), strict=True):
            for tier, counts in zip(TIERS, tiers, strict=True):
                line = {"class": name, "tier": tier, "base_at": at}
                line["base_threshold"] = limits.get(name)
                line["model_threshold"] = tracks.thresholds.get(name)
                lines.append(line | _counts(tier, counts))
    return pl.DataFrame(lines, infer_schema_length=None)


def canonical_by(genes: Sequence[Gene]) -> dict[str, int]:
    """By which tag the canonical transcript of each gene is known: number of genes by tag."""
    counts = Counter(canonical_transcript(gene).tag or UNTAGGED for gene in genes)
    return {tag: counts[tag] for tag in (*TAGS, UNTAGGED) if counts[tag]}


def _counts(tier: str, counts: np.ndarray) -> dict[str, Any]:
    """Counts of a tier; the axes are: has a label, called by base, called by the model."""
    called = {"base": counts[:, 1].sum(axis=1), "model": counts[:, :, 1].sum(axis=1)}
    positions = int(counts.sum())
    line: dict[str, Any] = {"positions": positions, "left_out": int(counts[0].sum())}
    line |= {f"{side}_called": int(both.sum()) for side, both in called.items()}
    line |= {f"{side}_left_out": int(both[0]) for side, both in called.items()}
    judged = positions > 0 and tier in TIERS[:2]
    recalls = {side: both.sum() / positions if judged else None for side, both in called.items()}
    return line | {f"{side}_recall": value for side, value in recalls.items()}
