"""What the chains of splice sites are worth on real genes, and what they cost.

Out-of-fold average precision, weighted to the prevalence of the genome. Writes
benchmarks/structure.md.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 .venv/bin/python benchmarks/structure.py
"""

import gzip
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
from features import PLACES, REPLICATES, cell, out_of_fold
from real_rows import BASES, LANDSCAPE, Rows, human_folder, read_rows

from genebatch.config.schema import load_schema
from genebatch.features.along_gene import Genome, whole_gene
from genebatch.features.cross_fitting import CrossFitted
from genebatch.features.landscape import CHANNELS
from genebatch.features.positions import Spec
from genebatch.features.structure.columns import COLUMNS
from genebatch.features.structure.model import StructureModel
from genebatch.genome.genes import Gene
from genebatch.genome.nucleotides import encode

SPEC = Spec(families=("scores", "structure"))
VARIANTS = {
    "stops only (default)": StructureModel(),
    "stops only, ends free": StructureModel(ends="free"),
    "codon pairs learned": None,
}
FASTA = "raw/genes_flank5000.dev.fa.gz"
HEADER = re.compile(r">(\S+) \S+:(\d+)-\d+\(([+-])\) tx=(\d+)-(\d+)")


class HeldFasta:
    """The sequence of each gene, under its name as contig."""

    def __init__(self, codes: Mapping[str, np.ndarray]):
        self.codes = codes

    def fetch(self, contig: str, start: int, end: int, strand: str) -> np.ndarray:
        """Codes of a stretch of a gene."""
        return self.codes[contig][start:end]


class HeldScores:
    """The base scores of each gene."""

    def __init__(self, tracks: Mapping[str, pl.DataFrame]):
        self.tracks = tracks

    def fetch(self, gene: Gene, start: int, stop: int) -> np.ndarray:
        """Scores of a stretch of a gene."""
        scores = np.zeros((2, gene.length), np.float32)
        track = self.tracks[gene.id]
        scores[:, track["position"].to_numpy()] = track.select(CHANNELS).to_numpy().T
        return scores[:, start:stop]


def main() -> None:
    human = human_folder()
    learner = {
        name: child.get("default")
        for name, child in load_schema()["properties"]["learner"]["properties"].items()
    } | {"learning_rate": 0.1, "max_bin": 64}
    codes, parts, costs = read_sequences(human / FASTA), [], []
    for base in BASES:
        rows, genome, genes = read_rows(human, base), *read_genome(human, base, codes)
        lines, cost = table(base, rows, genome, genes, learner)
        parts.append(lines)
        costs.append(cost)
    Path(__file__).with_suffix(".md").write_text(page(parts, costs))


def read_sequences(path: Path) -> dict[str, np.ndarray]:
    """Codes of each gene from its first to its last nt, in transcript orientation."""
    texts: dict[str, list[str]] = {}
    spans = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            if line.startswith(">"):
                name, first, strand, start, end = HEADER.match(line).groups()
                spans[name] = int(start) - int(first), int(end) - int(first), strand
                texts[name] = []
            else:
                texts[name].append(line.strip())
    codes = {}
    for name, (start, end, strand) in spans.items():
        plus = encode("".join(texts[name]))[start:end]
        turned = np.where(plus < 4, 3 - plus, plus)[::-1]
        codes[name] = plus if strand == "+" else turned
    return codes


def read_genome(
    human: Path, base: str, codes: Mapping[str, np.ndarray]
) -> tuple[Genome, dict[str, SimpleNamespace]]:
    """Sequence and scores of all genes, and the genes with their clusters."""
    tracks = pl.read_parquet(human / "raw" / f"base_scores_{base}.dev.parquet")
    named = tracks.with_columns(pl.col("gene_id").cast(pl.String)).partition_by(
        "gene_id", as_dict=True
    )
    columns = ["gene_id", "cluster_id"]
    clusters = pl.read_parquet(human / base / "*.parquet", columns=columns).unique()
    genes = {
        gene: SimpleNamespace(
            gene=Gene(gene, gene, gene, "+", 0, len(codes[gene]), "", ()), group=cluster
        )
        for gene, cluster in clusters.select(pl.all().cast(pl.String)).sort("gene_id").iter_rows()
    }
    held = HeldScores({name: track for (name,), track in named.items()})
    return Genome(HeldFasta(codes), held, SPEC), genes


