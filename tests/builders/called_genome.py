"""A genome of two chromosomes on disk, and a model of two members trained on its sequence."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.schema import resolve
from genebatch.config.settings import Learner
from genebatch.dataset.feature_set import Features
from genebatch.features.evidence import Evidence, EvidenceBlock
from genebatch.features.positions import Spec, position_features
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import Gene, read_gene_models, splice_sites
from genebatch.model import boosting as learner
from genebatch.model.calibration import identity
from genebatch.model.ensemble import EnsembleModel, Member
from tests.builders.evidence import opened
from tests.builders.held_genome import made_codes, made_scores

CLASSES = ("neither", "donor", "acceptor")
SPEC = Spec(families=("scores", "context", "landscape", "kmers"), kmers=(2,), window=8)
THRESHOLDS = {"donor": {"rows": 0.9, "weighted": 0.4}, "acceptor": {"rows": 0.35, "weighted": None}}
# Name, chromosome, strand and exons (1-based inclusive, as in GTF). `inner` lies inside `long` on
# its strand, `across` overlaps it on the other, `tiny` is shorter than the look of a feature.
GENES = (
    ("long", "chr1", "+", ((101, 220), (301, 420), (801, 1000))),
    ("inner", "chr1", "+", ((351, 400), (501, 560))),
    ("across", "chr1", "-", ((901, 960), (1101, 1300))),
    ("other", "chr2", "-", ((11, 60), (91, 150), (231, 290))),
    ("tiny", "chr2", "+", ((401, 404),)),
)
SIZES = {"chr1": 1500, "chr2": 500}


class Made(NamedTuple):
    """Paths of the files, the genes, their (2, length) scores, and the model."""

    folder: Path
    genes: list[Gene]
    scores: dict[str, np.ndarray]
    model: EnsembleModel
    tracks: dict[str, dict]

    @property
    def files(self) -> tuple[Path, Path, Path, Path]:
        """Model, genome, gene models and scores, in the order of the arguments of `call`."""
        names = ("model.gbm", "genome.fa", "genes.gtf", "scores.tsv")
        return tuple(self.folder / name for name in names)

    def features(self, gene: Gene) -> pl.DataFrame:
        """Features of every position of a gene at once, by the public function."""
        return gene_features(self.folder / "genome.fa", gene, self.scores[gene.id], self.tracks)

    def gene(self, name: str) -> Gene:
        """The gene of that name."""
        return next(gene for gene in self.genes if gene.id == name)


def make(folder: Path, tracks: dict[str, dict] | None = None) -> Made:
    """Write genome, gene models, scores and model; `tracks` is a section `sequence.tracks`."""
    tracks = tracks or {}
    letters = np.array(list("ACGTN"))
    with open(folder / "genome.fa", "w") as stream:
        for seed, (name, size) in enumerate(SIZES.items()):
            stream.write(f">{name}\n{''.join(letters[made_codes(size, seed)])}\n")
    (folder / "genes.gtf").write_text("".join(_exons(*gene) for gene in GENES))
    genes = read_gene_models(folder / "genes.gtf")
    scores = {gene.id: made_scores(gene.length, seed) for seed, gene in enumerate(genes)}
    for gene in genes:
        for channel, sites in enumerate(splice_sites(gene)):
            if tracks:  # base scores alone do not tell the sites
                decoys = np.random.default_rng(channel).integers(0, gene.length, 20)
                sites = np.concatenate([decoys, sites])
            scores[gene.id][channel, sites] = 0.45 if tracks else 0.6
            scores[gene.id][1 - channel, sites] = 0.1
    pl.concat(
        pl.DataFrame(
            {
                "gene_id": [name] * track.shape[1],
                "position": np.arange(track.shape[1]),
                "donor": track[0],
                "acceptor": track[1],
            }
        )
        for name, track in scores.items()
    ).write_csv(folder / "scores.tsv", separator="\t")
    model = _trained(folder / "genome.fa", genes, scores, tracks)
    model.save(folder / "model.gbm")
    return Made(folder, genes, scores, model, tracks)


def gene_features(
    fasta: Path, gene: Gene, scores: np.ndarray, tracks: dict[str, dict]
) -> pl.DataFrame:
    """Features of a whole gene, its sequence cut out with the flanks."""
    with Fasta(fasta) as reader:
        ends = gene.start - SPEC.window, gene.end + SPEC.window
        codes = np.ascontiguousarray(reader.fetch(gene.chrom, *ends, gene.strand))
    made = position_features(codes, *scores, spec=SPEC)
    with opened(tracks, [gene], SIZES) as sources:
        block = EvidenceBlock(sources, gene, 0, gene.length)
        return made.hstack(block.features(np.arange(gene.length)))


def _exons(name: str, chrom: str, strand: str, exons: tuple[tuple[int, int], ...]) -> str:
    return "".join(
        f"{chrom}\tmade\texon\t{start}\t{end}\t.\t{strand}\t.\t"
        f'gene_id "{name}"; transcript_id "{name}.1";\n'
        for start, end in exons
    )


def _trained(
    fasta: Path, genes: list[Gene], scores: dict[str, np.ndarray], tracks: dict[str, dict]
) -> EnsembleModel:
    with opened(tracks, genes, SIZES) as sources:
        evidence = Evidence(sources)
    columns = [*SPEC.columns, *evidence.columns]
    kinds = {name: "count" if name in SPEC.count_columns else "dense" for name in columns}
    features, names = Features.order(kinds), {name: f"{name}_score" for name in CLASSES}
    dataset = {"path": "x", "group": "g", "label": "l", "classes": list(CLASSES), "scores": names}
    settings = Learner.build(resolve({"dataset": dataset})["learner"]).for_rows(0)
    if tracks:  # the few sites of each kind are told by evidence alone
        settings = replace(settings, min_child_weight=0)
    members = []
    for number, part in enumerate((genes[:3], genes[2:])):
        rows = pl.concat(gene_features(fasta, gene, scores[gene.id], tracks) for gene in part)
        codes = np.concatenate([_codes(gene) for gene in part])
        matrix = learner.build_matrix([features.select(rows)], len(columns), 256, 1)
        margins = learner.base_margins(rows, names)
        fit = [
            learner.fit_trees(
                matrix, codes == column, np.ones(len(codes)), margins[name], 6, settings
            )
            for column, name in enumerate(CLASSES)
        ]
        ids = tuple(gene.id for gene in part)
        calibrators = (identity(np.zeros(1)),) * 3
        facts = {"rows": len(codes)}
        members.append(Member(f"b{number:03d}", tuple(fit), calibrators, ids, (1.0,) * 3, facts))
    sequence = {"features": SPEC.plain()} | ({"tracks": evidence.facts} if tracks else {})
    facts = {"sequence": sequence, "thresholds": THRESHOLDS}
    combiner, roles = {"name": "voting", "parameters": {}}, {"group": "group", "position": "row"}
    return EnsembleModel(tuple(members), features, CLASSES, names, combiner, None, roles, facts)


def _codes(gene: Gene) -> np.ndarray:
    codes = np.zeros(gene.length, int)
    for code, sites in enumerate(splice_sites(gene), start=1):
        codes[sites] = code
    return codes
