"""Complete coverage: a probability at every position of every requested gene, streamed."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genebatch.calls.browser_files import BED, BIGWIG, BIGWIG_KEY, write_bed, write_bigwigs
from genebatch.calls.positions_file import (
    COVERAGE,
    POSITIONS,
    Answer,
    count_coverage,
    remove_unfinished,
    write_positions,
)
from genebatch.calls.rescoring import Band, answers, band_of_mode, band_of_share, warn_of_cut
from genebatch.ensemble.thresholds import call_thresholds
from genebatch.features.along_gene import Genome
from genebatch.features.positions import FEATURE_VERSION, Spec
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import SITES, STRANDS, Gene, read_gene_models, select_genes
from genebatch.genome.scores.bigwig import bigwig_library
from genebatch.genome.scores.tracks import open_scores
from genebatch.io.files import InputError, whole
from genebatch.io.tables import check_lacking
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)

CLASSES = ("neither", *SITES)
FASTA_KEY, GENES_KEY, SCORES_KEY = (
    f"sequence.{name} or --{name}" for name in ("fasta", "genes", "scores")
)


@dataclass(frozen=True)
class Coverage:
    """What was written, counted by reading the finished file again.

    Attributes
    ----------
    folder
        Where the files are.
    table
        A line per requested gene: `gene_id, chrom, strand, expected, written, rescored,
        rescored_share, donors, acceptors, trained_on`. `trained_on` says whether the gene, by its
        id, was in the training data; null where the model does not know.
    band
        Which base scores were re-scored.
    thresholds
        The probability from which a position was called, by class.
    """

    folder: Path
    table: pl.DataFrame
    band: Band
    thresholds: dict[str, float]

    @property
    def positions(self) -> int:
        """Positions written."""
        return int(self.table["written"].sum())

    @property
    def rescored(self) -> int:
        """Positions that the model re-scored."""
        return int(self.table["rescored"].sum())


def call(
    model_file: str | Path,
    fasta: str | Path,
    genes: str | Path,
    scores: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    wanted: Collection[str] | None = None,
    mode: str = "hybrid",
    band: tuple[float, float] = (0.00003, 1.0),
    target_share: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    unscored: str = "error",
    bigwig: bool = False,
    threads: int = 1,
) -> Coverage:
    """Call every position of some genes from sequence and base scores.

    Features are those of the model's training table, whose settings the model file carries.
    Streams over blocks of `rescoring.ROWS` positions, whatever the length of a gene; see
    benchmarks/calling.md for the memory held. Warns, in the log, of genes that the model was
    trained on, and of scores that end above those of its training.

    Parameters
    ----------
    model_file
        A model that was trained on a table of `genebatch.training_table`.
    fasta, genes, scores
        Genome, gene models and base scores, as in the config part `sequence`.
    out
        Folder to write `positions.parquet`, `calls.bed` and `coverage.tsv` into, and with `bigwig`
        one bigWig file for each of donor and acceptor on each strand. All of them or none. Without
        `bigwig`, such files of an earlier call go, as they would be of other probabilities; so do
        unfinished files of a call that was killed. One call at a time writes into a folder.
    wanted
        Gene ids; all genes of the gene models by default.
    mode
        "meta" re-scores every position, "hybrid" those inside the band, "base" none. Positions
        that are not re-scored keep their base scores as probabilities.
    band
        Lower and upper end of the hybrid band, 1 being no upper end; see `rescoring.Band`.
    target_share
        At most this share of all positions of the genes is re-scored: the lower end of the band is
        the least of `rescoring.EDGES` for which that holds, found in a pass over the scores.
    thresholds
        Probability of donor and acceptor from which a position is called. By default the model's
        own for the genome's prevalence (`weighted`), or where it has none, for that of its rows.
        In mode "base" these are still those of the model's probabilities.
    unscored
        What a gene without any score is, "error" or "zero".
    bigwig
        Whether to write bigWig files as well; needs the extra `genomics`.
    threads
        Threads of a prediction.

    Returns
    -------
    Coverage

    Raises
    ------
    InputError
        If the model cannot be applied to sequences, a gene is unknown or has no scores, or no
        threshold is known. Nothing is written then.
    RuntimeError
        If the file, read again, lacks a position. Nothing is left then.
    """
    chosen = band_of_mode(mode, band, target_share)
    if bigwig:
        bigwig_library(BIGWIG_KEY)  # where it is missing, say so now and not after hours
    if Path(out).is_file():
        raise InputError(f"{out} is a file; name a folder to write into (--output)")
    model = load_model(model_file, threads=threads)
    spec = feature_spec(model, model_file)
    limits = call_thresholds(model, thresholds)
    selected = _selected(model, genes, wanted)
    with ExitStack() as inputs:
        reader = inputs.enter_context(Fasta(fasta, FASTA_KEY))
        reader.check_genes(selected, genes)
        tracks = inputs.enter_context(open_scores(scores, selected, unscored, SCORES_KEY))
        genome = Genome(reader, tracks, spec)
        if target_share is not None:
            chosen = band_of_share(genome, selected, target_share, chosen.high)
        if mode == "hybrid":
            log.info("re-scored %s", chosen)
        seen = _trained_on(model, selected)
        notes = _fitted_values(seen) if mode != "base" else []
        scored = answers(model, genome, selected, chosen)
        if mode != "base":
            source = "the bigWig files" if isinstance(scores, Mapping) else str(scores)
            scored = warn_of_cut(scored, model, source)
        origin = _origin(model, mode, chosen, limits)
        table = _write(
            Path(out), scored, selected, seen, model.classes, reader, limits, origin, notes, bigwig
        )
    log.info(
        "%s genes, %s positions, %s of them re-scored, %s donors and %s acceptors called",
        f"{table.height:,}",
        *(f"{table[n].sum():,}" for n in ("written", "rescored", "donors", "acceptors")),
    )
    return Coverage(Path(out), table, chosen, limits)


def feature_spec(model: EnsembleModel, model_file: str | Path) -> Spec:
    """Give the features that the model was trained on, as its file describes them.

    Raises
    ------
    InputError
        If it does not, if this version makes those features differently, or if the model needs a
        column that sequence and scores do not give.
    """
    if not model.facts.get("sequence"):
        raise InputError(
            f"{model_file} was trained on a table that the build stage did not make, so its "
            "features cannot be made from sequence and scores; build the table by the config part "
            "'sequence' and train again, or predict a table of your own (genebatch predict)"
        )
    version = model.facts["sequence"].get("feature_version", 1)
    if version != FEATURE_VERSION:
        raise InputError(
            f"{model_file} was trained with version {version} of the features and this is version "
            f"{FEATURE_VERSION}: its probabilities would be wrong; train again, or install the "
            "version of genebatch that model.json in the model file names"
        )
    if set(model.classes) != set(CLASSES):
        raise InputError(f"{model_file} has the classes {list(model.classes)}, not {list(CLASSES)}")
    spec = Spec.from_json(model.facts["sequence"]["features"])
    try:
        check_lacking(model.columns_in_, spec.columns)
    except InputError as error:
        raise InputError(f"{model_file} is not the model of its own features: {error}") from error
    return spec


def read_ids(path: str | Path) -> list[str]:
    """Read gene ids from a text file with one a line; empty lines and `#` lines are skipped.

    Raises
    ------
    InputError
        If there is none.
    """
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    ids = [line for line in lines if line and not line.startswith("#")]
    if not ids:
        raise InputError(f"{path} names no gene; wanted a gene id a line")
    return ids


def _selected(
    model: EnsembleModel, genes: str | Path, wanted: Collection[str] | None
) -> list[Gene]:
    """The wanted genes, spanning the transcripts that the genes of the training table spanned."""
    transcripts = model.facts["sequence"].get("transcripts", "all")
    known = read_gene_models(genes, transcripts, GENES_KEY)
    chosen = known if wanted is None else select_genes(known, wanted, "genes to call")
    if not chosen:
        raise InputError(f"no gene of {genes} is to be called; name some by call.sets or --only")
    return chosen


def _trained_on(model: EnsembleModel, genes: Sequence[Gene]) -> pl.Series:
    """Whether each gene was in the training data; null where the model does not know."""
    trained = model.facts.get("trained_genes")
    known = None if trained is None else set(trained)
    values = [None if known is None else gene.id in known for gene in genes]
    return pl.Series("trained_on", values, pl.Boolean)


def _fitted_values(trained_on: pl.Series) -> list[str]:
    """Warn of genes that were trained on; gives the warning for the files, if there is one."""
    if not trained_on.any():
        return []
    note = (
        f"{trained_on.sum():,} of {len(trained_on):,} genes were in the training data; their "
        "probabilities are fitted values: do not judge the model on them"
    )
    log.warning(note)
    return [note]


def _origin(
    model: EnsembleModel, mode: str, band: Band, thresholds: Mapping[str, float]
) -> dict[str, str]:
    """What the file says about how it was made."""
    facts = {
        "mode": mode,
        "band": list(band) if mode == "hybrid" else None,
        "thresholds": dict(thresholds),
        "members": [member.name for member in model.members],
        "missing_batches": model.missing_batches,
        "data_digest": model.facts.get("data_digest"),
    }
    return {"genebatch.calls": json.dumps(facts)}


def _write(
    out: Path,
    scored: Iterable[Answer],
    genes: Sequence[Gene],
    trained_on: pl.Series,
    classes: Sequence[str],
    fasta: Fasta,
    thresholds: Mapping[str, float],
    origin: Mapping[str, str],
    notes: Sequence[str],
    bigwig: bool,
) -> pl.DataFrame:
    """Write all files under temporary names until the last is finished."""
    remove_unfinished(out)
    tracks = {
        (name, strand): out / BIGWIG.format(name, word)
        for name in SITES
        for word, strand in STRANDS.items()
    }
    with ExitStack() as files:
        positions, bed, coverage = (
            files.enter_context(whole(out / name)) for name in (POSITIONS, BED, COVERAGE)
        )
        write_positions(positions, scored, classes, origin)
        table = count_coverage(positions, genes, thresholds).with_columns(trained_on)
        write_bed(bed, positions, genes, thresholds, origin, notes)
        if bigwig:
            sizes = {gene.chrom: fasta.contigs[fasta.name_of(gene.chrom)] for gene in genes}
            parts = {key: files.enter_context(whole(path)) for key, path in tracks.items()}
            write_bigwigs(parts, positions, genes, sizes)
        table.write_csv(coverage, separator="\t")
        if not bigwig:
            for path in tracks.values():
                path.unlink(missing_ok=True)
    return table