def chains(
    table_rows: pl.DataFrame, fitted: CrossFitted, genes: Mapping[str, SimpleNamespace]
) -> dict[str, np.ndarray]:
    """Columns of the family for the rows of a table, in its order."""
    made = []
    for (name,), rows in table_rows.partition_by(
        "gene_id", as_dict=True, maintain_order=True
    ).items():
        gene = genes[name]
        genome = fitted.of(gene.group)
        positions = rows["position"].to_numpy().astype(np.int64)
        own = genome.scores.fetch(gene.gene, 0, gene.gene.length)[:, positions]
        made.append(whole_gene(genome, gene.gene).structure.features(positions, own))
    return {name: np.concatenate([part[name] for part in made]) for name in COLUMNS}


def table(
    base: str,
    rows: Rows,
    genome: Genome,
    genes: Mapping[str, SimpleNamespace],
    learner: Mapping[str, object],
) -> tuple[str, str]:
    """Lines of one variant each, and a line of what the chains cost."""
    frame = pl.read_parquet(human_folder() / base / "*.parquet", columns=["gene_id", "position"])
    frame = frame.with_columns(pl.col("gene_id").cast(pl.String))
    reference = rows.around | {k: v for group in LANDSCAPE for k, v in rows.groups[group].items()}
    margins = {"base scores": rows.base, "without chains": out_of_fold(rows, reference, learner)}
    for name, model in VARIANTS.items():
        started = time.process_time()
        if model is None:
            fitted = CrossFitted.learn(genome, list(genes.values()))
        else:
            fitted = CrossFitted(genome._replace(structure=model))
        columns = chains(frame, fitted, genes)
        cost = time.process_time() - started
        print(base, name, f"{cost:.0f} s", flush=True)
        margins[name] = out_of_fold(rows, reference | columns, learner)
    lines = [f"## {base}"]
    for place, least in PLACES.items():
        judged = rows.to_end() >= least
        lines += [f"\n{place[0].upper()}{place[1:]}:\n", "| columns | donor | acceptor |"]
        lines += ["|---|---|---|"]
        for name, margin in margins.items():
            cells = (
                cell(rows, margin[c], margins["without chains"][c], c, judged) for c in CHANNELS
            )
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n", speed(base, genome, genes)


def speed(base: str, genome: Genome, genes: Mapping[str, SimpleNamespace]) -> str:
    """Time of the family at every position with a base score, in the three longest genes."""
    longest = sorted(genes.values(), key=lambda gene: -gene.gene.length)[:3]
    lines = []
    for gene in longest:
        track = genome.scores.tracks[gene.gene.id]
        positions = track["position"].to_numpy().astype(np.int64)
        own = track.select(CHANNELS).to_numpy().T.astype(np.float32)
        started = time.process_time()
        whole_gene(genome, gene.gene).structure.features(positions, own)
        seconds = time.process_time() - started
        rate = gene.gene.length / seconds
        lines.append(
            f"| {base} | {gene.gene.id} | {gene.gene.length:,} | {seconds:.2f} | {rate:,.0f} |"
        )
    return "\n".join(lines)


def page(parts: list[str], costs: list[str]) -> str:
    return "\n".join([INTRODUCTION, *parts, COST, *costs, "", TRIED])


INTRODUCTION = f"""# Chains of splice sites

Made by `python benchmarks/structure.py`. Average precision of all out-of-fold rows, weighted to the
prevalence of the genome.

- The rows, folds and boosters are those of `features.md`, at learning rate .1 and 64 bins.
- In brackets: the difference from the columns without chains, with its 95 % interval
  ({REPLICATES} draws of clusters).
- Codon pairs are learned from likely exons of other groups, without labels.
- One run each. Another seed moves a figure by up to .001.
"""
COST = """## Time

CPU seconds of the family at every position that has a base score, in the longest genes. The gene is
read, all chains are weighed, and the columns are made.

| base | gene | nt | seconds | nt a second |
|---|---|---|---|---|"""
# Measured once on the same folds, with code that is not kept. In 1/10,000, inside genes, donor and
# acceptor, against the columns without chains.
TRIED = """## Choices

Measured once with the mouse base, inside genes, in 1/10,000 against the columns without chains:

- strong sites from .001 on: +53 / +61; from .0001 on: +40 / +55, and three times slower
- with a cost of e^-8 for a chain that begins or ends at a site: +57 / +65 (mane +14 / +30); only at
  the ends of the gene: +53 / +61 (mane +16 / +24)
- mane donors vary most: one row of one cluster, which stands for 500 positions, makes 13 of the
  figures' 1/10,000 (the denser draw of `sampling.rest` is there for such rows)
- without the state of genes that have no reading frame: +53 / +62. It is kept for such genes
- lengths guessed from published medians: +57 / +65; fitted ones: +56 / +62 (mane the same)

The chains of predicted transcripts are in `transcripts.md`.
"""

if __name__ == "__main__":
    main()
