"""The built-in example: genes with sequence, splice sites, an improvable base model and k-mers.

The chain runs one way, as in biology: sequence -> latent strength -> sites. The base model sees
most of the strength, the features are made from sequence and base scores alone, and only the
planted problems look at the label.

Two traps are set on purpose. The first fifth of the genes in the order of their names (`quiet`
genes, all small) holds donors and no acceptor, so batches dealt by name lack a class. The columns
of `PLANTED` break a careless feature filter; a model that keeps the leaks looks perfect in
training and fails on the new genes, where the leaks are empty because no label was known.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.files import InputError, whole

LABEL = "splice_type"
CLASSES = ("donor", "acceptor")
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
WINDOW = 60  # nt on each side of a position that k-mers and local composition are counted over
KMERS = tuple(f"{k}mer_{''.join(word)}" for k in (3, 5) for word in product("ACGT", repeat=k))

ROWS_PER_GENE = (8, 2_000)
ROW_GROUP = 4_096  # rows
CELL = 64  # nt around a candidate site that no other candidate writes into
CANDIDATES_PER_ROW = 0.33  # with a site in nearly every second candidate: 6.5 % of rows per class
KEEP_ALL_ABOVE = 0.05  # base score from which every position becomes a row
GREY_ABOVE = 1e-3  # base score from which half of the positions become rows
QUIET_SHARE = 5  # one gene in five
TRAINING_CHROMS = ("chr1", "chr2", "chr3", "chr4", "chr5")
NEW_CHROMS = ("chr6",)

# (word, nt from the candidate to its first base, chance, log-odds of its presence): the part of
# the strength that the base model does not see.
MOTIFS = (
    (("GTAAG", 0, 0.5, 2.5), ("CTTGG", 10, 0.4, -2.5)),
    (("TTTCA", -22, 0.5, 2.5), ("GAGGC", -38, 0.4, -2.5)),
)
SHARPNESS_EFFECT = 1.0  # log-odds per standard deviation
GC_EFFECT = 1.2  # log-odds per standard deviation of local GC, its sign set by the gene's GC
EPS = 1e-6  # keeps ratios and logarithms of scores finite
NEIGHBOURS = {"m2": 0, "m1": 1, "p1": 3, "p2": 4}
MEAN_GC, GENE_GC_SPREAD, LOCAL_GC_SPREAD = 0.45, 0.05, 0.08


class Gene(NamedTuple):
    """What is decided about a gene before its sequence is drawn; lengths are in nt."""

    index: int
    name: str
    rows: int
    length: int
    quiet: bool
    gc: float
    chrom: str
    strand: str
    start: int
    cluster: str
    kind: str


class Candidates(NamedTuple):
    """Places that look like a splice site; arrays of one length, ordered by position."""

    position: np.ndarray
    kind: np.ndarray  # index into CLASSES
    base: np.ndarray  # log-odds that the base model gives
    sharpness: np.ndarray  # of the base model's peak, standard normal


class Rows(NamedTuple):
    """The positions of a gene that are kept, with their inverse sampling rates."""

    position: np.ndarray
    weight: np.ndarray


def simulate(
    out: str | Path,
    *,
    n_genes: int = 300,
    n_rows: int = 30_000,
    n_shards: int = 6,
    n_new_genes: int = 20,
    seed: int = 7,
) -> Path:
    """Write `out/example/part-*.parquet` to train on and `out/new/part-000.parquet` to predict.

    Training genes share exactly `n_rows` rows, 8 to 2,000 each; a gene is never in two shards, and
    its rows depend on the number of shards in no way. The new genes are of the same size on
    average and lack the label column. Parts from an earlier call are replaced only after all new
    ones are complete. Holds one shard in memory.

    Raises
    ------
    InputError
        If the numbers do not fit together, or if a target folder holds other Parquet files.
    """
    _check_numbers(n_genes, n_rows, n_shards, n_new_genes)
    folders = [Path(out) / "example", Path(out) / "new"]
    for folder in folders:
        _check_folder(folder)
    genes = _plan_genes(n_genes, n_rows, seed, 1, TRAINING_CHROMS)
    new = _plan_genes(n_new_genes, n_new_genes * n_rows // n_genes, seed, n_genes + 1, NEW_CHROMS)
    shards = {folders[0] / f"part-{i:03d}.parquet": genes[i::n_shards] for i in range(n_shards)}
    shards[folders[1] / "part-000.parquet"] = new
    with ExitStack() as complete:
        for path, members in shards.items():
            temporary = complete.enter_context(whole(path))
            _write_shard(temporary, members, seed, labelled=members is not new)
    for folder in folders:
        for path in set(folder.glob("part-*.parquet")) - set(shards):
            path.unlink()
    return Path(out)


def kmer_counts(sequence: np.ndarray, positions: np.ndarray, k: int) -> np.ndarray:
    """Count the k-mers within `WINDOW` nt of each position: (positions, 4**k), uint8.

    `sequence` holds 0 to 3 for A, C, G, T and begins `WINDOW` nt before position 0; columns are
    the words in alphabetical order, as in `KMERS`. Holds 8 bytes per cell while counting.
    """
    powers = 4 ** np.arange(k)[::-1]
    codes = np.convolve(sequence.astype(np.int64), powers[::-1], mode="valid")
    words = codes[positions[:, None] + np.arange(2 * WINDOW + 2 - k)]
    cells = words + 4**k * np.arange(len(positions))[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(positions) * 4**k)
    return counts.reshape(len(positions), 4**k).astype(np.uint8)


def _check_numbers(n_genes: int, n_rows: int, n_shards: int, n_new_genes: int) -> None:
    low, high = ROWS_PER_GENE
    if not 1 <= n_shards <= n_genes or n_new_genes < 1:
        raise InputError(
            f"{n_genes} genes, {n_shards} shards and {n_new_genes} new genes cannot be simulated; "
            "ask for 1 to n_genes shards and at least one new gene"
        )
    if not low * n_genes <= n_rows <= high * n_genes:
        raise InputError(
            f"{n_rows} rows cannot be shared by {n_genes} genes of {low} to {high} rows; "
            f"set n_rows between {low * n_genes} and {high * n_genes}"
        )


def _check_folder(folder: Path) -> None:
    foreign = [
        path.name
        for path in sorted(folder.glob("[!.]*.parquet"))
        if not path.match("part-*.parquet")
    ]
    if foreign:
        raise InputError(
            f"{folder} already holds {foreign[0]}, which the example would be mixed with; "
            "choose another folder or move the file"
        )


# --- which genes there are -----------------------------------------------------------------------


def _plan_genes(n: int, n_rows: int, seed: int, first: int, chroms: Sequence[str]) -> list[Gene]:
    """Plan `n` genes numbered from `first`, in the order of their names."""
    rng = np.random.default_rng([seed, 1, first])
    n_quiet = n // QUIET_SHARE
    rows = _quiet_first(_sizes(n, n_rows, rng), n_quiet, rng)
    lengths = (rows * np.clip(rng.lognormal(np.log(85), 0.35, n), 45, 250)).astype(int) + CELL
    chrom = np.arange(n) * len(chroms) // n
    # An overlapping pair is one cluster; the overlap is a third of the shorter gene.
    paired = (rng.random(n) < 0.1) & (np.diff(chrom, prepend=-1) == 0)
    gaps = rng.exponential(20_000, n).astype(int) + 1_000
    previous = np.concatenate([[0], lengths[:-1]])
    gaps[paired] = -np.minimum(lengths, previous)[paired] // 3
    starts = np.cumsum(gaps + previous)
    clusters = first + np.cumsum(~paired) - 1
    kinds = rng.choice(["protein_coding", "lncRNA"], n, p=[0.85, 0.15])
    gc = rng.normal(MEAN_GC, GENE_GC_SPREAD, n).clip(0.33, 0.62)
    strands = rng.choice(["+", "-"], n)
    return [
        Gene(
            index=first + i,
            name=f"SIM{first + i:06d}",
            rows=int(rows[i]),
            length=int(lengths[i]),
            quiet=i < n_quiet,
            gc=float(gc[i]),
            chrom=chroms[chrom[i]],
            strand=str(strands[i]),
            start=int(starts[i]),
            cluster=f"c{clusters[i]:06d}",
            kind=str(kinds[i]),
        )
        for i in range(n)
    ]


def _sizes(n: int, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` lognormal sizes within `ROWS_PER_GENE` that sum to `n_rows`."""
    low, high = ROWS_PER_GENE
    raw = rng.lognormal(0.0, 1.15, n)
    scale = n_rows / raw.sum()
    for _ in range(50):
        sizes = np.clip(np.rint(raw * scale), low, high).astype(int)
        scale *= n_rows / sizes.sum()
    while missing := n_rows - sizes.sum():
        free = np.flatnonzero(sizes < high if missing > 0 else sizes > low)
        sizes[free[: abs(missing)]] += np.sign(missing)
    return sizes


