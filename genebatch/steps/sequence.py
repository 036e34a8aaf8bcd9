"""Runs the rules between a genome and its calls: base scores, training table, calls, tracks.

The parts that need the model or figures are imported where they are used: the first two rules do
without XGBoost and matplotlib, which would take 100 MB.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from genebatch.config.base_models import KEY as SCORES_KEY
from genebatch.config.base_models import BaseModels
from genebatch.config.settings import Calls, Evaluation, Reading
from genebatch.config.tracks import NO_TRACKS, Tracks
from genebatch.features.along_gene import Genome
from genebatch.features.cross_fitting import CrossFitted
from genebatch.features.evidence import by_role
from genebatch.features.further_scores import open_base_models
from genebatch.features.gene_rows import (
    deal_genes,
    gene_table,
    genes_of_groups,
    log_rate,
    long_enough,
    plan_genes,
    read_gene_groups,
)
from genebatch.features.positions import Spec
from genebatch.features.sampling import Strata
from genebatch.features.structure.files import read_structure
from genebatch.features.training_table import alignment_facts, table_facts, write_shard
from genebatch.genome.alignment import SiteScores, check_motifs
from genebatch.genome.evidence.checks import Assembly
from genebatch.genome.evidence.tracks import count_use, open_tracks
from genebatch.genome.fasta import Fasta
from genebatch.genome.gene_ids import check_group_ids
from genebatch.genome.genes import (
    SITES,
    Gene,
    overlap_groups,
    read_gene_models,
    read_groups,
    select_genes,
)
from genebatch.genome.identical import identical_transcripts
from genebatch.genome.left_out import MAX_REFUSED
from genebatch.genome.placing import genes_on_genome
from genebatch.genome.scores import light
from genebatch.genome.scores.sparse_file import log_scored, write_scores
from genebatch.genome.scores.tracks import ScoreSource, open_scores
from genebatch.groups import read_groups_list
from genebatch.io.data_files import remove_other_shards
from genebatch.io.files import whole, write_json, write_tsv

log = logging.getLogger(__name__)


def score_genes_light(
    *,
    fasta: str,
    genes: str,
    reading: Reading,
    scores: str,
) -> None:
    """Score every position of the genes by the light scorer of the example.

    Holds the gene models and one block of positions.

    Parameters
    ----------
    fasta, genes
        The genome and the gene models.
    reading
        How the gene models are read, see `genes.read_gene_models`.
    scores
        Parquet file to write, sorted by gene id and position.

    Raises
    ------
    InputError
        If an input is broken, or a gene is not on the genome.
    """

    def write(genome: Fasta, placed: list[Gene]) -> int:
        return write_scores(scores, light.score_genes(genome, placed))

    _score_on_genome(fasta, genes, reading, scores, write)


def score_genes_spliceai(
    *,
    fasta: str,
    genes: str,
    reading: Reading,
    scores: str,
    threads: int,
) -> None:
    """Score every position of the genes by the published SpliceAI models.

    Parameters as those of `score_genes_light`. A run that was stopped goes on where it was last
    saved, see `spliceai.score_genes`.

    Raises
    ------
    InputError
        If the models are not installed, an input is broken, or a gene is not on the genome.
    """
    from genebatch.genome.scores import spliceai

    model = spliceai.published_model(threads)

    def write(genome: Fasta, placed: list[Gene]) -> int:
        return spliceai.score_genes(genome, placed, model, scores)

    _score_on_genome(fasta, genes, reading, scores, write)


def gene_sequences(
    *,
    fasta: str,
    genes: str,
    reading: Reading,
    flank: int,
    sequences: str,
) -> None:
    """Write the sequence of every gene for a program that scores it.

    Parameters as those of `score_genes_light`.

    Parameters
    ----------
    flank
        Bases before and behind a gene.
    sequences
        FASTA to write; see `genome.scores.command`.
    """
    from genebatch.genome.scores.command import write_gene_sequences

    models = read_gene_models(genes, **reading.plain())
    with Fasta(fasta) as genome:
        placed = genes_on_genome(
            models, genome.contigs, genes, genome.path, max_refused=reading.max_refused
        )
        write_gene_sequences(genome, placed, flank, sequences)
    log.info("%s genes with %s bases on either side in %s", f"{len(placed):,}", flank, sequences)


def score_genes_command(
    *,
    fasta: str,
    genes: str,
    given: str,
    reading: Reading,
    unscored: str,
    scores: str,
) -> None:
    """Check the scores that a program of the user's wrote, and sort them.

    Parameters as those of `score_genes_light`.

    Parameters
    ----------
    given
        What the program wrote; see `genome.scores.command`.
    unscored
        How a gene without any score is treated.
    """
    from genebatch.genome.scores.command import given_stretches

    def write(genome: Fasta, placed: list[Gene]) -> int:
        with open_scores(given, placed, unscored, "sequence.scorer.command") as tracks:
            return write_scores(scores, given_stretches(tracks, placed))

    _score_on_genome(fasta, genes, reading, scores, write)


def build_dataset(
    *,
    fasta: str,
    genes: str,
    groups: str | None = None,
    lengths: str | None = None,
    coding: str | None = None,
    tracks: Tracks = NO_TRACKS,
    scores: ScoreSource,
    reading: Reading,
    unscored: str,
    n_shards: int,
    features: Spec,
    sampling: Strata,
    shards: Sequence[str],
    table: str,
    evidence: str | None = None,
) -> None:
    """Write the training table of a genome: Parquet shards, and a table of its genes.

    - Rows are every annotated site, every candidate, and a sample of the other positions. They
      have the features of `features` and the labels of the gene models.
    - The rows of a gene depend on other genes only by their sites in it, and do not depend on the
      number of shards.
    - Genes that overlap, are copies of each other, have identical transcripts, or share a given
      group are one `group`. A group is never in two shards.
    - Genes that do not lie on the genome, or are too short for features, are left out.
    - Rows are sorted by group, gene and position. `row` = position + length of the group's earlier
      genes.

    All files are complete before the first takes its final name. Then the shards of earlier builds
    (`part-*.parquet`, also unfinished ones) are removed from the folder, because every shard in it
    is read.

    Holds the gene models, five bytes per row for the positions drawn, one block of one gene, one
    row group of one shard, and the index of every junction track, see `JunctionTrack`.

    Parameters
    ----------
    fasta, genes
        The genome and the gene models.
    groups
        Table of gene_id and group: genes that stay together although they do not overlap.
    lengths, coding
        Files of length distributions and of codon pairs, for the family "structure".
    tracks
        Evidence along the genome, the key `sequence.tracks`.
    scores
        Base scores, see `tracks.open_scores`, or name to base scores, see `BaseModels`.
    reading
        How the gene models are read, see `genes.read_gene_models`.
    unscored
        What a gene without any score is, "error" or "zero".
    n_shards
        Number of shards.
    features, sampling
        Sections of the config.
    shards
        Paths of the shards, in the order of their numbers.
    table
        Tab-separated table of genes to write: place, sites, rows of each source, shard.
    evidence
        Tab-separated table to write: how much of each track is used, see
        `evidence.tracks.count_use`.

    Raises
    ------
    InputError
        If an input is broken, genes do not lie on the sequence, sequence, genes and scores do not
        fit together, the given groups are of other genes, or there are more shards than groups.
    """
    known: set[str] = set()
    models = read_gene_models(genes, **reading.plain(), known=known)
    given = read_groups(groups) if groups else None
    structure = read_structure(features.structure.ends, lengths, coding)
    with ExitStack() as complete:
        reader = complete.enter_context(Fasta(fasta))
        models = genes_on_genome(
            models, reader.contigs, genes, reader.path, max_refused=reading.max_refused
        )
        models = long_enough(models, genes)
        if given is not None:
            check_group_ids(groups, given, models, known, genes)
        motifs, site_scores = check_motifs(reader, models, genes), SiteScores()
        sources = complete.enter_context(
            open_tracks(tracks, models, Assembly(reader.contigs, reader.path))
        )
        if evidence is not None:
            use = count_use(sources, models)
            use.write_csv(complete.enter_context(whole(evidence)), separator="\t")
        base = BaseModels.build(scores)
        by_position, further = open_base_models(base, models, features, complete, unscored)
        for other in further:
            SiteScores.read_from(other.scores, models).check(f"{SCORES_KEY}.{other.name}")
        genome = Genome(
            *(reader, by_position, features, structure),
            evidence=by_role(sources)[0],
            further=further,
        )
        group_of = overlap_groups(models, given, identical_transcripts(reader, models))
        planned = plan_genes(genome, models, group_of, sampling, site_scores)
        alignment = alignment_facts(motifs, site_scores.check())
        dealt = deal_genes(planned, n_shards, sampling.seed)
        counted = gene_table(planned, dealt, sampling)
        taken = reading.plain()
        del taken["max_refused"]  # no rows depend on it
        fitted = CrossFitted(genome)
        if features.learns_codons:
            fitted = CrossFitted.learn(genome, planned)
        facts = table_facts(fitted, sampling, taken, alignment, planned, counted, base.name)
        for number, path in enumerate(shards):
            temporary = complete.enter_context(whole(path))
            members = [planned[place] for place in np.flatnonzero(dealt == number)]
            started = time.monotonic()
            write_shard(temporary, fitted, members, sampling, facts)
            log_rate(f"shard {number + 1}/{n_shards}", members, started)
        counted.write_csv(complete.enter_context(whole(table)), separator="\t")
    remove_other_shards(shards)


def call_genes(
    *,
    model: str,
    fasta: str,
    genes: str,
    wanted: str | None = None,
    table: str | None = None,
    test_groups: str | None = None,
    tracks: Tracks = NO_TRACKS,
    scores: ScoreSource,
    unscored: str,
    biotypes: Collection[str] | None = None,
    max_refused: float = MAX_REFUSED,
    call: Calls,
    files: Sequence[str],
    threads: int,
) -> None:
    """Call every position of the genes of a list, of the test groups, or of all genes.

    Parameters
    ----------
    model, fasta, genes, tracks, scores, unscored, biotypes, max_refused, threads
        As `genebatch.calls.calling.call` takes them.
    wanted
        Text file with a gene id a line.
    table, test_groups
        Genes of the training table, and the test groups; their genes are called.
    call
        How genes are called; `sets` is not used.
    files
        The files to write, which lie in one folder under the names that `call` gives them.

    Raises
    ------
    InputError, RuntimeError
        As `genebatch.calls.calling.call` does.
    """
    from genebatch.calls import calling
    from genebatch.calls.transcripts import DRAWS
    from genebatch.calls.ucsc import Hub

    (folder,) = {Path(file).parent for file in files}
    chosen = calling.read_ids(wanted) if wanted else None
    if table and test_groups:
        held_out = read_groups_list(test_groups)
        chosen = genes_of_groups(read_gene_groups(table), held_out, table, test_groups)
    calling.call(
        model,
        fasta,
        genes,
        scores,
        folder,
        tracks=tracks,
        wanted=chosen,
        mode=call.mode,
        band=call.band,
        target_share=call.target_share,
        unscored=unscored,
        biotypes=biotypes,
        max_refused=max_refused,
        misaligned=call.misaligned,
        bigwig=call.bigwig,
        transcripts=DRAWS if call.transcripts else None,
        bgzip=call.bgzip,
        hub=call.hub and Hub(**call.hub),
        threads=threads,
    )


def evaluate_tracks(
    *,
    positions: str,
    genes: str,
    table: str,
    model: str,
    test_groups: str,
    reading: Reading,
    evaluation: Evaluation,
    comparison: str,
    corrections: str,
    curves: str,
    hybrid: str,
    tiers: str,
    examples: str,
    summary: str,
    figure: str,
) -> None:
    """Compare a model with its base scores at every position of the test genes.

    - The truth are the splice sites of the gene models.
    - Left out, and counted, are positions that are a site of another gene on the same strand but
      not of this one, because their label depends on the gene. So are sites of transcripts that are
      no labels, positions of which the gene models do not tell the label, and those that are donor
      and acceptor at once.
    - Calls at all positions, also at those, are counted by what the annotation says of them.
    - Losses are sums over all positions.
    - Positions that no candidate scores above `counts.FLOOR` are only counted. Sites below it rank
      last, so no metric is flattered.

    Holds what `compare.count_tracks` holds.

    Parameters
    ----------
    positions
        Positions file of the test genes in mode "meta".
    genes
        The gene models.
    table
        Genes of the training table, with the group of each.
    model
        The model.
    test_groups
        TSV with the column `group`.
    reading
        How the gene models are read, see `genes.read_gene_models`.
    evaluation
        The bootstrap.
    comparison
        TSV to write: metrics of both, with bootstrap intervals over groups.
    corrections
        TSV to write: errors corrected and made.
    curves
        TSV to write: precision over recall, see `tables.curves`.
    hybrid
        TSV to write: the cost of re-scoring only some positions.
    tiers
        TSV to write: calls and recall by tier of the sites, see `tiers.tier_table`.
    examples
        JSON to write: a few genes with their sites and high scores, see `examples.example_tracks`.
    summary
        JSON to write: what was counted.
    figure
        PNG to write: precision over recall.

    Raises
    ------
    InputError
        If a member of the model was trained on a test group, or if the file lacks a position of a
        test gene.
    """
    from genebatch.calls.calling import feature_spec
    from genebatch.calls.evaluation import tables
    from genebatch.calls.evaluation.compare import compare, count_tracks, group_places
    from genebatch.calls.evaluation.examples import example_tracks
    from genebatch.calls.evaluation.ranking import rank
    from genebatch.calls.evaluation.tiers import canonical_by, tier_table
    from genebatch.calls.thresholds import base_call_thresholds, call_thresholds
    from genebatch.model.archive import load_model
    from genebatch.model.seen_groups import refuse_seen_groups
    from genebatch.report.figures.style import save_figure
    from genebatch.report.figures.tracks import precision_recall

    finished = load_model(model)
    held_out, group_of = read_groups_list(test_groups), read_gene_groups(table)
    refuse_seen_groups({"the model": finished}, held_out)
    score_floor = feature_spec(finished, model).floor
    limits = call_thresholds(finished), score_floor, base_call_thresholds(finished)
    annotated = read_gene_models(genes, **reading.plain())
    wanted = genes_of_groups(group_of, held_out, table, test_groups)
    tested = select_genes(annotated, wanted, table)
    places = group_places(group_of, tested)
    tracks = count_tracks(positions, annotated, tested, *limits)
    rankings = {name: rank(tracks, places, name) for name in SITES}
    counts, errors = tables.summarise(tracks, places), tables.corrections(tracks)
    title = f"All {counts['positions']:,} positions of {counts['genes']:,} test genes"
    write_tsv(comparison, compare(tracks, rankings, places, evaluation))
    points = tables.curves(rankings)
    write_tsv(corrections, errors)
    write_tsv(curves, points)
    write_tsv(hybrid, tables.hybrid_costs(tracks, places, score_floor))
    write_tsv(tiers, tier_table(tracks))
    write_json(examples, {"genes": example_tracks(positions, annotated, tested, tracks)})
    write_json(summary, counts | {"canonical_by": canonical_by(tested)})
    save_figure(figure, precision_recall(points, errors, title))
    log.info("%s; %s of them kept for ranking", title, f"{len(tracks.code):,}")


def _score_on_genome(
    fasta: str,
    genes: str,
    reading: Reading,
    scores: str,
    write: Callable[[Fasta, list[Gene]], int],
) -> None:
    """Score the genes that lie on the genome, sorted by id, and log what was written."""
    models = read_gene_models(genes, **reading.plain())
    with Fasta(fasta) as genome:
        placed = genes_on_genome(
            models, genome.contigs, genes, genome.path, max_refused=reading.max_refused
        )
        placed = sorted(placed, key=lambda gene: gene.id)
        rows = write(genome, placed)
    log_scored(placed, rows, scores)
