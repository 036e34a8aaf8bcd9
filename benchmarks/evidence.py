"""What tracks of evidence are worth on simulated genomes, each by a whole run of the workflow.

Every run has the same genome, rows, folds and test groups; only `sequence.tracks` differs. Writes
benchmarks/evidence.md.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/evidence.py [FOLDER]

FOLDER keeps the runs; one that is finished there is not repeated. A run takes a minute or two of
two cores.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import yaml
from sklearn.metrics import average_precision_score

from genebatch.io.files import read_json
from genebatch.metrics.bootstrap import bootstrap_average_precision, interval, positive_groups
from genebatch.simulation.genome import simulate_genome

REPOSITORY = Path(__file__).parents[1]
GENES, SEEDS = 200, (7, 8)
FILES = {
    "conservation": {"kind": "number", "file": "data/conservation.bw"},
    "reads": {"kind": "junctions", "file": "data/SJ.out.tab"},
    "noise": {"kind": "number", "file": "data/noise.bw"},
}
VARIANTS = {
    "no track": (),
    "conservation": ("conservation",),
    "reads": ("reads",),
    "noise": ("noise",),
    "all three": ("conservation", "reads", "noise"),
}
PLAIN = next(iter(VARIANTS))
SITES = ("donor", "acceptor")
REPLICATES, SEED = 500, 0
# Over config/config.yaml. The ensemble alone is trained, as only the tracks are compared.
CHANGES = {
    "test": {"fraction": 0.3},
    "ensemble": {"rivals": []},
    "final": "ensemble",
    "explain": {"neighbour_sites": 0},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).absolute()
        parts = [section(folder / f"seed{seed}", seed) for seed in SEEDS]
    Path(__file__).with_suffix(".md").write_text("\n".join([HEAD, *parts]))


def section(folder: Path, seed: int) -> str:
    """The results on the genome of a seed."""
    made = {
        name: run(folder / name.replace(" ", "_"), tracks, seed)
        for name, tracks in VARIANTS.items()
    }
    return "\n".join(
        [f"## Genome of seed {seed}", *precisions(made), *seconds(made), *worth(made["all three"])]
    )


def run(folder: Path, tracks: tuple[str, ...], seed: int) -> Path:
    """Run the workflow with some tracks, unless it is finished; give its folder."""
    if (folder / "finished").exists():
        return folder
    if not (folder / "data" / "genome.fa").exists():
        simulate_genome(folder / "data", n_genes=GENES, seed=seed, tracks=True)
    chosen = {"sequence": {"tracks": {name: FILES[name] for name in tracks}}}
    config = folder / "tracks.yaml"
    config.write_text(yaml.safe_dump(CHANGES | chosen))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", "--quiet", "all"]
    command += ["--configfile", str(REPOSITORY / "config/config.yaml"), str(config)]
    print(seed, *(tracks or [PLAIN]), flush=True)
    subprocess.run(command, check=True)
    (folder / "finished").touch()
    return folder


def precisions(made: dict[str, Path]) -> list[str]:
    """Average precision on the test rows, weighted to the genome, and over all positions."""
    rows = {
        name: pl.read_parquet(path / "results/evaluation/predictions.parquet")
        for name, path in made.items()
    }
    plain = rows[PLAIN]
    weight, groups = plain["weight"].to_numpy(), plain["group"].to_numpy()
    for table in rows.values():  # tracks change no row
        assert table.select("group", "position", "label").equals(
            plain.select("group", "position", "label")
        )
    cells = {name: [] for name in ("base scores", *VARIANTS)}
    for site in SITES:
        truth = (plain["label"] == site).to_numpy()
        scores = {"base scores": plain[f"score_{site}"]}
        scores |= {name: table[f"probability_{site}"] for name, table in rows.items()}
        scores = {name: column.to_numpy() for name, column in scores.items()}
        drawn = bootstrap_average_precision(truth, scores, groups, weight, REPLICATES, SEED)
        n_groups = positive_groups(truth, groups, weight)
        for name, values in scores.items():
            found, known = (
                average_precision_score(truth, v, sample_weight=weight)
                for v in (values, scores[PLAIN])
            )
            low, high = interval(drawn[name] - drawn[PLAIN], n_groups)
            gain = "" if name == PLAIN else f" ({found - known:+.4f} [{low:+.4f}, {high:+.4f}])"
            cells[name].append(f"{found:.4f}{gain}")
    complete = {name: whole_tracks(path) for name, path in made.items()}
    lines = ["", f"{plain.height:,} test rows of {plain['group'].n_unique()} groups.", ""]
    lines += [
        "| tracks | donor | acceptor | all positions: donor | acceptor |",
        "|---|---|---|---|---|",
    ]
    for name, found in cells.items():
        lines.append(f"| {name} | {' | '.join([*found, *complete.get(name, ('', ''))])} |")
    return lines


def whole_tracks(folder: Path) -> list[str]:
    """Average precision over every position of the test genes."""
    table = pl.read_csv(folder / "results/tracks/comparison.tsv", separator="\t")
    own = table.filter(pl.col("metric") == "average_precision")
    return [f"{own.filter(pl.col('class') == site)['model'].item():.4f}" for site in SITES]


def seconds(made: dict[str, Path]) -> list[str]:
    """What the jobs of the runs took."""
    lines = ["", "CPU seconds of the jobs:", "", "| tracks | all | build_dataset | call_genes |"]
    lines.append("|---|---|---|---|")
    for name, path in made.items():
        records = sorted((path / "results/usage").glob("*/*.json"))
        used = [(file.parent.name, read_json(file)["cpu_seconds"]) for file in records]
        every = sum(s for _, s in used)
        own = (sum(s for r, s in used if r == rule) for rule in ("build_dataset", "call_genes"))
        lines.append(f"| {name} | {every:.0f} | {' | '.join(f'{s:.1f}' for s in own)} |")
    return [*lines, ""]


def worth(folder: Path) -> list[str]:
    """What the page says of each track, where all of them are given."""
    paths = sorted((folder / "results/batches").glob("*/families.tsv"))
    families = pl.concat(pl.read_csv(path, separator="\t") for path in paths)
    lines = ["With all three, means over batches:", ""]
    lines += [
        "| track | class | share of the gain | rise of the log loss when permuted |",
        "|---|---|---|---|",
    ]
    for name in VARIANTS["all three"]:
        for site in SITES:
            own = families.filter((pl.col("family") == f"track {name}") & (pl.col("class") == site))
            gain, rise = own["gain_share"].mean(), own["log_loss_rise"].mean()
            error = (own["standard_error"] ** 2).sum() ** 0.5 / own.height
            lines.append(f"| {name} | {site} | {gain:.3f} | {rise:+.5f} +- {error:.5f} |")
    return [*lines, ""]


HEAD = f"""# Evidence tracks

Made by `python benchmarks/evidence.py`. {GENES} simulated genes, base scores of the light scorer,
the settings of config/config.yaml with three tenths of the rows as test groups and the ensemble
alone. Of the simulated tracks, `conservation` is higher at sites and in exons, `reads` are
junctions of most introns and false ones, and `noise` knows nothing
(`genebatch/simulation/evidence.py`).

Average precision on test rows, weighted to the prevalence of the genome. In brackets: the gain over
the run without a track, with its 95 % interval ({REPLICATES} draws of groups). Last two columns:
over every position of the test genes.

The simulated tracks are no model of real ones: the figures show that evidence comes through, not
what a track of yours is worth. Noise gains nothing. Its four differences are a few thousandths
below zero, each within chance, so a useless track may cost that much. Take one out that the page
does not show to help.
"""


if __name__ == "__main__":
    main()