def _quiet_first(sizes: np.ndarray, n_quiet: int, rng: np.random.Generator) -> np.ndarray:
    """Order the sizes so that the first `n_quiet` come from the smaller half."""
    order = np.argsort(sizes, kind="stable")
    quiet = rng.permutation(order[: max(n_quiet, len(sizes) // 2)])[:n_quiet]
    return sizes[np.concatenate([quiet, rng.permutation(np.setdiff1d(order, quiet))])]


# --- one gene ------------------------------------------------------------------------------------


def _gene_table(gene: Gene, seed: int, labelled: bool) -> pa.Table:
    """Simulate the rows of one gene; without labels the leaks are those of a gene without sites."""
    rng = np.random.default_rng([seed, 2, gene.index])
    candidates = _candidates(gene, rng)
    sequence = _sequence(gene, candidates, rng)
    site = _sites(gene, candidates, sequence, rng)
    tracks = _tracks(gene, candidates, rng)
    rows = _thin(gene, candidates.position[site], tracks, rng)
    label = np.full(gene.length, "", dtype="U8")
    if labelled:
        label[candidates.position[site]] = np.array(CLASSES)[candidates.kind[site]]
    label = label[rows.position]
    counts = {k: kmer_counts(sequence, rows.position, k) for k in (3, 5)}
    columns = _metadata(gene, rows, label if labelled else None)
    columns |= _score_features(tracks, rows.position)
    facts = _gene_facts(gene, sequence, rows.position, counts[3])
    columns |= facts
    columns |= _planted(gene, label, facts["gc_content"], rng)
    columns |= dict(zip(KMERS, np.hstack([counts[3], counts[5]]).T.copy(), strict=True))
    return pa.table({name: _arrow(column) for name, column in columns.items()})


def _candidates(gene: Gene, rng: np.random.Generator) -> Candidates:
    """Place donors and acceptors in turn; the base model finds nearly half of them strong.

    Acceptors of a quiet gene are all weak: its 3' end lies outside of the data.
    """
    n = max(1, round(CANDIDATES_PER_ROW * gene.rows))
    cells = np.sort(rng.choice(gene.length // CELL, n, replace=False))
    position = cells * CELL + 40 + rng.integers(0, 8, n)
    kind = (np.arange(n) + rng.integers(2)) % 2
    strong = (rng.random(n) < 0.45) & ~(gene.quiet & (kind == 1))
    base = np.where(strong, rng.normal(3.1, 2.2, n), rng.normal(-4.8, 2.3, n))
    return Candidates(position, kind, base, rng.standard_normal(n))


def _sequence(gene: Gene, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Draw the gene with `WINDOW` nt on each side: 0 to 3 for A, C, G, T, GC drifting along it."""
    n = gene.length + 2 * WINDOW
    drift = rng.normal(0.0, LOCAL_GC_SPREAD, n // 200 + 1).repeat(200)[:n]
    strong = rng.random(n) < np.clip(gene.gc + drift, 0.1, 0.9)
    either = rng.integers(0, 2, n)
    sequence = np.where(strong, 1 + either, 3 * either).astype(np.uint8)
    start = candidates.position + WINDOW
    for kind, (core, offset) in enumerate((("GT", 0), ("AG", -1))):
        _plant(sequence, start[candidates.kind == kind] + offset, core)
        for word, shift, chance, _ in MOTIFS[kind]:
            chosen = (candidates.kind == kind) & (rng.random(len(start)) < chance)
            _plant(sequence, start[chosen] + shift, word)
    return sequence


def _plant(sequence: np.ndarray, starts: np.ndarray, word: str) -> None:
    sequence[starts[:, None] + np.arange(len(word))] = _encode(word)


def _encode(word: str) -> np.ndarray:
    return np.array(["ACGT".index(letter) for letter in word], dtype=np.uint8)


def _sites(
    gene: Gene, candidates: Candidates, sequence: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Decide which candidates are sites, by the base log-odds plus what the base model misses."""
    counts = kmer_counts(sequence, candidates.position, 5)
    missed = SHARPNESS_EFFECT * candidates.sharpness
    # In GC-rich genes GC around the site helps, in AT-rich genes it harms.
    direction = np.tanh((gene.gc - MEAN_GC) / (GENE_GC_SPREAD / 2))
    local = (_gc_content(sequence, candidates.position) - gene.gc) / LOCAL_GC_SPREAD
    missed += GC_EFFECT * direction * local
    for kind, motifs in enumerate(MOTIFS):
        for word, _, chance, effect in motifs:
            present = counts[:, _encode(word) @ 4 ** np.arange(5)[::-1]] > 0
            missed += (candidates.kind == kind) * effect * (present - chance)
    site = rng.random(len(missed)) < 1 / (1 + np.exp(-candidates.base - missed))
    return site & ~(gene.quiet & (candidates.kind == 1))


def _tracks(gene: Gene, candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Base scores from 2 nt before the gene to 2 nt after it: (3, length + 4), columns sum to 1."""
    logits = rng.normal(-16.0, 2.2, (2, gene.length + 4)).clip(max=-4.0)
    at, kind = candidates.position + 2, candidates.kind
    for shift, height in ((-2, -10.0), (-1, -8.5), (1, -8.5), (2, -10.0)):
        blur = -1.2 * candidates.sharpness + rng.normal(0.0, 0.8, len(at))
        logits[kind, at + shift] = (height + blur).clip(max=-4.0)
    logits[kind, at] = candidates.base
    odds = np.vstack([np.exp(logits), np.ones(gene.length + 4)])
    return odds / odds.sum(axis=0)


def _thin(gene: Gene, sites: np.ndarray, tracks: np.ndarray, rng: np.random.Generator) -> Rows:
    """Keep every site and strong candidate, half of the grey zone and a random rest.

    Every stratum weighs as many positions as it had, so the weights of a gene sum to its length.
    """
    score = tracks[:2, 2:-2].max(axis=0)
    must = score >= KEEP_ALL_ABOVE
    must[sites] = True
    grey = (score >= GREY_ABOVE) & ~must
    kept = [np.flatnonzero(must)]
    weights = [np.ones(len(kept[0]))]
    room = gene.rows - len(kept[0])
    n_grey = min((grey.sum() + 1) // 2, room // 2)
    for stratum, n in ((grey, n_grey), (~must & ~grey, room - n_grey)):
        kept.append(rng.choice(np.flatnonzero(stratum), n, replace=False))
        weights.append(np.full(n, stratum.sum() / max(n, 1)))
    position = np.concatenate(kept)
    order = np.argsort(position)
    return Rows(position[order], np.concatenate(weights)[order])


# --- its columns ---------------------------------------------------------------------------------


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
        "gc_content": _gc_content(sequence, position),
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


def _gc_content(sequence: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Share of G and C within `WINDOW` nt of each position."""
    total = np.concatenate([[0], np.cumsum(np.isin(sequence, (1, 2)))])
    return (total[positions + 2 * WINDOW + 1] - total[positions]) / (2 * WINDOW + 1)


def _log_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.log((a + EPS) / (b + EPS))


def _contrast(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / (a + b)


# --- writing -------------------------------------------------------------------------------------


def _arrow(column: np.ndarray) -> pa.Array:
    """Turn a column into Arrow: numbers as float32, NaN and the empty string as null."""
    if column.dtype.kind == "U":
        return pa.array(column, pa.string(), mask=column == "")
    if column.dtype.kind == "f":
        return pa.array(column.astype(np.float32), mask=np.isnan(column))
    return pa.array(column)


def _write_shard(path: Path, genes: Iterable[Gene], seed: int, labelled: bool) -> None:
    table = pa.concat_tables(_gene_table(gene, seed, labelled) for gene in genes)
    pq.write_table(table, path, row_group_size=ROW_GROUP, compression="zstd")
