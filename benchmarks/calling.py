"""Complete coverage: positions per second beside naive prediction, where time goes, and memory.

The genome, the base scores (2.5 % of positions at or above 1e-5, log-uniform) and the model (4
members, 3 classes, 100 trees of depth 4 on the default features) are made up. The naive way is
what a loop over members and classes does: a dense matrix of the block for each booster. Ratios
within one run are what to trust. Writes benchmarks/calling.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/calling.py
"""

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

LENGTH = 200_000
MEMORY = [("meta", 200_000), ("meta", 2_000_000), ("hybrid", 2_000_000), ("hybrid", 20_000_000)]
SCORED, MEMBERS, TREES, TRAIN_ROWS, SMALL = 0.025, 4, 100, 20_000, 1_000
CLASSES = ("neither", "donor", "acceptor")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_genome(folder / "one", [LENGTH])
        make_genome(folder / "many", [SMALL] * (LENGTH // SMALL))
        make_model(folder / "one", folder / "model.gbm")
        naive, features = naive_seconds(folder)
        text = f"Made by `python benchmarks/calling.py`: {MEMBERS} members, {len(CLASSES)} "
        text += f"classes, {TREES} trees of depth 4 each, one thread, process time.\n\n"
        text += speeds(folder, naive, features) + shares(folder) + memory(folder)
    Path(__file__).with_suffix(".md").write_text("# Calling\n\n" + text)


def make_genome(folder: Path, lengths: list[int], seed: int = 7) -> None:
    """Write genes one after the other on alternating strands, their contig and their scores."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, sum(lengths) + 400)]
    (folder / "genome.fa").write_bytes(b">chr1\n" + letters.tobytes() + b"\n")
    lines, tables, start = [], [], 200
    for number, length in enumerate(lengths):
        name, strand = f"g{number:06d}", "+-"[number % 2]
        for first, last in ((1, length // 4), (length - length // 4, length)):
            place = f"chr1\tmade\texon\t{start + first}\t{start + last}\t.\t{strand}\t."
            lines.append(f'{place}\tgene_id "{name}"; transcript_id "{name}.1";\n')
        tables.append(scores(name, length, rng))
        start += length
    (folder / "genes.gtf").write_text("".join(lines))
    pl.concat(tables).write_parquet(folder / "scores.parquet")


def scores(name: str, length: int, rng: np.random.Generator) -> pl.DataFrame:
    places = np.sort(rng.choice(length, int(SCORED * length), replace=False)).astype(np.int32)
    value = (0.95 * 10 ** rng.uniform(-5, 0, len(places))).astype(np.float32)
    donor = rng.random(len(places)) < 0.5
    return pl.DataFrame(
        {
            "gene_id": pl.repeat(name, len(places), eager=True),
            "position": places,
            "donor": np.where(donor, value, np.float32(1e-6)),
            "acceptor": np.where(donor, np.float32(1e-6), value),
        }
    )


def load(folder: Path):
    """Sequence with its flanks, scores and spec of the first gene."""
    from genebatch.features.positions import Spec
    from genebatch.genome.fasta import Fasta
    from genebatch.genome.genes import read_gene_models
    from genebatch.genome.scores.tracks import open_scores

    spec, gene = Spec(), read_gene_models(folder / "genes.gtf")[0]
    with Fasta(folder / "genome.fa") as fasta:
        codes = fasta.fetch("chr1", gene.start - spec.window, gene.end + spec.window, gene.strand)
    with open_scores(folder / "scores.parquet", [gene]) as tracks:
        return codes, tracks.fetch(gene, 0, gene.length), spec


def make_model(folder: Path, path: Path) -> None:
    """Train members on drawn positions whose label depends on scores and on words."""
    from boosted import defaults

    from genebatch.config.settings import Learner
    from genebatch.dataset.feature_set import Features
    from genebatch.features.positions import position_features
    from genebatch.model import boosting as learner
    from genebatch.model.calibration import identity
    from genebatch.model.ensemble import EnsembleModel, Member

    settings = Learner.build(defaults("learner")).for_rows(TRAIN_ROWS)
    codes, tracks, spec = load(folder)
    rng = np.random.default_rng(3)
    kinds = {n: "count" if n in spec.count_columns else "dense" for n in spec.columns}
    features, columns = Features.order(kinds), {name: f"{name}_score" for name in CLASSES}
    members = []
    for number in range(MEMBERS):
        places = rng.choice(tracks.shape[1], TRAIN_ROWS, replace=False)
        rows = position_features(codes, *tracks, positions=places, spec=spec)
        signal = rows["3mer_GTA"] + rows["3mer_CAG"] + np.log10(rows["donor_score"]) + 4
        draw = signal + rng.normal(size=TRAIN_ROWS)
        y = np.digitize(draw, np.quantile(draw, [0.9, 0.95]))
        matrix = learner.build_matrix([features.select(rows)], len(features.names), 256, 1)
        margins, ones = learner.base_margins(rows, columns), np.ones(TRAIN_ROWS)
        boosters = [
            learner.fit_trees(matrix, y == code, ones, margins[name], TREES, settings)
            for code, name in enumerate(CLASSES)
        ]
        calibrators = (identity(np.zeros(1)),) * 3
        facts = {"rows": TRAIN_ROWS}
        name = f"b{number:03d}"
        members.append(Member(name, tuple(boosters), calibrators, (name,), (1.0,) * 3, facts))
    limits = {"rows": 0.5, "weighted": 0.5}
    facts = {"sequence": {"features": spec.plain()}}
    facts["thresholds"] = dict.fromkeys(("donor", "acceptor"), limits)
    roles = {"group": "group", "position": "row"}
    combiner = {"name": "voting", "parameters": {}}
    EnsembleModel(tuple(members), features, CLASSES, columns, combiner, None, roles, facts).save(
        path
    )


def naive_seconds(folder: Path) -> tuple[float, float]:
    """Seconds a position of naive prediction and of its features, the better of two blocks."""
    import xgboost as xgb

    from genebatch.features.positions import position_features
    from genebatch.model.archive import load_model

    model, size = load_model(folder / "model.gbm"), 16_384
    codes, tracks, spec = load(folder / "one")
    predicted, made = [], []
    for first in (0, size):
        places = np.arange(first, first + size)
        start = time.process_time()
        rows = position_features(codes, *tracks, positions=places, spec=spec)
        made.append(time.process_time() - start)
        start = time.process_time()
        found = np.empty((size, MEMBERS, len(CLASSES)))
        for number, member in enumerate(model.members):
            for column, margin in enumerate(model.starts(rows)):
                dense = rows.select(model.features.names).to_numpy().astype(np.float32)
                counts = dense[:, model.features.n_dense :]
                counts[counts == 0] = np.nan
                matrix = xgb.DMatrix(dense, missing=np.nan, base_margin=margin, nthread=1)
                logits = member.boosters[column].predict(matrix, output_margin=True)
                found[:, number, column] = member.calibrators[column].apply(logits)
        found /= found.sum(axis=2, keepdims=True)
        predicted.append(time.process_time() - start)
        assert np.allclose(found, model.frame_probabilities(rows), rtol=1e-5)
    return min(predicted) / size, min(made) / size


def run(folder: Path, model: Path, mode: str, **options):
    from genebatch.calls.calling import call

    inputs = (folder / "genome.fa", folder / "genes.gtf", folder / "scores.parquet")
    # The scores are drawn, so that high ones do not stand on GT and AG.
    return call(model, *inputs, folder / "calls", mode=mode, misaligned="warning", **options)


def speeds(folder: Path, naive: float, features: float) -> str:
    slow = 1 / (naive + features)
    lines = [f"| naive, every position, no files | {slow:,.0f} | 1 |"]
    ways = {
        f"meta, one gene of {LENGTH:,} nt": ("one", "meta", {}),
        f"meta, {LENGTH // SMALL} genes of {SMALL:,} nt": ("many", "meta", {}),
        "hybrid, band [0.001, 1)": ("one", "hybrid", {}),
        "hybrid, 1 % of positions": ("one", "hybrid", {"target_share": 0.01}),
        f"hybrid, 1 %, {LENGTH // SMALL} genes": ("many", "hybrid", {"target_share": 0.01}),
        "base": ("one", "base", {}),
        "base with bigWig files": ("one", "base", {"bigwig": True}),
    }
    for name, (part, mode, options) in ways.items():
        best = np.inf
        for _ in range(2):
            start = time.process_time()
            coverage = run(folder / part, folder / "model.gbm", mode, **options)
            best = min(best, time.process_time() - start)
        rate = coverage.positions / best
        share = coverage.rescored / coverage.positions
        line = f"| {name}, {share:.1%} re-scored | {rate:,.0f} | {rate / slow:.1f} |"
        print(line, flush=True)
        lines.append(line)
    head = "| way, all files written | positions/s a core | to naive |\n|---|---|---|\n"
    return head + "\n".join(lines) + "\n\n"


def shares(folder: Path) -> str:
    """Where the time of meta goes, by wrapping the steps."""
    from unittest import mock

    from genebatch.dataset.feature_set import Features
    from genebatch.features import along_gene as genome
    from genebatch.model import boosting as learner

    spent: Counter = Counter()
    owners = {
        "features": (genome, "window_features"),
        "sparse rows": (Features, "select"),
        "matrix": (learner, "to_matrix"),
        "trees": (learner, "predict_margin"),
    }

    def timed(name, step):
        def inner(*arguments, **options):
            start = time.process_time()
            result = step(*arguments, **options)
            spent[name] += time.process_time() - start
            return result

        return inner

    patches = [
        mock.patch.object(owner, step, timed(name, getattr(owner, step)))
        for name, (owner, step) in owners.items()
    ]
    for patch in patches:
        patch.start()
    start = time.process_time()
    run(folder / "one", folder / "model.gbm", "meta")
    total = time.process_time() - start
    for patch in patches:
        patch.stop()
    spent["the rest: calibration, files, check"] = total - sum(spent.values())
    lines = [f"| {name} | {1e6 * s / LENGTH:.1f} | {s / total:.0%} |" for name, s in spent.items()]
    head = "| step of meta | us a position | share |\n|---|---|---|\n"
    return head + "\n".join(lines) + "\n\n"


def measured(folder: Path, model: Path, mode: str, result: Path) -> None:
    """Run one set in this process and write its peak in MB."""
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    from genebatch.jobs.run import peak_mb

    coverage = run(folder, model, mode, bigwig=True)
    size = (coverage.folder / "positions.parquet").stat().st_size / coverage.positions
    share = coverage.rescored / coverage.positions
    result.write_text(f"{share:.1%} | {peak_mb():.0f} | {size:.1f}")


def memory(folder: Path) -> str:
    lines = []
    for mode, length in MEMORY:
        part, result = folder / f"{mode}{length}", folder / "result"
        make_genome(part, [length])
        process = multiprocessing.get_context("spawn").Process(
            target=measured, args=(part, folder / "model.gbm", mode, result)
        )
        process.start()
        process.join()
        lines.append(f"| {mode} | {length:,} | {result.read_text()} |")
        print(lines[-1], flush=True)
    head = "| mode, with bigWig | gene, nt | re-scored | peak MB | Parquet bytes a position |\n"
    head += "|---|---|---|---|---|\n"
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
