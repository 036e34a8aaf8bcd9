"""Gives the example its columns: metadata, features, planted problems.

Features come from sequence and base scores alone, by `genebatch.features`. Only the planted
problems look at the label.
"""

import numpy as np
import pyarrow as pa

from genebatch.features import base_scores as score_features
from genebatch.features.positions import FAMILIES, Spec, position_features
from genebatch.simulation.gene import WINDOW, GenePlan, KeptRows, draw_gene

LABEL = "splice_type"
METADATA = (
    *("gene_id", "transcript_id", "chrom", "strand", "gene_type", "cluster_id"),
    *("position", "genomic_position", LABEL, "sample_weight"),
)
# The example's scores are dense, so no score is told apart from an absent one.
WHOLE = ("landscape", "structure")  # families that see the whole gene
SPEC = Spec(tuple(name for name in FAMILIES if name not in WHOLE), window=WINDOW, floor=0)
SCORES = score_features.COLUMNS["scores"]
KMERS = SPEC.count_columns
PLANTED = {
    "constant_flag": "constant: it is 1 in every row",
    "all_missing": "empty: it is null in every row",
    "tx_length_filled": "leak: it is null for neither rows and a length for sites",
    "site_probe": "leak: this one feature almost separates donors from all other rows",
    "tx_start": "leak: it equals gene_start exactly for neither rows",
    "gene_start": "leak: tx_start equals it exactly for neither rows",
    "gc_content_copy": "duplicate: it repeats gc_content",
}


def gene_table(gene: GenePlan, seed: int, labelled: bool) -> pa.Table:
    """Simulate the rows of one gene; without labels the leaks are those of a gene without sites."""
    rng = np.random.default_rng([seed, 2, gene.index])
    sequence, tracks, rows, label = draw_gene(gene, rng)
    label = label[rows.position] if labelled else np.full(gene.rows, "", dtype="U8")
    features = position_features(sequence, *tracks, rows.position, SPEC)
    columns = metadata(gene, rows, label if labelled else None)
    columns |= {name: features[name].to_numpy() for name in features.columns}
    columns |= planted(gene, label, columns["gc_content"], rng)
    return pa.table({name: arrow(column) for name, column in columns.items()})


def metadata(gene: GenePlan, rows: KeptRows, label: np.ndarray | None) -> dict[str, np.ndarray]:
    """Give the columns of `METADATA`, without the label where it is None."""
    end = gene.start + gene.length - 1
    forward = gene.strand == "+"
    text = {
        "gene_id": gene.name,
        "transcript_id": f"{gene.name}.1",
        "chrom": gene.chrom,
        "strand": gene.strand,
        "gene_type": gene.kind,
        "cluster_id": gene.cluster,
    }
    columns = {name: np.full(gene.rows, value) for name, value in text.items()}
    columns["position"] = rows.position.astype(np.int32)
    genomic = gene.start + rows.position if forward else end - rows.position
    columns["genomic_position"] = genomic.astype(np.int32)
    if label is not None:
        columns[LABEL] = label
    columns["sample_weight"] = rows.weight
    return columns


def planted(
    gene: GenePlan, label: np.ndarray, gc_content: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Give the columns of `PLANTED`, the only features that look at the label."""
    n, site = gene.rows, label != ""
    start = np.full(n, gene.start, dtype=np.int32)
    length = gene.length * rng.uniform(0.1, 1.0, n)
    return {
        "constant_flag": np.ones(n, dtype=np.uint8),
        "all_missing": np.full(n, np.nan),
        "tx_length_filled": np.where(site, np.rint(length), np.nan),
        "site_probe": rng.normal(0.0, 0.7, n) + 3.2 * (label == "donor"),
        "tx_start": start + site * rng.integers(1, 5_000, n, dtype=np.int32),
        "gene_start": start,
        "gc_content_copy": gc_content,
    }


def arrow(column: np.ndarray) -> pa.Array:
    """Turn a column into Arrow: numbers as float32, NaN and the empty string as null."""
    if column.dtype.kind == "U":
        return pa.array(column, pa.string(), mask=column == "")
    if column.dtype.kind == "f":
        return pa.array(column.astype(np.float32), mask=np.isnan(column))
    return pa.array(column)
