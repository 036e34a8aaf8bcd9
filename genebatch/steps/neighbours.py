"""Steps of `rules/neighbours.smk`: scores and probabilities around annotated sites.

Functions import the libraries of their own rule: no job pays for those of another.
"""

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from genebatch.config.settings import Labels, Neighbours, Reading
from genebatch.config.tracks import KEY, NO_TRACKS, Tracks
from genebatch.genome.scores.tracks import ScoreSource
from genebatch.io.files import read_parquet, write_parquet, write_tsv

if TYPE_CHECKING:
    from genebatch.model.ensemble import EnsembleModel

log = logging.getLogger(__name__)


def neighbours_batch(
    *,
    batch: str,
    rows: str,
    out_of_fold: str,
    models: str,
    model: str,
    fasta: str,
    genes: str,
    table: str,
    tracks: Tracks = NO_TRACKS,
    scores: ScoreSource,
    unscored: str,
    reading: Reading,
    use_weights: bool,
    neighbours: Neighbours,
    threads: int,
    windows: str,
) -> None:
    """Score the positions around sites of a batch's genes by fold models that never saw the gene.

    Holds the gene models, the fold models, one block of one gene, and the rows of
    `calls.neighbours.ROWS` positions.

    Parameters
    ----------
    batch
        Name of the batch.
    rows
        Its row file, which says how features are made.
    out_of_fold, models, model
        Out-of-fold scores, fold models, and the finished model of the batch.
    fasta, genes, tracks, scores, unscored
        Genome, gene models, evidence and base scores, as `sequence.build_dataset` takes them.
    table
        Genes of the training table, with the group of each.
    reading
        How the gene models are read, see `genes.read_gene_models`.
    use_weights
        `learner.use_weights`: calibrators are fitted with weights.
    neighbours, threads
        Settings.
    windows
        Parquet to write, see `metrics.neighbours`.

    Raises
    ------
    InputError
        If the files are not of one run, or a fold model was trained on a gene that it would score.
    """
    from genebatch.calls.base_models import scores_for
    from genebatch.calls.calling import structure_model
    from genebatch.calls.evidence import tracks_for
    from genebatch.calls.neighbours import score_windows, site_windows
    from genebatch.config.base_models import BaseModels
    from genebatch.dataset.row_file import RowFile
    from genebatch.features.along_gene import Genome
    from genebatch.features.evidence import Evidence
    from genebatch.features.further_scores import open_base_models
    from genebatch.features.gene_rows import genes_of_groups, read_gene_groups
    from genebatch.features.positions import Spec
    from genebatch.genome.evidence.checks import Assembly
    from genebatch.genome.evidence.tracks import open_tracks
    from genebatch.genome.fasta import Fasta
    from genebatch.genome.genes import foreign_sites, read_gene_models, select_genes
    from genebatch.genome.placing import genes_on_genome

    sequence = RowFile.open(rows).facts["sequence"]
    features = Spec.build(sequence["features"]), structure_model(sequence)
    by_group = _unseen_models(out_of_fold, models, model, use_weights, threads)
    group_of = read_gene_groups(table)
    annotated = read_gene_models(genes, **reading.plain())
    with ExitStack() as files:
        reader = files.enter_context(Fasta(fasta))
        annotated = genes_on_genome(
            annotated, reader.contigs, genes, reader.path, max_refused=reading.max_refused
        )
        own = genes_of_groups(group_of, list(by_group), table, out_of_fold)
        chosen = select_genes(annotated, own, table)
        foreign = foreign_sites(annotated)
        drawn = site_windows(batch, chosen, foreign, neighbours.sites, neighbours.seed)
        by_gene = {gene.id: by_group[group_of[gene.id]] for gene in chosen}
        needed = frozenset(name for each in by_group.values() for name in each.columns_in_)
        base = scores_for(sequence, needed, BaseModels.build(scores), models)
        by_position, others = open_base_models(base, chosen, features[0], files, unscored)
        used = tracks_for(sequence, needed, tracks.features, models, KEY)
        sources = files.enter_context(
            open_tracks(used, chosen, Assembly(reader.contigs, reader.path))
        )
        genome = Genome(
            reader, by_position, *features, evidence=Evidence(sources), further=others
        ).needing(needed)
        scored = score_windows(drawn, genome, chosen, by_gene)
    write_parquet(windows, scored)
    _log(batch, scored)


