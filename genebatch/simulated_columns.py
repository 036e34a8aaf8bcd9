"""The columns of the example: metadata, score features, k-mers, facts of genes, planted problems.

Features are made from sequence and base scores alone; only the planted problems look at the
label.
"""

from itertools import product

import numpy as np
import pyarrow as pa

from genebatch.simulated_gene import CLASSES, WINDOW, Gene, Rows, draw_gene, gc_content, kmer_counts

LABEL = "splice_type"
METADATA = (
    *("gene_id", "transcript_id", "chrom", "strand", "gene_type", "cluster_id"),
    *("position", "genomic_position", LABEL, "sample_weight"),
)
SCORES = ("donor_score", "acceptor_score", "neither_score")
PLANTED = {
    "constant_flag": "constant: it is 1 in every row",
    "all_missing": "empty: it is null in every row",
    "tx_length_filled": "leak: it is null for neither rows and a length for sites",
    "site_probe": "leak: this one feature almost separates donors from all other rows",
    "tx_start": "leak: it equals gene_start exactly for neither rows",
    "gene_start": "leak: tx_start equals it exactly for neither rows",
    "gc_content_copy": "duplicate: it repeats gc_content",
}
KMERS = tuple(f"{k}mer_{''.join(word)}" for k in (3, 5) for word in product("ACGT", repeat=k))
EPS = 1e-6  # keeps ratios and logarithms of scores finite
NEIGHBOURS = {"m2": 0, "m1": 1, "p1": 3, "p2": 4}


def gene_table(gene: Gene, seed: int, labelled: bool) -> pa.Table:
    """Simulate the rows of one gene; without labels the leaks are those of a gene without sites."""
    rng = np.random.default_rng([seed, 2, gene.index])
    sequence, tracks, rows, label = draw_gene(gene, rng)
    label = label[rows.position] if labelled else np.full(gene.rows, "", dtype="U8")
    counts = {k: kmer_counts(sequence, rows.position, k) for k in (3, 5)}
    columns = _metadata(gene, rows, label if labelled else None)
    columns |= _score_features(tracks, rows.position)
    facts = _gene_facts(gene, sequence, rows.position, counts[3])
    columns |= facts
    columns |= _planted(gene, label, facts["gc_content"], rng)
    columns |= dict(zip(KMERS, np.hstack([counts[3], counts[5]]).T.copy(), strict=True))
    return pa.table({name: _arrow(column) for name, column in columns.items()})


def _metadata(gene: Gene, rows: Rows, label: np.ndarray | None) -> dict[str, np.ndarray]:
    """Columns of `METADATA`, without the label where it is None."""
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


def _score_features(tracks: np.ndarray, position: np.ndarray) -> dict[str, np.ndarray]:
    """Base scores and what follows from them at a position and its four neighbours."""
    near = tracks[:, position + np.arange(5)[:, None]]
    donor, acceptor, neither = near[:, 2]
    columns = dict(zip(SCORES, near[:, 2], strict=True))
    both = near[0] + near[1]
    for name, scores in (("donor", near[0]), ("acceptor", near[1]), ("context", both)):
        columns |= {f"{name}_score_{tag}": scores[i] for tag, i in NEIGHBOURS.items()}
    columns |= _probability_features(donor, acceptor, neither)
    for name, scores in zip(CLASSES, near[:2], strict=True):
        columns |= {f"{name}_{key}": value for key, value in _peak_features(scores).items()}
    around = np.delete(both, 2, axis=0)
    weighted = [columns[f"{name}_weighted_context"] for name in CLASSES]
    columns |= {
        "context_neighbor_mean": around.mean(axis=0),
        "context_max": both.max(axis=0),
        "context_asymmetry": _contrast(around[2:].sum(axis=0), around[:2].sum(axis=0)),
        "donor_acceptor_peak_ratio": (donor + EPS) / (acceptor + EPS),
        "signal_strength_ratio": columns["donor_signal_strength"]
        / (np.abs(columns["acceptor_signal_strength"]) + EPS),
        "type_signal_difference": weighted[0] - weighted[1],
    }
    return columns


def _probability_features(
    donor: np.ndarray, acceptor: np.ndarray, neither: np.ndarray
) -> dict[str, np.ndarray]:
    splice = donor + acceptor
    return {
        "splice_probability": splice,
        "relative_donor_probability": donor / splice,
        "donor_acceptor_diff": donor - acceptor,
        "splice_neither_diff": splice - neither,
        "score_difference_ratio": (donor - acceptor) / splice,
        "donor_logit": _log_ratio(donor, 1 - donor),
        "acceptor_logit": _log_ratio(acceptor, 1 - acceptor),
        "donor_acceptor_logodds": _log_ratio(donor, acceptor),
        "splice_neither_logodds": _log_ratio(splice, neither),
        "probability_entropy": -sum(p * np.log(p) for p in (donor, acceptor, neither)),
    }


def _peak_features(scores: np.ndarray) -> dict[str, np.ndarray]:
    """Shape of one class's scores, (5, rows), around the position in the middle."""
    peak, around = scores[2], np.delete(scores, 2, axis=0)
    beside = scores[1] + scores[3]
    shape = {
        "is_local_peak": (peak > np.maximum(scores[1], scores[3])).astype(np.uint8),
        "signal_strength": peak - around.mean(axis=0),
        "peak_height_ratio": (peak + EPS) / (around.mean(axis=0) + EPS),
        "surge_ratio": (peak + EPS) / (beside + EPS),
        "second_derivative": beside - 2 * peak,
        "context_diff_ratio": _contrast(peak, around.max(axis=0)),
        "weighted_context": 0.4 * peak + 0.2 * beside + 0.1 * (scores[0] + scores[4]),
        "context_max": scores.max(axis=0),
    }
    return shape | {f"diff_{tag}": peak - scores[i] for tag, i in NEIGHBOURS.items()}


def _gene_facts(
    gene: Gene, sequence: np.ndarray, position: np.ndarray, triplets: np.ndarray
) -> dict[str, np.ndarray]:
    """Composition and place of a position; complexity is the entropy of its 3-mers in bits."""
    share = triplets / triplets.sum(axis=1, keepdims=True)
    inside = sequence[WINDOW:-WINDOW]
    return {
        "gene_length": np.full(gene.rows, float(gene.length)),
        "gene_gc_content": np.full(gene.rows, np.isin(inside, (1, 2)).mean()),
        "gc_content": gc_content(sequence, position),
        "sequence_complexity": -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1),
        "distance_to_start": position.astype(float),
        "distance_to_end": gene.length - 1.0 - position,
        "relative_position": position / (gene.length - 1),
    }


def _planted(
    gene: Gene, label: np.ndarray, gc_content: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Columns of `PLANTED`: the only features that look at the label."""
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


def _log_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.log((a + EPS) / (b + EPS))


def _contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / (a + b)


def _arrow(column: np.ndarray) -> pa.Array:
    """Turn a column into Arrow: numbers as float32, NaN and the empty string as null."""
    if column.dtype.kind == "U":
        return pa.array(column, pa.string(), mask=column == "")
    if column.dtype.kind == "f":
        return pa.array(column.astype(np.float32), mask=np.isnan(column))
    return pa.array(column)
