"""One batch of real size, by genebatch and by the other ways to boost it.

The same rows and folds of whole groups for all; each in a process of its own, on one core. With a
fixed number of trees and the same settings, or with early stopping (`--stop`): each writes its part
of benchmarks/peers.md. Needs LightGBM (extra `bench`).

    make bench
    .venv/bin/python benchmarks/peers.py --stop
    .venv/bin/python benchmarks/peers.py --rows 20000 --trees 10 --leave-out d
    .venv/bin/python benchmarks/peers.py --data FOLDER    # shards of genes, made or real
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import made
import numpy as np
import polars as pl
from floor import measure_floor, section
from peer_jobs import (
    PEERS,
    PHASES,
    PREPARATION,
    RULES,
    measured,
    prepare,
    run_peer,
    run_rule,
)
from peer_stopping import PATIENCE, STOPPED, run_ours, run_stopped, tell_stops
from sections import write_section

from genebatch.config.schema import resolve
from genebatch.config.settings import Learner

OURS = "e"
NAMES = {
    "a": "pandas float64, `XGBClassifier` on `X.iloc[train]`",
    "b": "polars float32, `DMatrix` and `xgb.train`",
    "c": "LightGBM, sparse",
    "d": "scikit-learn `HistGradientBoostingClassifier`, float32",
    "f": "LightGBM as people use it: pandas float32, `LGBMClassifier`",
    "g": "LightGBM, the features that the pilots pick",
    OURS: "**genebatch**",
}
PACKAGES = ("xgboost-cpu", "lightgbm", "scikit-learn", "pandas", "polars", "numpy", "scipy")

# CPU seconds for a million rows of 1,167 features: of a fit whatever its trees, and of a tree; read
# off runs of this benchmark with 20,000 rows, to say beforehand about how long one will take.
COSTS = {"a": (55, 1.2), "b": (54, 1.2), "c": (15, 0.4), "d": (61, 4.7), OURS: (7, 0.5)}

DENSE, COUNTS, DENSITY = 60, 1_104, 0.10  # of the made table; its three scores are dense as well
SEED = 7
FIXED = {"subsample": 1, "colsample_bytree": 1, "start_from": "none", "use_weights": False}
SAID = ("learning_rate", "max_depth", "min_child_weight", "lambda", "max_bin")
MOST_TREES = 800  # with early stopping
PAGE = Path(__file__).with_suffix(".md")
# Sections of the page.
TREES, STOPPING = "A fixed number of trees", "With early stopping"
FLOOR = "How far from the floor"
CLASSES = ["neither", "donor", "acceptor"]
GROUPS = ("cluster_id", "gene_id")  # of tables of genes, the first that is there
METADATA = ["gene_id", "transcript_id", "chrom", "strand", "gene_type", "position"]
METADATA += ["genomic_position", "row_source", "sample_weight"]
# Columns that only exons, or only the annotated ends of a gene, can tell.
LEAKS = ["num_exons", "total_exon_length", "total_intron_length", "avg_exon_length"]
LEAKS += ["distance_to_start", "distance_to_end", "relative_position", "gene_length"]
LEAKS += ["tx_length_filled", "site_probe", "tx_start", "gene_start"]


class Result(NamedTuple):
    """What one way cost and gave."""

    costs: list[dict[str, Any]]  # of each of its processes
    precision: list[float]  # by class
    trees: dict[str, float] | None = None  # of the folds, by class, with early stopping

    @property
    def cpu(self) -> float:
        """CPU seconds."""
        return sum(cost["cpu"] for cost in self.costs)

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return sum(cost["wall"] for cost in self.costs)

    @property
    def peak(self) -> float:
        """Peak resident memory of the largest process, in MB."""
        return max(cost["peak"] for cost in self.costs)

    def seconds(self, phase: str) -> float:
        """CPU seconds of a phase."""
        return sum(cost["seconds"].get(phase, 0.0) for cost in self.costs)


def main() -> None:
    chosen = arguments()
    n_trees = MOST_TREES if chosen.stop else chosen.trees
    patience = PATIENCE if chosen.stop else n_trees
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        settings = resolve(
            {
                "dataset": write_batch(chosen.data, chosen.rows, work / "data"),
                "test": {"groups": ["aside"]},
                "screen": {"max_rows": 5_000, "keep": ["*"]},
                "batching": {"max_groups": 1_000_000, "min_groups": 10},
                "learner": FIXED | {"n_estimators": n_trees, "early_stopping_rounds": patience},
            }
        )
        preparation = measured(prepare, work, settings)
        print(f"prepared in {preparation['cpu']:.0f} CPU s", flush=True)
        if chosen.stop:
            write_section(PAGE, STOPPING, with_stopping(chosen, work, settings))
            return
        text, far = with_all_trees(chosen, work, settings, preparation)
        write_section(PAGE, TREES, text)
        write_section(PAGE, FLOOR, far)


def with_all_trees(
    chosen: argparse.Namespace, work: Path, settings: dict, preparation: dict[str, Any]
) -> tuple[str, str]:
    """Boosters of a fixed number of trees, and how far ours are from the floor."""
    with np.load(work / "rows.npz") as rows:
        codes, n_splits = rows["codes"], int(rows["fold"].max()) + 1
    ways = [way for way in (*PEERS, OURS) if way not in chosen.leave_out]
    announce(ways, len(codes), chosen.trees)
    results = {way: run(way, work, settings, codes) for way in ways}
    floor = measured(measure_floor, work, settings)["found"]
    about = describe(chosen, work, codes, settings, n_splits)
    boosters = len(settings["dataset"]["classes"]) * (n_splits + 1)
    # The first round of (b) is not told from binning.
    rounds = {way: boosters * (chosen.trees - (way == "b")) for way in ways}
    text = "\n".join([about, table(results, rounds), "", preparing(results, preparation)])
    return text, section(floor)


def with_stopping(chosen: argparse.Namespace, work: Path, settings: dict) -> str:
    """Boosters that stop."""
    measured(tell_stops, work, settings)
    with np.load(work / "rows.npz") as rows:
        codes, n_splits = rows["codes"], int(rows["fold"].max()) + 1
    n_folds = min(chosen.folds, n_splits)
    results = {OURS: stopped(OURS, codes, run_ours, work, settings, n_folds)}
    for way in STOPPED:
        if way not in chosen.leave_out:
            results[way] = stopped(way, codes, run_stopped, way, work, settings, n_folds)
    learner = Learner.build(settings["learner"]).for_rows(len(codes)).plain()
    return describe_stopping(codes, learner, n_folds, n_splits) + stopping_table(results)


def stopped(way: str, codes: np.ndarray, function: Callable, *arguments: Any) -> Result:
    """What one way of cross-validation with early stopping cost and gave."""
    cost = measured(function, *arguments)
    scores = cost["found"]["scores"]
    held = ~np.isnan(scores[:, 0])
    return result(way, [cost], codes[held], scores[held], cost["found"]["trees"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=266_000, help="default: %(default)s")
    parser.add_argument(
        "--trees", type=int, default=20, help="of a booster, at least 2; default: %(default)s"
    )
    parser.add_argument("--data", type=Path, help="folder of shards of genes; default: made rows")
    parser.add_argument("--stop", action="store_true", help="boost with early stopping")
    parser.add_argument("--folds", type=int, default=99, help="with --stop: only the first folds")
    letters = [*PEERS, *STOPPED]
    parser.add_argument("--leave-out", nargs="*", choices=letters, default=[], metavar="LETTER")
    return parser.parse_args()


def write_batch(source: Path | None, rows: int, folder: Path) -> dict[str, Any]:
    """Write the rows of a batch into `batch`, and of a group to set aside into `aside`.

    Whole groups, drawn at random until there are so many rows; a table that has fewer gives all
    groups but one.

    Returns
    -------
    dict
        The `dataset` part of the config.
    """
    with tempfile.TemporaryDirectory() as name:
        if source is None:
            source = Path(name)
            made.write_table(source, rows + made.GROUP_ROWS, DENSE, COUNTS, DENSITY)
            roles = {"group": "group", "label": "label", "classes": made.CLASSES}
        else:
            roles = roles_of(source)
        deal(sorted(source.glob("*.parquet")), roles["group"], rows, folder)
    return roles | {"path": str(folder), "null_label": roles["classes"][0]}


def deal(shards: list[Path], column: str, rows: int, folder: Path) -> None:
    """Deal the rows of shards by their groups."""
    group = pl.col(column).cast(pl.String)
    sizes = pl.concat([pl.read_parquet(shard, columns=[column]) for shard in shards])
    sizes = sizes.group_by(group).len().sort(column).sample(fraction=1, shuffle=True, seed=SEED)
    n_groups = min(int((sizes["len"].cum_sum() <= rows).sum()), sizes.height - 1)
    members, spare = sizes[column][:n_groups].implode(), sizes[column][n_groups]
    for shard in shards:
        frame = pl.read_parquet(shard).with_columns(group)
        write(frame.filter(group.is_in(members)), folder / "batch" / shard.name)
        aside = frame.filter(group == spare).with_columns(pl.lit("aside").alias(column))
        write(aside, folder / "aside" / shard.name)


def write(frame: pl.DataFrame, path: Path) -> None:
    if frame.height:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)


def roles_of(source: Path) -> dict[str, Any]:
    """Roles of the columns of a table of genes; row weights are not used."""
    columns = pl.read_parquet_schema(next(source.glob("*.parquet")))
    group = next(name for name in GROUPS if name in columns)
    return {
        "group": group,
        "label": "splice_type",
        "classes": CLASSES,
        "metadata": [name for name in METADATA if name in columns and name != group],
        "exclude": [name for name in LEAKS if name in columns],
    }


def announce(ways: list[str], rows: int, trees: int) -> None:
    """Say about how long it will take: 5 folds of four fifths of the rows, and all rows."""
    share = rows / 1e6 * len(CLASSES)
    seconds = sum(share * 5 * (fit + tree * trees) for fit, tree in map(COSTS.get, ways))
    print(f"about {max(seconds / 60, 1):.0f} minutes of one core", flush=True)


def run(way: str, work: Path, settings: dict, codes: np.ndarray) -> Result:
    """Cross-validation and the model of all rows, by one of the ways."""
    if way == OURS:
        costs = [measured(run_rule, rule, work, settings) for rule in RULES]
        found = pl.read_parquet(work / "out_of_fold.parquet")
        classes = settings["dataset"]["classes"]
        scores = found.select(f"margin_{name}" for name in classes).to_numpy()
        codes = found["label"].replace_strict(classes, range(len(classes))).to_numpy()
    else:
        costs = [measured(run_peer, way, work, settings)]
        scores = costs[0]["found"]
    return result(way, costs, codes, scores)


def result(
    way: str,
    costs: list[dict[str, Any]],
    codes: np.ndarray,
    scores: np.ndarray,
    trees: dict[str, float] | None = None,
) -> Result:
    """Costs, and the average precision of scores."""
    from sklearn.metrics import average_precision_score

    precision = [
        float(average_precision_score(codes == column, scores[:, column]))
        for column in range(scores.shape[1])
    ]
    found = Result(costs, precision, trees)
    print(f"({way}) {found.cpu:.1f} CPU s, {found.peak:,.0f} MB, {precision}", flush=True)
    return found


def describe(
    chosen: argparse.Namespace, work: Path, codes: np.ndarray, settings: dict, n_splits: int
) -> str:
    """What was compared, and on what."""
    features = json.loads((work / "features.json").read_text())
    names, n_dense = features["names"], features["n_dense"]
    counts = len(names) - n_dense
    density = features["counts_per_row"] / counts if counts else 0
    shares = np.bincount(codes) / len(codes)
    rows = "made rows" if chosen.data is None else f"rows of {chosen.data.name}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    learner = settings["learner"]
    said = ", ".join(f"{name} {learner[name]}" for name in SAID)
    picked, rounds = (learner["select"][key] for key in ("top", "rounds"))
    return f"""
{len(codes):,} {rows}, {len(names):,} features ({n_dense} dense, {counts:,} counts, {density:.0%} \
of them not zero), classes {"/".join(f"{share:.1%}" for share in shares)}. Each way \
cross-validates in the same {n_splits} folds of whole groups, with one booster for each of \
{len(shares)} classes against the rest. Then it boosts all rows. In all these are \
{(n_splits + 1) * len(shares)} boosters of {chosen.trees} trees. Every job runs in a process of \
its own on one core with one thread. Times are CPU seconds; trust only ratios within one run. Made \
by `python benchmarks/peers.py` on {processor()}, Python {platform.python_version()}, {packages}.

