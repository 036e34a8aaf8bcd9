"""What the model adds on every position of real genes that no batch has seen.

Runs the workflow on the inputs that benchmarks/real_genome.py writes, once for each base model, and
writes benchmarks/tracks.md from the results. A finished run is not repeated.

    .venv/bin/python benchmarks/tracks.py FOLDER
"""

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from real_genome import SEQUENCE, TEST, run_workflow, write_inputs
from real_rows import BASES, human_folder

from genebatch import load_model
from genebatch.genome.genes import SITES
from genebatch.jobs.run import read_usage

CONFIG: dict[str, Any] = {
    "sequence": SEQUENCE,
    "test": {"fraction": TEST},
    "batching": {"max_groups": 70},
    "explain": {"rows": 500},
}
METRICS = {
    "average_precision": "average precision",
    "average_precision_near_ends": "within 1,000 nt of a gene's ends",
    "average_precision_inside": "farther inside",
    "top_k": "top-k per gene",
    "precision_at_base_recall": "precision at the base scores' recall",
    "log_loss": "log loss",
    "brier": "Brier",
}
LOSSES = ("log_loss", "brier")
HEAD = f"""# Complete tracks of real genes

Made by `python benchmarks/tracks.py FOLDER`. The delivered model called every position of the test
genes (`call.mode: meta`). The calls are judged against the splice sites of the canonical
transcripts.

- Genes: 622 human protein-coding genes (GRCh37, chr20 and the first 70 Mb of chrX).
- Base scores: of a deep splice model with 10 kb of context. `mouse` was trained on mouse and never
  saw human sequence. `mane` was trained on human genes, these among them, so its scores are
  optimistic.
- Test: a quarter of the groups (clusters of overlapping and paralogous genes) was set aside before
  anything else. The others are 4 batches.

Everything else has its default:

```yaml
{yaml.safe_dump(CONFIG, sort_keys=False, default_flow_style=None)}```

Intervals: 95 % of the draws of groups. Much of the gain comes from errors of the base model near
the ends of genes, which the landscape shows (`features.md`). Inside genes the gain is smaller.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    parts = [HEAD]
    for base in BASES:
        here = folder / base
        if not (here / "scores.parquet").exists():
            write_inputs(human_folder(), base, here)
        run_workflow(here, CONFIG)
        parts.append(section(base, here / "results"))
    Path(__file__).with_suffix(".md").write_text("\n".join(parts))


def section(base: str, results: Path) -> str:
    """The figures of one base model."""
    summary = json.loads((results / "tracks/summary.json").read_text())
    sites = " and ".join(f"{summary['classes'][name]['sites']:,} {name}s" for name in SITES)
    jobs = read_usage([str(path) for path in (results / "usage").rglob("*.json")])
    cpu, peak = sum(job["cpu_seconds"] for job in jobs), max(job["peak_mb"] for job in jobs)
    model = load_model(results)
    return "\n".join(
        [
            f"## {base}\n",
            f"{summary['positions']:,} positions of {summary['genes']} genes in "
            f"{summary['groups']} groups, {sites}. The jobs took {cpu:,.0f} CPU s, "
            f"and none held more than {peak:,.0f} MB. Delivered: `{model.facts['final']}`.\n",
            compared(table_of(results / "tracks/comparison.tsv")),
            corrected(table_of(results / "tracks/corrections.tsv")),
            rescored(table_of(results / "tracks/hybrid.tsv")),
        ]
    )


def table_of(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, separator="\t", infer_schema_length=None)


def compared(table: pl.DataFrame) -> str:
    text = "| class | metric | base | model | difference |\n|---|---|---|---|---|\n"
    for line in table.iter_rows(named=True):
        low, middle, high = (
            number(line[f"difference{end}"], line["metric"], "+") for end in ("_low", "", "_high")
        )
        base, model = (number(line[name], line["metric"]) for name in ("base", "model"))
        cells = [line["class"], METRICS[line["metric"]], base, model, f"{middle} [{low}, {high}]"]
        text += f"| {' | '.join(cells)} |\n"
    return text


def number(value: float, metric: str, sign: str = "") -> str:
    return format(value, f"{sign}.1e" if metric in LOSSES and sign else f"{sign}{digits(metric)}")


def digits(metric: str) -> str:
    return ".2e" if metric in LOSSES else ".4f"


def corrected(table: pl.DataFrame) -> str:
    """The errors of both classes together, from either threshold of the base scores."""
    texts = []
    for line in table.filter(pl.col("class") == "all").iter_rows(named=True):
        at = "0.5" if line["base_at"] == "default" else "their own best threshold"
        text = f"Base scores called from {at} on: the model corrects {line['corrected']} of their "
        text += f"errors and makes {line['made']} new ones. Missed sites: {line['base_missed']} of "
        text += f"the base scores, {line['model_missed']} of the model. False calls: "
        text += f"{line['base_false']} and {line['model_false']}.\n"
        texts.append(text)
    return "\n".join(texts)


def rescored(table: pl.DataFrame) -> str:
    changes = [f"change_{name}" for name in SITES]
    text = "| re-scored from a base score of | share of positions | change of average precision, "
    text += f"{' | '.join(SITES)} |\n|---|---|---|---|\n"
    for line in table.iter_rows(named=True):
        cells = [f"{line['low']:g}", f"{100 * line['share']:.3g} %"]
        text += f"| {' | '.join([*cells, *(f'{line[name]:+.4f}' for name in changes)])} |\n"
    return text


if __name__ == "__main__":
    main()
