"""How right predicted transcripts are on real test genes, and what the cost of a site makes of it.

Needs the folder of a finished run on real genes, with calls of its test genes. Takes the weights of
sites from the run's model, from its base scores, and from further tables of base scores.
Writes benchmarks/transcripts.md.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/transcripts.py RUN [SCORES...]
"""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import polars as pl

from genebatch import load_model
from genebatch.calls import transcripts
from genebatch.calls.calling import structure_model
from genebatch.calls.transcripts import Annotated, Drawing, predict
from genebatch.features.along_gene import Genome
from genebatch.features.positions import Spec
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import SITES, Gene, read_gene_models
from genebatch.genome.scores.tracks import open_scores

COSTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
TEMPERATURES = (1.0, 1.5, 2.0, 3.0)
SEEDS = range(5)  # each cuts the clusters in two halves
REPLICATES = 500
BINS = (0, 0.2, 0.5, 0.8, 0.95, 0.99, 1.01)
PROCESSES = 2


class Setting(NamedTuple):
    """How chains are weighed; without a cost as for the features."""

    cost: float | None
    temperature: float = transcripts.TEMPERATURE


BEFORE, NOW = Setting(None, 1.0), Setting(transcripts.COST)


class Judged(NamedTuple):
    """What is right about one gene: its best chain, and the exons and chains that are written."""

    cluster: str
    whole: bool
    introns: tuple[int, int, int]  # right, predicted, canonical
    best_exons: list[tuple[float, bool]]  # posterior, whether it is canonical
    exons: list[tuple[float, bool]]
    chains: list[tuple[float, bool]]


Result = dict[Setting, list[Judged]]