- The same in all: {said}. No draws of rows or columns, no weights. Every booster starts from the \
share of its class. None starts from base scores; the table's scores are features like others. A \
fixed number of trees, no early stopping.
- (a) and (b) are what people write: rows are taken out and binned for each fold and class. (a) \
has the table as float64.
- (c) gets the same sparse rows as (e), bins them once and takes each fold from that. It is told \
`force_row_wise`; otherwise it would try that out for each booster. It has at most 255 bins, \
because 256 do not fit its byte.
- (d) has at most 255 bins as well. It has no least sum of hessians, so a leaf has at least 20 \
rows, its default.
- (e) is what the workflow runs: two jobs that each read and bin the rows, with losses after each \
round, metrics and files. Each booster has the features that a pilot on a part of its rows picked, \
at most {picked}; the others have all. Its boosters of a fold leave out the eighth of the training \
groups by which they would stop. That costs some precision.
- `start`: the interpreter and its imports.
- `predict`: for (e) with reading the rows, and with the losses after each round.
- `build`: taking rows out, binning and setting a booster up. For (b) it includes the first round, \
which bins.
- `pick`: the pilots of (e), {rounds} rounds each, without reading and binning their rows.
- `boost`: the rounds. A round is what further trees would cost. (d) bins inside its fit, so its \
`build` and `boost` both contain binning.
"""


def table(results: dict[str, Result], rounds: dict[str, int]) -> str:
    """Seconds and memory of every way, beside those of genebatch."""
    milliseconds = {way: 1000 * results[way].seconds("boost") / rounds[way] for way in results}
    ours = results[OURS]
    labels = CLASSES  # made tables have the same
    head = ["way", *(f"{phase} s" for phase in PHASES), "CPU s", "wall s", "peak MB"]
    head += [
        "CPU, x (e)",
        "peak, x (e)",
        "ms/round",
        "round, x (e)",
        *(f"AP {name}" for name in labels),
    ]
    lines = [head, ["---"] * len(head)]
    for way, result in results.items():
        line = [f"({way}) {NAMES[way]}", *(f"{result.seconds(phase):.1f}" for phase in PHASES)]
        line += [f"{result.cpu:.1f}", f"{result.wall:.1f}", f"{result.peak:,.0f}"]
        line += [f"{result.cpu / ours.cpu:.2f}", f"{result.peak / ours.peak:.2f}"]
        line += [f"{milliseconds[way]:.1f}", f"{milliseconds[way] / milliseconds[OURS]:.2f}"]
        lines.append([*line, *(f"{value:.4f}" for value in result.precision)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def describe_stopping(
    codes: np.ndarray, learner: dict[str, Any], n_folds: int, n_splits: int
) -> str:
    """What was compared with early stopping."""
    said = ", ".join(f"{name} {learner[name]}" for name in SAID)
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES[:2])
    return f"""