def neighbours(
    *,
    labels: Labels,
    neighbours: Neighbours,
    table: str,
    windows: str,
    figure: str,
    batches: list[str],
    positions: str | None = None,
    genes: str | None = None,
    gene_table: str | None = None,
    test_groups: str | None = None,
    reading: Reading,
    scores: str | None = None,
    predictions: str | None = None,
) -> None:
    """Tell whether base scores and probabilities are highest on annotated sites or beside them.

    With a genome the windows of the batches are given, and those of the test genes are read from
    their complete tracks. Of a finished table only the rows that it has are used.

    Parameters
    ----------
    labels, neighbours
        Settings.
    table
        TSV to write, see `metrics.neighbours.summarise`.
    windows
        Parquet to write: all windows, see `metrics.neighbours`.
    figure
        PNG to write.
    batches
        What `neighbours_batch` wrote for every batch; empty without a genome.
    positions, genes, gene_table, test_groups
        With a genome: the positions file of the test genes in mode "meta", the gene models, the
        genes of the training table, and the test groups.
    reading
        How the gene models are read, see `genes.read_gene_models`.
    scores, predictions
        Of a finished table: held-out scores of all members, and the predictions on test rows.
    """
    from genebatch.evaluation.neighbours import site_classes
    from genebatch.metrics.neighbours import TEST, TRAINING, summarise
    from genebatch.report.figures.neighbours import draw_neighbours
    from genebatch.report.figures.style import save_figure

    reasons: dict[str, str | None] = {TEST: None, TRAINING: None}
    if positions is not None:
        tested = _track_windows(positions, genes, gene_table, test_groups, reading, neighbours)
        found = pl.concat([tested, *map(read_parquet, batches)])
    else:
        found, reason = _row_windows(scores, predictions, labels, neighbours)
        reasons = dict.fromkeys(reasons, reason)
    summary = summarise(found, site_classes(labels), reasons)
    write_tsv(table, summary)
    write_parquet(windows, found)
    save_figure(figure, draw_neighbours(summary))
    _log("all batches and the test genes", found)


def _unseen_models(
    out_of_fold: str, models: str, model: str, use_weights: bool, threads: int
) -> dict[str, "EnsembleModel"]:
    """Group to the calibrated fold model that never saw it; groups of a fold share a model."""
    from genebatch.ensemble.cross_scores import held_out_calibrators
    from genebatch.model.archive import load_model
    from genebatch.model.origin import origin_of, refuse_mixed
    from genebatch.model.seen_groups import refuse_seen_groups

    folds, finished = load_model(models, threads=threads), load_model(model)
    (whole,) = finished.members
    refuse_mixed(models, origin_of(folds.members[0]), model, origin_of(whole))
    calibrators = held_out_calibrators(whole, folds.classes, out_of_fold, use_weights)
    rows = read_parquet(out_of_fold, columns=["group", "fold"])
    held_out = rows.with_columns(pl.col("group").cast(pl.String)).unique()
    by_group = {}
    for member in folds.members:
        number = member.facts["fold"]
        groups = held_out.filter(pl.col("fold") == number)["group"].sort().to_list()
        own = tuple(by_fold[number] for by_fold in calibrators) if groups else member.calibrators
        unseen = replace(folds, members=(member._replace(calibrators=own),))
        refuse_seen_groups({f"{models}, fold {number}": unseen}, groups)
        by_group |= dict.fromkeys(groups, unseen)
    return by_group


def _track_windows(
    positions: str,
    genes: str,
    table: str,
    test_groups: str,
    reading: Reading,
    settings: Neighbours,
) -> pl.DataFrame:
    """Windows of test genes, from their complete tracks."""
    from genebatch.calls.neighbours import read_windows, site_windows
    from genebatch.features.gene_rows import genes_of_groups, read_gene_groups
    from genebatch.genome.genes import foreign_sites, read_gene_models, select_genes
    from genebatch.groups import read_groups_list
    from genebatch.metrics.neighbours import TEST

    held_out, group_of = read_groups_list(test_groups), read_gene_groups(table)
    annotated = read_gene_models(genes, **reading.plain())
    wanted = genes_of_groups(group_of, held_out, table, test_groups)
    tested = select_genes(annotated, wanted, table)
    drawn = site_windows(TEST, tested, foreign_sites(annotated), settings.sites, settings.seed)
    return read_windows(drawn, positions, tested)


def _row_windows(
    scores: str, predictions: str, labels: Labels, settings: Neighbours
) -> tuple[pl.DataFrame, str | None]:
    """Windows of a finished table, or none and the reason."""
    from functools import partial

    from genebatch.evaluation import neighbours as tables
    from genebatch.metrics.neighbours import WINDOWS

    reason = tables.why_no_neighbours(predictions, labels)
    if reason is not None:
        return pl.DataFrame(schema=WINDOWS), reason
    sites = tables.site_classes(labels)
    sources = (
        partial(tables.predicted_rows, predictions, labels),
        partial(tables.held_out_rows, scores, labels),
    )
    found = [tables.row_windows(rows, sites, settings.sites, settings.seed) for rows in sources]
    return pl.concat(found), None


def _log(what: str, windows: pl.DataFrame) -> None:
    sites = windows.filter(pl.col("offset") == 0).height
    left_out = windows["left_out"].is_not_null().sum()
    log.info("%s: %s sites, %s positions beside them left out", what, f"{sites:,}", f"{left_out:,}")