def main() -> None:
    run, *further = map(Path, sys.argv[1:])
    sources = ["model", "base scores", *map(str, further)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        results = dict(zip(sources, pool.map(judge, [run] * len(sources), sources), strict=True))
    Path(__file__).with_suffix(".md").write_text(page(results))


def judge(run: Path, source: str) -> Result:
    """Judge the test genes of a run for all settings."""
    settings = [BEFORE, *map(Setting, COSTS)]
    if source == "model":
        settings += [Setting(transcripts.COST, t) for t in TEMPERATURES]
    sequence = json.loads((run / "results/config.json").read_text())[0]["settings"]
    ids = pl.read_csv(run / "results/calls/test/coverage.tsv", separator="\t")["gene_id"].to_list()
    names = pl.read_csv(run / "results/table/genes.tsv", separator="\t", infer_schema=False)
    clusters = dict(names.select("gene_id", "group").iter_rows())
    genes = [gene for gene in read_gene_models(sequence["sequence.genes"]) if gene.id in set(ids)]
    known = structure_model(load_model(run / "results/model/model.gbm").facts["sequence"])
    result: Result = {setting: [] for setting in settings}
    with Fasta(sequence["sequence.fasta"], "sequence.fasta") as fasta:
        genome = Genome(fasta, None, Spec(), known)
        for gene, rows in zip(genes, read_rows(run, source, genes), strict=True):
            for setting, judged in result.items():
                judged.append(judge_gene(gene, clusters[gene.id], genome, rows, setting))
    print(source, "done", flush=True)
    return result


def read_rows(run: Path, source: str, genes: list[Gene]) -> Iterator[np.ndarray]:
    """Rows of each gene as `transcripts.predict` reads them; a cost is put on base scores too."""
    if source in ("model", "base scores"):
        kind = "probability" if source == "model" else "base"
        columns = [f"{kind}_{name}" for name in SITES]
        path = run / "results/calls/test/positions.parquet"
        values = pl.read_parquet(path, columns=columns).to_numpy()
        parts = iter(np.split(values, np.cumsum([gene.length for gene in genes])[:-1]))
    else:
        tracks = open_scores(source, genes)
        parts = (tracks.fetch(gene, 0, gene.length).T for gene in genes)
    return (np.column_stack([part, np.ones(len(part), np.float32)]) for part in parts)


def judge_gene(
    gene: Gene, cluster: str, genome: Genome, rows: np.ndarray, setting: Setting
) -> Judged:
    canonical = Annotated(gene.transcripts)
    drawing = Drawing() if setting in (BEFORE, NOW) else Drawing(0)
    weigh = transcripts.against_chance if setting.cost is not None else lambda share, *_: share
    with (
        patch.object(transcripts, "COST", setting.cost or 0.0),
        patch.object(transcripts, "TEMPERATURE", setting.temperature),
        patch.object(transcripts, "against_chance", weigh),
    ):
        found = predict(gene, genome, lambda a, b: rows[a:b], canonical, drawing)
    best, exons = found[0], {}
    for one in found:
        last = len(one.exons) - 1
        parts = zip(one.exons, one.chain.exon_posteriors, one.exons_annotated, strict=True)
        exons |= {(n == 0, n == last, part[0]): part[1:] for n, part in enumerate(parts)}
    return Judged(
        cluster,
        set(best.introns) == canonical.introns,
        (sum(best.introns_annotated), len(best.introns), len(canonical.introns)),
        list(zip(best.chain.exon_posteriors, best.exons_annotated, strict=True)),
        list(exons.values()),
        [(one.chain.posterior, set(one.introns) == canonical.introns) for one in found],
    )


def whole(judged: list[Judged]) -> float:
    """Share of the genes whose best chain has just the canonical introns."""
    return float(np.mean([one.whole for one in judged]))


def f1(judged: list[Judged]) -> float:
    """F1 of the introns of the best chains."""
    right, predicted, canonical = np.sum([one.introns for one in judged], axis=0)
    return 2 * right / (predicted + canonical)


def log_loss(judged: list[Judged]) -> float:
    """Log loss of the posteriors of the exons of the best chains."""
    shares = np.array([exon for one in judged for exon in one.best_exons], float)
    given = np.clip(shares[:, 0], 1e-4, 1 - 1e-4)
    return float(-np.mean(np.log(np.where(shares[:, 1] == 1, given, 1 - given))))


def halves(result: Result, seed: int) -> Iterator[tuple[Result, Result]]:
    """Choosing and judging half, then the other way round; clusters stay whole."""
    for side in (0, 1):
        mask = [
            sha256(f"{seed}:{one.cluster}".encode()).digest()[0] % 2 == side
            for one in result[BEFORE]
        ]
        yield tuple(
            {
                setting: [one for one, here in zip(judged, mask, strict=True) if here == wanted]
                for setting, judged in result.items()
            }
            for wanted in (True, False)
        )


def interval(one: list[Judged], other: list[Judged], measure: Callable) -> str:
    """Difference of a measure between two settings, with 95 % of draws of clusters."""
    clusters = np.array([judged.cluster for judged in one])
    numbers = [np.flatnonzero(clusters == name) for name in np.unique(clusters)]
    rng, draws = np.random.default_rng(0), []
    for _ in range(REPLICATES):
        drawn = np.concatenate([numbers[n] for n in rng.integers(len(numbers), size=len(numbers))])
        draws.append(measure([one[n] for n in drawn]) - measure([other[n] for n in drawn]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return f"{measure(one) - measure(other):+.3f} [{low:+.3f}, {high:+.3f}]"


def page(results: dict[str, Result]) -> str:
    names = [name if "/" not in name else f"base scores of {Path(name).name}" for name in results]
    first = next(iter(results.values()))[BEFORE]
    lines = [INTRODUCTION.format(len(first), len({one.cluster for one in first}))]
    for name, result in zip(names, results.values(), strict=True):
        lines += [*cost_table(name, result), *choices(result)]
    model, base = results["model"], results["base scores"]
    lines += ["## Weights of the model against base scores\n"]
    for label, measure in (("whole chains", whole), ("F1 of introns", f1)):
        for setting in (Setting(0.0), NOW):
            difference = interval(model[NOW], base[setting], measure)
            lines.append(
                f"- {label}, model at the default against base scores at a cost of "
                f"{setting.cost:g}: {difference}"
            )
        difference = interval(model[NOW], model[BEFORE], measure)
        lines.append(f"- {label}, model at the default against without: {difference}")
    lines += ["", *temperature_table(model), *calibration(model)]
    return "\n".join(lines) + "\n" + TRIED


def cost_table(name: str, result: Result) -> list[str]:
    lines = [
        f"## Sites weighed by: {name}\n",
        "| cost | whole chains | F1 of introns |",
        "|---|---|---|",
    ]
    for setting in [BEFORE, *map(Setting, COSTS)]:
        label = "without" if setting == BEFORE else f"{setting.cost:g}"
        judged = result[setting]
        lines.append(f"| {label} | {whole(judged):.3f} | {f1(judged):.3f} |")
    return [*lines, ""]


def choices(result: Result) -> list[str]:
    """What each half chooses, and how that does on the other."""
    lines = ["| halves | genes that chose | cost | judged | without | cost 0 | F1 | without |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for seed in SEEDS:
        for choosing, judging in halves(result, seed):
            best = max(map(Setting, COSTS), key=lambda s: (whole(choosing[s]), f1(choosing[s])))
            cells = [whole(judging[s]) for s in (best, BEFORE, Setting(0.0))]
            cells += [f1(judging[s]) for s in (best, BEFORE)]
            lines.append(
                f"| {seed} | {len(choosing[BEFORE])} | {best.cost:g} | "
                + " | ".join(f"{cell:.3f}" for cell in cells)
                + " |"
            )
    return [*lines, ""]


def temperature_table(result: Result) -> list[str]:
    tempered = [Setting(transcripts.COST, t) for t in TEMPERATURES]
    lines = ["## Temperature\n", "Log loss of the exons of best chains, weighed by the model.\n"]
    lines += ["| temperature | all genes | whole chains |", "|---|---|---|"]
    lines += [
        f"| {s.temperature:g} | {log_loss(result[s]):.3f} | {whole(result[s]):.3f} |"
        for s in tempered
    ]
    lines += [
        "",
        "| halves | genes that chose | temperature | judged | at 1 |",
        "|---|---|---|---|---|",
    ]
    for seed in SEEDS:
        for choosing, judging in halves(result, seed):
            best = min(tempered, key=lambda s: log_loss(choosing[s]))
            lines.append(
                f"| {seed} | {len(choosing[BEFORE])} | {best.temperature:g} | "
                f"{log_loss(judging[best]):.3f} | {log_loss(judging[tempered[0]]):.3f} |"
            )
    return [*lines, ""]


def calibration(result: Result) -> list[str]:
    """Posteriors beside the shares that are right, over what is written, in both halves."""
    lines = ["## Calibration\n", CALIBRATION, "| half | what | posterior | without | default |"]
    lines += ["|---|---|---|---|---|"]
    for side, (half, _) in enumerate(halves(result, 0)):
        for what in ("exons", "chains"):
            parts = [
                np.array([pair for one in half[s] for pair in getattr(one, what)], float)
                for s in (BEFORE, NOW)
            ]
            for low, high in pairwise(BINS):
                inside = [part[(part[:, 0] >= low) & (part[:, 0] < high)] for part in parts]
                cells = [
                    f"{part[:, 0].mean():.2f}: {part[:, 1].mean():.2f} of {len(part)}"
                    if len(part)
                    else "none"
                    for part in inside
                ]
                lines.append(f"| {side} | {what} | {low} to {min(high, 1)} | {' | '.join(cells)} |")
    return lines


INTRODUCTION = """# Predicted transcripts

Made by `python benchmarks/transcripts.py RUN base_scores_mane.dev.parquet`. RUN has the settings of
the mouse base in `tracks.md`, and the default families.
{} test genes in {} clusters are judged. The model was trained on none of them. Each has one
transcript, the canonical one.

- "without": chains are weighed as for the features, at temperature 1. Elsewhere the odds of a site
  are those against chance sites as dense as the other sites of the gene.
- "whole chains": share of the genes whose best chain has just the introns of the canonical
  transcript.
- Halves: a hash of seed and cluster cuts the test genes in two. One half chooses the cost by whole
  chains (by F1 where two are equal), the other judges it. Then the other way round.
- Genes that choose and genes that judge are never the same in the tables of halves. The values that
  are delivered (cost 2, temperature 2) were then chosen with all test genes.
- The grid reaches to 3, since most halves choose the 2 at which a first grid ended.
- The length distributions are the defaults. They were fitted to all 622 genes, these among them.
- `mane` was trained on human genes, these among them.
- Base scores pay the cost here, so that one can see what it does. In calls, only those sites pay
  that the model scored.
"""
CALIBRATION = """\
Mean posterior: share that is canonical, of how many. All exons and chains that are written count.
Sites are weighed by the model. Halves of seed 0: the other half chose temperature 2 for both, and
cost 2 for half 0, 2.5 for half 1.
"""
TRIED = """
Base scores at cost 0, as in `--mode base`, measured once on all test genes with code that is not
kept. No base score chose the temperature. Exons with a posterior of .8 to .95:

| base scores | canonical at temperature 1 | at 2 | log loss at 1 | at 2 |
|---|---|---|---|---|
| mouse | 52 % of 110 | 83 % of 235 | 0.375 | 0.237 |
| mane | 64 % of 75 | 88 % of 167 | 0.174 | 0.131 |

With itself among the sites that a site is weighed against, 35.4 % of the chains were whole at cost
2, weighed by the model. A made gene of 600 nt with one intron and sites of .9 then lost its intron,
and one of 1,500 nt with two introns lost both. Weighed against the others alone, both are found.
"""

if __name__ == "__main__":
    main()
