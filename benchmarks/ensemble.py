"""Whole runs on real genes: every combiner, the single model and the student on unseen clusters.

    python benchmarks/ensemble.py FOLDER [--only mouse-landscape-4 ...]

Each setting is a run of the workflow in FOLDER; a run that is finished is not repeated. Writes
benchmarks/ensemble.md from all that are there. Settings differ in the base model (mouse, mane), in
the score landscape (with, without) and in the number of batches (4, 14).
"""

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

import polars as pl
import yaml
from real_rows import BASES, SPAN, human_folder, landscape

from genebatch.features.landscape import CHANNELS, COLUMNS

REPOSITORY = Path(__file__).parents[1]
LEAKY = ["num_exons", "total_exon_length", "total_intron_length", "avg_exon_length"]
LEAKY += ["gene_length", "relative_position", *SPAN]
METADATA = ["gene_id", "transcript_id", "chrom", "strand", "position", "genomic_position"]
METADATA += ["row_source"]
CLASSES = ["neither", *CHANNELS]
# What the table is made from; explanation and figures of the batches are left out.
TARGETS = ["results/evaluation/systems.tsv", "results/ensemble/estimate.tsv"]
STUDENT = ("landscape", 4)  # a student takes longer than everything else
MAX_GENES = {4: 71, 14: 20}  # of 272 clusters that train