Cross-validation of {len(codes):,} rows as above: {n_folds} of {n_splits} folds of whole groups, \
three boosters each. Boosters stop when an eighth of the training groups, the same for all, has \
not gained for {PATIENCE} rounds; they have at most {MOST_TREES} trees. Made by `python \
benchmarks/peers.py --stop --folds {n_folds}` on {processor()}, {packages}, one thread each.

- (e), (c) and (g) have the same settings, genebatch's defaults for so many rows: {said}. No draws \
of rows or columns, no weights, no base scores. The bins of (c) and (g) are one fewer.
- (f) has LightGBM's defaults, 31 leaves, 255 bins and no limit of depth among them. Its rows are \
taken from the table for each booster.
- (c) bins all rows once and takes those of each booster from that.
- (g) gets the features that genebatch's pilots pick for the fold and class. The code of genebatch \
picks and reads them.
- `trees`: mean over folds: neither, donor, acceptor.

"""


def stopping_table(results: dict[str, Result]) -> str:
    """Cost and worth of every way that stops, beside those of genebatch."""
    ours = results[OURS]
    head = ["way", *(f"{phase} s" for phase in PHASES), "CPU s", "peak MB", "CPU, x (e)"]
    head += ["peak, x (e)", "trees", *(f"AP {name}" for name in CLASSES)]
    lines = [head, ["---"] * len(head)]
    for way, result in results.items():
        line = [f"({way}) {NAMES[way]}", *(f"{result.seconds(phase):.1f}" for phase in PHASES)]
        line += [f"{result.cpu:.1f}", f"{result.peak:,.0f}", f"{result.cpu / ours.cpu:.2f}"]
        line += [f"{result.peak / ours.peak:.2f}"]
        line += [", ".join(f"{trees:.0f}" for trees in result.trees.values())]
        lines.append([*line, *(f"{value:.4f}" for value in result.precision)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def preparing(results: dict[str, Result], preparation: dict[str, Any]) -> str:
    """What the data set costs before its batches, which only genebatch has."""
    ours = results[OURS]
    parts = dict.fromkeys(PREPARATION.values())
    spent = ", ".join(f"{part} {preparation['seconds'].get(part, 0):.1f}" for part in parts)
    total = ours.cpu + preparation["cpu"]
    ratios = ", ".join(
        f"({way}) {result.cpu / total:.2f}" for way, result in results.items() if way != OURS
    )
    jobs = ", ".join(
        f"`{rule}` {cost['cpu']:.1f} s and {cost['peak']:,.0f} MB"
        for rule, cost in zip(RULES, ours.costs, strict=True)
    )
    return (
        f"The jobs of (e): {jobs}. Before them, once for a data set and here for the one batch: "
        f"{preparation['cpu']:.1f} CPU s ({spent}) and {preparation['peak']:,.0f} MB. With that "
        f"included, the time of the others / the time of (e): {ratios}."
    )


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "Linux")


if __name__ == "__main__":
    main()
