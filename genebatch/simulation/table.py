"""Simulates the example table: genes with sites, base scores that can be improved, and k-mers.

Two traps are set on purpose.

- The first fifth of the genes in the order of their names (`quiet` genes, all small) has donors and
  no acceptor, so batches dealt by name lack a class.
- The columns of `columns.PLANTED` break a careless feature filter. A model that keeps the leaks
  looks perfect in training and fails on the new genes: there the leaks are empty, because no label
  was known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.io.files import InputError, whole
from genebatch.simulation.columns import gene_table
from genebatch.simulation.gene import CELL, GENE_GC_SPREAD, MEAN_GC, GenePlan

ROWS_PER_GENE = (8, 2_000)
ROW_GROUP = 4_096  # rows
QUIET_SHARE = 5  # one gene in five
TRAINING_CHROMS = ("chr1", "chr2", "chr3", "chr4", "chr5")
NEW_CHROMS = ("chr6",)


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

    Training genes share exactly `n_rows` rows, 8 to 2,000 each. A gene is never in two shards, and
    its rows do not depend on the number of shards. The new genes have the same size on average and
    lack the label column. Parts of an earlier call are replaced only after all new ones are
    complete. Holds one shard in memory.

    Raises
    ------
    InputError
        If the numbers do not fit together, or if a target folder holds other Parquet files.
    """
    _check_numbers(n_genes, n_rows, n_shards, n_new_genes)
    folders = [Path(out) / "example", Path(out) / "new"]
    genes = plan_genes(n_genes, n_rows, seed, 1, TRAINING_CHROMS)
    new = plan_genes(n_new_genes, n_new_genes * n_rows // n_genes, seed, n_genes + 1, NEW_CHROMS)
    shards = {folders[0] / f"part-{i:03d}.parquet": genes[i::n_shards] for i in range(n_shards)}
    shards[folders[1] / "part-000.parquet"] = new

    def write(path: Path, members: Sequence[GenePlan]) -> None:
        _write_shard(path, members, seed, labelled=members is not new)

    write_parts(shards, write)
    return Path(out)


def write_parts(
    shards: Mapping[Path, Sequence[GenePlan]], write: Callable[[Path, Sequence[GenePlan]], None]
) -> None:
    """Write every shard by `write`, then remove other parts of an earlier call.

    Raises
    ------
    InputError
        If a target folder holds other Parquet files.
    """
    folders = {path.parent for path in shards}
    for folder in folders:
        _check_folder(folder)
    with ExitStack() as complete:
        for path, members in shards.items():
            write(complete.enter_context(whole(path)), members)
    for folder in folders:
        for path in set(folder.glob("part-*.parquet")) - set(shards):
            path.unlink()


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


def plan_genes(n: int, n_rows: int, seed: int, first: int, chroms: Sequence[str]) -> list[GenePlan]:
    """Plan `n` genes numbered from `first`, in the order of their names."""
    rng = np.random.default_rng([seed, 1, first])
    n_quiet = n // QUIET_SHARE
    rows = _quiet_first(_sizes(n, n_rows, rng), n_quiet, rng)
    return place_genes(rows, rng, first, chroms, n_quiet)


def place_genes(
    rows: np.ndarray, rng: np.random.Generator, first: int, chroms: Sequence[str], n_quiet: int = 0
) -> list[GenePlan]:
    """Place genes of these numbers of rows along the contigs; the first `n_quiet` are quiet."""
    n = len(rows)
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
        GenePlan(
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
    return fit_total(sizes, n_rows, low, high)


def fit_total(sizes: np.ndarray, n_rows: int, low: int, high: int) -> np.ndarray:
    """Change sizes as little as possible, within `low` and `high`, so that they sum to `n_rows`."""
    sizes = sizes.copy()
    while missing := n_rows - sizes.sum():
        free = np.flatnonzero(sizes < high if missing > 0 else sizes > low)
        sizes[free[: abs(missing)]] += np.sign(missing)
    return sizes


def _quiet_first(sizes: np.ndarray, n_quiet: int, rng: np.random.Generator) -> np.ndarray:
    """Order the sizes so that the first `n_quiet` come from the smaller half."""
    order = np.argsort(sizes, kind="stable")
    quiet = rng.permutation(order[: max(n_quiet, len(sizes) // 2)])[:n_quiet]
    return sizes[np.concatenate([quiet, rng.permutation(np.setdiff1d(order, quiet))])]


def _write_shard(path: Path, genes: Iterable[GenePlan], seed: int, labelled: bool) -> None:
    table = pa.concat_tables(gene_table(gene, seed, labelled) for gene in genes)
    pq.write_table(table, path, row_group_size=ROW_GROUP, compression="zstd")