HEAD = """# The ensemble, its combiners and the other candidates on real genes

Whole runs of the workflow: `python benchmarks/ensemble.py FOLDER`.

- Settings: the defaults, except for the number of groups in a batch and `ensemble.combiner:
  log_odds`.
- Genes: human protein-coding genes in 360 clusters of overlapping and paralogous genes. A quarter
  of the clusters is set aside before anything else. No choice has seen these test clusters.
- Features: 3-base words but no 5-base words, nothing from the annotation.
- Base models: `mouse` never saw human sequence. `mane` was trained on these genes, so its scores
  are optimistic.
- Figures are weighted to the prevalence of the genome. In brackets: 95 % intervals of the
  difference to the base scores and to the single model (500 draws of clusters).
- Members: best, median and worst by each figure.

What the tables say:

- **With the landscape everything is above the base scores**, even the median member. Every interval
  of the delivered model excludes zero, for both classes on both base models. Without the landscape
  that holds on mouse. On mane the average precision of the delivered single model then cannot be
  told from that of the base scores, while the donors of the ensembles are above them by .001.
- **The ensemble loses to one model of all rows** where there is much to learn.
  - 4 batches: donors by .001, acceptors by .001 to .003. About .002 was hoped for.
  - 14 batches: by .004 to .005 (mean of log-odds) or .003 to .004 (`stacked`). Members of 5,000
    rows stop early and lack what more genes would have taught them. No combiner brings that back.
  - Where there is little to learn (mane without the landscape) the mean of several is as good or
    better.
- `final: best` **delivered the single model in all of these runs**, for a third to a ninth of the
  trees.
  - In six runs it had the lowest held-out loss. The test clusters confirm that.
  - In the two runs on mane without the landscape the lower loss of the ensemble was within chance.
    On the test clusters the two cannot be told apart there either.
- **Combiners** differ little with 4 batches. With 14, `stacked` has the lowest held-out loss on
  training clusters in every run, 2 to 8 % below the mean of log-odds, and the best test figures.
  Its weights may sum to more than 1, which corrects members that are not sure enough. It is the
  default for that reason. With 4 batches it costs up to .5 % of the held-out loss.
- **Both together** (`ensemble.with_single`), one run on mouse with the landscape and 4 batches,
  `stacked`, 400 rounds at a learning rate of .1, 91 test clusters:

  | | donor AP | over single | acceptor AP | over single | held-out log loss x 10^6 | trees |
  |---|---|---|---|---|---|---|
  | base scores | .9468 | | .9535 | | | |
  | ensemble | .9730 | -.0001 [-.0028, +.0031] | .9650 | -.0023 [-.0042, -.0004] | 149.6 | 687 |
  | single | .9731 | | .9673 | | 147.2 | 223 |
  | both | .9740 | +.0009 [-.0006, +.0029] | .9671 | -.0002 [-.0008, +.0004] | 146.6 | 808 |

  The single model has weights of .74, .51 and .64 (neither, donor, acceptor), the batches share the
  rest. `both` has the lowest held-out loss, but the single model is within chance of it
  (+0.6 [-0.8, +2.1] x 10^-6) for a quarter of the trees: `best` delivers that one. On the test
  clusters, too, the two cannot be told apart. Joining it took 25 s of CPU time, training it 128 s.
- **The student** is as good as the single model on mouse and slightly worse on mane donors. It has
  twice as many trees and takes several times as long to train. It learns half from the teacher and
  half from the label; learning only from the teacher was worse on batches left out.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    names = ["-".join(map(str, key)) for key in settings()]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    human = human_folder()
    for key in settings():
        name = "-".join(map(str, key))
        if name in options.only:
            run(options.folder / name, write_table(human, options.folder, key[0]), *key[1:])
    parts = [section(options.folder / name, name) for name in names]
    text = HEAD + "\n".join(part for part in parts if part)
    Path(__file__).with_suffix(".md").write_text(text)


def settings() -> list[tuple[str, str, int]]:
    return list(itertools.product(BASES, ("landscape", "plain"), MAX_GENES))


def write_table(human: Path, folder: Path, base: str) -> Path:
    """The rows of one base model without words of five bases, with the landscape of every gene."""
    out = folder / f"{base}.parquet"
    if out.exists():
        return out
    folder.mkdir(parents=True, exist_ok=True)
    frame = pl.read_parquet(human / base / "*.parquet")
    frame = frame.select([name for name in frame.columns if not name.startswith("5mer_")])
    tracks = pl.read_parquet(human / "raw" / f"base_scores_{base}.dev.parquet")
    tracks = tracks.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True
    )
    parts = []
    for gene, rows in (
        frame.with_columns(pl.col("gene_id").cast(pl.String))
        .partition_by("gene_id", as_dict=True, maintain_order=True)
        .items()
    ):
        made = landscape(tracks[gene], rows)
        parts.append(rows.with_columns(pl.Series(name, v) for name, v in made.items()))
    pl.concat(parts).write_parquet(out)
    return out


def run(folder: Path, table: Path, kind: str, n_batches: int) -> None:
    """One run of the workflow; a quarter of the clusters is set aside before anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "dataset": {
            "path": str(table.resolve()),
            "group": "cluster_id",
            "label": "splice_type",
            "classes": CLASSES,
            "rest_class": "neither",
            "scores": {name: f"{name}_score" for name in CLASSES},
            "weight": "sample_weight",
            "metadata": METADATA,
            "exclude": [*LEAKY, *([] if kind == "landscape" else COLUMNS)],
        },
        "test": {"fraction": 0.25},
        "batching": {"max_groups": MAX_GENES[n_batches], "min_groups": 10, "min_positives": 5},
        "explain": {"rows": 60},
        "ensemble": {
            "combiner": "log_odds",
            "rivals": ["single", *(["distilled"] if (kind, n_batches) == STUDENT else [])],
        },
    }
    (folder / "real.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    snakefile = str(REPOSITORY / "Snakefile")
    command = [sys.executable, "-m", "snakemake", *TARGETS, "--snakefile", snakefile]
    command += ["--cores", "1"]
    command += ["--configfile", "real.yaml", "--resources", "mem_mb=8000", "--quiet"]
    subprocess.run(command, cwd=folder, check=True)


def section(folder: Path, name: str) -> str:
    """The table of one run, or nothing where it is not finished."""
    path = folder / "results/evaluation/systems.tsv"
    if not path.exists():
        return ""
    systems = pl.read_csv(path, separator="\t", infer_schema_length=None).filter("weighted")
    manifest = pl.read_csv(folder / "results/batches/manifest.tsv", separator="\t")
    base, kind, _ = name.split("-")
    size = f"{manifest.height} batches of about {manifest['rows'].mean():,.0f} rows"
    lines = [f"\n## {base}, {'with' if kind == 'landscape' else 'without'} landscape, {size}\n"]
    for label in CHANNELS:
        own = systems.filter(pl.col("class") == label)
        lines += [f"\n{label}:\n", "| candidate | AP | over base | over single | log loss x 10^6 "]
        lines[-1] += "| over base | over single | corrected / made |"
        lines.append("|---|---|---|---|---|---|---|---|")
        for system in own["system"].unique(maintain_order=True):
            part = {row["metric"]: row for row in own.filter(system=system).to_dicts()}
            mark = " (in use)" if part["average_precision"]["in_use"] else ""
            counts = [part[key]["value"] for key in ("corrected", "made") if key in part]
            cells = [system + mark, *cells_of(part["average_precision"], 1)]
            cells += cells_of(part["log_loss"], 1e6)
            cells.append(" / ".join(f"{count:,.0f}" for count in counts))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", candidates(folder)])


def cells_of(row: dict, factor: float) -> list[str]:
    places = 4 if factor == 1 else 1
    cells = [f"{row['value'] * factor:.{places}f}"]
    for reference in ("base", "single"):
        gain = row[f"over_{reference}"]
        low, high = row[f"over_{reference}_low"], row[f"over_{reference}_high"]
        if gain is None or low is None:
            cells.append("")
        else:
            low, high, gain = (value * factor for value in (low, high, gain))
            cells.append(f"{gain:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]")
    return cells


def candidates(folder: Path) -> str:
    """What was known before the test: held-out loss of the candidates on training clusters."""
    table = pl.read_csv(folder / "results/model/candidates.tsv", separator="\t")
    said = []
    for row in table.to_dicts():
        text = f"{row['candidate']} {row['log_loss'] * 1e6:.1f} ({row['trees']:,} trees"
        if row["difference_low"] is not None:
            ends = (row[key] * 1e6 for key in ("difference_low", "difference_high"))
            text += ", difference [{:+.1f}, {:+.1f}]".format(*ends)
        said.append(text + (", chosen)" if row["chosen"] else ")"))
    return f"Held-out log loss x 10^6 on training clusters: {'; '.join(said)}.\n"


if __name__ == "__main__":
    main()
