"""Calls every position of some genes: streams the genome in, and a folder of calls out."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from genebatch.calls.alignment import FASTA_KEY, GENES_KEY, SCORES_KEY, check_alignment
from genebatch.calls.base_models import scores_for
from genebatch.calls.bigbed import bigbed_library
from genebatch.calls.browser_files import BIGWIG_KEY
from genebatch.calls.evidence import TRACK_KEY, tracks_for
from genebatch.calls.folder import Called, Extras, Header, refuse_inputs, write_folder
from genebatch.calls.igv_session import relative
from genebatch.calls.rescoring import (
    Band,
    band_of_mode,
    band_of_share,
    score_positions,
    warn_of_cut,
)
from genebatch.calls.tabix import NONE, check_reach
from genebatch.calls.thresholds import call_thresholds
from genebatch.calls.transcripts import LEAST_POSTERIOR, Drawing
from genebatch.calls.ucsc import HUB_KEY, Hub
from genebatch.config.base_models import BaseModels, files_of
from genebatch.config.tracks import NO_TRACKS, Tracks
from genebatch.dataset.families import built_families
from genebatch.features.along_gene import Genome
from genebatch.features.evidence import by_role
from genebatch.features.further_scores import open_base_models
from genebatch.features.positions import FEATURE_VERSION, Spec
from genebatch.features.structure.model import StructureModel
from genebatch.genome.evidence.checks import Assembly
from genebatch.genome.evidence.tracks import count_use, open_tracks
from genebatch.genome.fasta import Fasta
from genebatch.genome.gene_ids import other_versions
from genebatch.genome.genes import (
    MIN_INTRON,
    SITES,
    Gene,
    read_gene_models,
    select_genes,
)
from genebatch.genome.left_out import MAX_REFUSED
from genebatch.genome.placing import genes_on_genome
from genebatch.genome.scores.bigwig import bigwig_library
from genebatch.genome.scores.tracks import ScoreSource
from genebatch.io.files import InputError
from genebatch.io.tables import check_lacking
from genebatch.io.text import line_blocks
from genebatch.model.archive import load_model
from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)

CLASSES = ("neither", *SITES)
LIMIT_KEY = "sequence.max_refused or --max-refused"
IDS_KEY, IDS_WANTED = "call.sets or --only", "a gene id a line"


@dataclass(frozen=True)
class Coverage:
    """What a call wrote, counted by reading the finished file again.

    Attributes
    ----------
    folder
        The folder of the files.
    table
        A line per requested gene: `gene_id, chrom, strand, expected, written, rescored,
        rescored_share, donors, acceptors, trained_on`. `trained_on` says whether the gene, by its
        id, was in the training data; null if the model does not know.
    band
        The base scores that were re-scored.
    thresholds
        The probability from which a position was called, by class.
    """

    folder: Path
    table: pl.DataFrame
    band: Band
    thresholds: dict[str, float]

    @property
    def positions(self) -> int:
        """Number of positions written."""
        return int(self.table["written"].sum())

    @property
    def rescored(self) -> int:
        """Number of positions that the model re-scored."""
        return int(self.table["rescored"].sum())


def call(
    model_file: str | Path,
    fasta: str | Path,
    genes: str | Path,
    scores: ScoreSource,
    out: str | Path,
    *,
    tracks: Tracks = NO_TRACKS,
    wanted: Collection[str] | None = None,
    mode: str = "hybrid",
    band: tuple[float, float] = (0.00003, 1.0),
    target_share: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    unscored: str = "error",
    biotypes: Collection[str] | None = None,
    max_refused: float = MAX_REFUSED,
    misaligned: str = "error",
    bigwig: bool = False,
    transcripts: int | None = None,
    least_posterior: float = LEAST_POSTERIOR,
    bgzip: str = NONE,
    hub: Hub | None = None,
    threads: int = 1,
) -> Coverage:
    """Call every position of some genes from sequence and base scores.

    Makes the features of the model's training table; the model file carries their settings.
    Streams over blocks of `rescoring.ROWS` positions, for genes of any length; the memory is in
    benchmarks/calling.md. Logs a warning if the model was trained on some of the genes, and if the
    base scores end above those of the training.

    Parameters
    ----------
    model_file
        A model that was trained on a table of the rule build_dataset.
    fasta, genes, scores
        Genome, gene models and base scores, as in the config section `sequence`. Of several base
        models, those whose columns the model asks for are needed, by their names.
    out
        Folder for `positions.parquet`, `calls.bed`, `coverage.tsv`, `calls_ucsc.bed` and
        `calls_igv.xml`. With `bigwig` also one bigWig file for each of donor and acceptor on
        each strand, and with `transcripts` also `transcripts.gff3`. Either all files are written
        or none. Removes from the folder such files of an earlier call, unless they are written
        anew, and unfinished files of a killed call. Only one call at a time may write there.
    tracks
        Evidence along the genome, as `sequence.tracks`. Those that the model was trained with are
        needed. Columns of those without features are written into the positions file.
    wanted
        Gene ids; all genes of the gene models by default.
    mode
        "meta" re-scores every position, "hybrid" those inside the band, "base" none. Positions
        that are not re-scored keep their base scores as probabilities.
    band
        Lower and upper end of the hybrid band; an upper end of 1 is none. See `rescoring.Band`.
    target_share
        At most this share of all positions is re-scored: a pass over the scores finds the least
        of `rescoring.EDGES` that fits, which becomes the lower end of the band.
    thresholds
        Probability of donor and acceptor from which a position is called. By default the model's
        own: for the genome's prevalence (`weighted`), or else for that of its rows. The mode
        "base" uses these thresholds too.
    unscored
        What a gene without any score is, "error" or "zero".
    biotypes
        Biotypes of the genes to call; all genes by default.
    max_refused
        Largest share of the genes that may be left out because they cannot be read, or do not lie
        on the genome.
    misaligned
        What sequence, genes and scores that do not fit together are, "error" or "warning". The
        warning is in the files too. See `check_alignment`.
    bigwig
        Whether to write bigWig files as well; needs the extra `genomics`.
    transcripts
        If given, predicted transcripts are written as well: the best chain of sites of each gene,
        and those of so many chains drawn at random that are probable enough. See
        `transcripts.predict`.
    least_posterior
        Chains that are drawn are written from this posterior on.
    bgzip
        "tbi" or "csi" to write `calls.bed.gz`, and `transcripts.gff3.gz` if there are transcripts,
        each with an index of that kind. "none" for neither.
    hub
        Genome and contact of a track hub; None for none. The hub is `calls_hub.txt`, with
        `calls.bb` and, if there are transcripts, `transcripts.bb`; it shows the bigWig files too.
        With the genome "own" it has `calls_genome.2bit` and `calls_genes.bb`. Needs the extra
        `genomics`.
    threads
        Threads of a prediction.

    Returns
    -------
    Coverage

    Raises
    ------
    InputError
        If the model cannot be applied to sequences, a track that it needs is missing, a gene is
        unknown or has no scores, there is no threshold, or sequence, genes and scores do not fit
        together. Nothing is written then.
    RuntimeError
        If the written file lacks a position. Nothing is left then.
    """
    chosen = band_of_mode(mode, band, target_share)
    if bigwig:
        bigwig_library(BIGWIG_KEY)  # if it is missing, say so now and not after hours
    if hub is not None:
        hub.check()
        bigbed_library(HUB_KEY)
    if Path(out).is_file():
        raise InputError(f"{out} is a file; name a folder to write into (--output)")
    models = BaseModels.build(scores)
    refuse_inputs(Path(out), [fasta, genes, *_score_files(models), *_track_files(tracks)])
    for path in (fasta, genes):
        relative(Path(path), Path(out).resolve())
    model = load_model(model_file, threads=threads)
    spec = feature_spec(model, model_file)
    chosen_tracks = tracks_for(model.facts["sequence"], model.columns_in_, tracks, model_file)
    models = scores_for(model.facts["sequence"], model.columns_in_, models, model_file)
    limits = call_thresholds(model, thresholds)
    selected = _selected(_annotated(model, genes, biotypes, max_refused), genes, wanted)
    with ExitStack() as inputs:
        reader = inputs.enter_context(Fasta(fasta, FASTA_KEY))
        selected = genes_on_genome(
            *(selected, reader.contigs, genes, reader.path),
            max_refused=max_refused,
            key=FASTA_KEY,
            limit_key=LIMIT_KEY,
        )
        by_position, others = open_base_models(models, selected, spec, inputs, unscored, SCORES_KEY)
        assembly = Assembly(reader.contigs, reader.path)
        sources = inputs.enter_context(open_tracks(chosen_tracks, selected, assembly, TRACK_KEY))
        count_use(sources, selected)
        structure = structure_model(model.facts["sequence"])
        features, carried = by_role(sources)
        genome = Genome(
            *(reader, by_position, spec, structure),
            evidence=features,
            carried=carried,
            further=others,
        ).needing(model.columns_in_)
        check_reach(selected, bgzip)
        misfits = check_alignment(genome, selected, str(genes), misaligned)
        if target_share is not None:
            chosen = band_of_share(genome, selected, target_share, chosen.high)
        if mode == "hybrid":
            log.info("re-scored %s", chosen)
        header = _header(model, mode, chosen, limits, selected, misfits)
        scored = score_positions(model, genome, selected, chosen)
        if mode != "base":
            first = models.first
            source = "the bigWig files" if isinstance(first, Mapping) else str(first)
            scored = warn_of_cut(scored, model, source)
        extras = Extras(bigwig, bgzip=bgzip, hub=hub)
        if transcripts is not None:
            extras = extras._replace(
                transcripts=Drawing(transcripts, least_posterior),
                notes=_warn_of_lengths(model, model_file),
            )
        called = Called(selected, genome, Path(genes), header, carried.schema)
        table = write_folder(Path(out), scored, called, extras)
    log.info(
        "%s genes, %s positions, %s of them re-scored, %s donors and %s acceptors called",
        f"{table.height:,}",
        *(f"{table[n].sum():,}" for n in ("written", "rescored", "donors", "acceptors")),
    )
    return Coverage(Path(out), table, chosen, limits)


def feature_spec(model: EnsembleModel, model_file: str | Path) -> Spec:
    """Features that the model was trained on, as its file describes them.

    Raises
    ------
    InputError
        If the file does not describe them, if this version computes them differently, or if the
        model needs a column that sequence and scores do not give.
    """
    if not model.facts.get("sequence"):
        raise InputError(
            f"{model_file} does not say how its features are made from sequence and scores: its "
            "table was not made by the config part 'sequence', or an earlier version wrote the "
            "file beside the delivered model. Train again on a table built by 'sequence', or "
            "predict a table of your own (genebatch predict)"
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
    spec = Spec.build(model.facts["sequence"]["features"])
    try:
        further = built_families(model.facts).values()
        check_lacking(model.columns_in_, [*spec.columns, *chain.from_iterable(further)])
    except InputError as error:
        raise InputError(f"{model_file} is not the model of its own features: {error}") from error
    return spec


def structure_model(sequence: Mapping[str, Any]) -> StructureModel:
    """What was known of gene structure, by the facts of a table or of a model.

    Tables of older versions have no such features.
    """
    known = sequence.get("structure")
    return StructureModel() if known is None else StructureModel.build(known)


def read_ids(path: str | Path) -> list[str]:
    """Read gene ids from a text file, plain or gzip, one a line; skips empty and `#` lines.

    Raises
    ------
    InputError
        If the file names no gene, or is no text.
    """
    blocks = line_blocks(path, IDS_WANTED, IDS_KEY)
    lines = [line.strip() for block in blocks for line in block.lines]
    ids = [line for line in lines if line and not line.startswith("#")]
    if not ids:
        raise InputError(f"{path} names no gene; wanted {IDS_WANTED}; set {IDS_KEY}")
    return ids


def _annotated(
    model: EnsembleModel, genes: str | Path, biotypes: Collection[str] | None, max_refused: float
) -> list[Gene]:
    """The genes of a file, read in the same way as for the training table.

    In a file without tags the longest transcripts stand for the canonical ones, with a warning.
    """
    facts = model.facts["sequence"]
    return read_gene_models(
        genes,
        facts.get("transcripts", "all"),
        GENES_KEY,
        biotypes=biotypes,
        untagged="longest",
        min_intron=facts.get("min_intron", MIN_INTRON),
        max_refused=max_refused,
        limit_key=LIMIT_KEY,
    )


def _warn_of_lengths(model: EnsembleModel, model_file: str | Path) -> list[str]:
    """Warn if the model does not know how long exons and introns are."""
    if model.facts["sequence"].get("structure") is not None:
        return []
    note = (
        f"{model_file} does not say how long exons and introns are, as it is older than the family "
        "'structure'; transcripts are predicted with the lengths of human genes"
    )
    log.warning(note)
    return [note]


def _score_files(models: BaseModels) -> list[str | Path]:
    files = [path for source in models.sources.values() for path in files_of(source)]
    return [path for path in files if Path(path).exists()]


def _track_files(tracks: Tracks) -> list[str]:
    return [path for track in tracks.all for path in track.files.values()]


def _selected(
    annotated: Sequence[Gene], genes: str | Path, wanted: Collection[str] | None
) -> list[Gene]:
    """The wanted genes, in the order of the file's genes."""
    chosen = annotated if wanted is None else select_genes(annotated, wanted, "genes to call")
    if not chosen:
        raise InputError(f"no gene of {genes} is to be called; name some by call.sets or --only")
    return list(chosen)


def _header(
    model: EnsembleModel,
    mode: str,
    band: Band,
    thresholds: dict[str, float],
    genes: Sequence[Gene],
    misfits: list[str],
) -> Header:
    """Collect what the files say of themselves; warns of genes that were trained on."""
    facts = {
        "mode": mode,
        "band": list(band) if mode == "hybrid" else None,
        "thresholds": dict(thresholds),
        "members": [member.name for member in model.members],
        "missing_batches": model.missing_batches,
        "data_digest": model.facts.get("data_digest"),
    }
    trained_on = _trained_on(model, genes)
    notes = list(misfits)
    if mode != "base":
        notes += _warn_of_fitted_values(trained_on) + _warn_of_other_versions(model, genes)
    origin = {"genebatch.calls": json.dumps(facts)}
    return Header(model.classes, thresholds, trained_on, origin, notes)


def _trained_on(model: EnsembleModel, genes: Sequence[Gene]) -> pl.Series:
    """Whether each gene was in the training data; null if the model does not know."""
    names = model.facts.get("trained_genes")
    trained = None if names is None else set(names)
    values = [None if trained is None else gene.id in trained for gene in genes]
    return pl.Series("trained_on", values, pl.Boolean)


def _warn_of_fitted_values(trained_on: pl.Series) -> list[str]:
    """Warn if genes were trained on; return the warning for the files, if there is one."""
    if not trained_on.any():
        return []
    note = (
        f"{trained_on.sum():,} of {len(trained_on):,} genes were in the training data; their "
        "probabilities are fitted values: do not judge the model on them"
    )
    log.warning(note)
    return [note]


def _warn_of_other_versions(model: EnsembleModel, genes: Sequence[Gene]) -> list[str]:
    """Warn if genes have ids of the training data but for the version; return the warning."""
    trained = set(model.facts.get("trained_genes") or ())
    near = other_versions((gene.id for gene in genes if gene.id not in trained), trained)
    if not near:
        return []
    called, there = next(iter(near.items()))
    note = (
        f"{len(near):,} of {len(genes):,} genes have the id of a gene of the training data with "
        f"another version, such as {called!r} ({there!r} there); they count as not trained on, but "
        "their probabilities may be fitted values"
    )
    log.warning(note)
    return [note]
