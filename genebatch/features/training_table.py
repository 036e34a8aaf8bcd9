"""Genome files in, training shards out."""

import itertools
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.gene_rows import (
    Planned,
    Sites,
    check_lengths,
    deal_genes,
    gene_table,
    log_rate,
    plan_genes,
)
from genebatch.features.positions import FEATURE_VERSION, Spec
from genebatch.features.sampling import Strata
from genebatch.genome.alignment import OFFSETS, SiteScores, check_motifs
from genebatch.genome.fasta import Fasta
from genebatch.genome.genes import (
    genomic_positions,
    overlap_groups,
    read_gene_models,
    read_groups,
)
from genebatch.genome.scores.tracks import open_scores
from genebatch.io.files import whole

log = logging.getLogger(__name__)

# Rows of a row group, and of the features made at a time: readers skip row groups without a wanted
# group, and hold one.
ROW_GROUP = 4_096
# Positions read at a time, 3 MB. Few of them are rows, and a frame of 1,187 columns takes 10 ms to
# make whatever its rows, so blocks are larger here than where every position is wanted.
BLOCK = 262_144
METADATA_KEY = "genebatch.sequence"
METADATA = {
    "gene_id": pl.String,
    "transcript_id": pl.String,
    "chrom": pl.String,
    "strand": pl.String,
    "gene_type": pl.String,
    "group": pl.String,
    "row": pl.Int64,
    "position": pl.Int32,
    "genomic_position": pl.Int64,
    "splice_type": pl.String,
    "row_source": pl.String,
    "sample_weight": pl.Float64,
}


def build_dataset(
    sequence: Mapping[str, Any], shards: Sequence[str | Path], genes_out: str | Path
) -> None:
    """Write the training table of a genome: Parquet shards, and a table of its genes.

    Every annotated site, every candidate and a sample of the other positions become rows, with the
    features of `sequence.features` and the labels of the gene models. Neither other genes nor the
    number of shards changes a gene's rows, but for the sites that other genes have in it. Genes
    that overlap or share a given group are one `group`, which is never in two shards. Rows are
    sorted by group, gene and position; `row` is the length of the group's earlier genes plus the
    position. All files are complete before the first takes its final name; then other shards
    (`part-*.parquet`) and unfinished ones that earlier builds left in the shards' folder are
    removed, as whatever lies there is read.

    Holds the gene models, five bytes a row for the positions drawn, one block of one gene and one
    row group of one shard.

    Parameters
    ----------
    sequence
        The `sequence` part of the config, resolved.
    shards
        Paths of the shards, in the order of their numbers.
    genes_out
        Path of the tab-separated table of genes: place, sites, rows of each source, shard.

    Raises
    ------
    InputError
        If an input is broken, genes do not lie on the sequence, sequence, genes and scores do not
        line up (`alignment`), or there are more shards than groups.
    """
    spec, strata = Spec.from_json(sequence["features"]), Strata.from_config(sequence["sampling"])
    genes = read_gene_models(sequence["genes"], sequence["transcripts"])
    given = read_groups(sequence["groups"]) if sequence["groups"] else None
    check_lengths(genes, sequence["genes"])
    groups = overlap_groups(genes, given)
    with ExitStack() as complete:
        fasta = complete.enter_context(Fasta(sequence["fasta"]))
        fasta.check_genes(genes, sequence["genes"])
        motifs, site_scores = check_motifs(fasta, genes, sequence["genes"]), SiteScores()
        tracks = open_scores(sequence["scores"], genes, sequence["unscored"])
        genome = Genome(fasta, complete.enter_context(tracks), spec)
        planned = plan_genes(genome, genes, groups, strata, site_scores)
        alignment = _alignment(motifs, site_scores.check())
        dealt = deal_genes(planned, len(shards), strata.seed)
        table = gene_table(planned, dealt, strata)
        facts = _facts(sequence, spec, table, strata) | {
            "alignment": alignment,
            "least_score": _least_score(planned),
        }
        for number, path in enumerate(shards):
            temporary = complete.enter_context(whole(path))
            members = [planned[place] for place in np.flatnonzero(dealt == number)]
            started = time.monotonic()
            _write_shard(temporary, genome, members, strata, facts)
            log_rate(f"shard {number + 1}/{len(shards)}", members, started)
        table.write_csv(complete.enter_context(whole(genes_out)), separator="\t")
    _remove_stale(shards)


def _alignment(motifs: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """What the sites tell of sequence and scores, by strand and kind."""
    strands = {
        strand: {kind: facts | scores[strand][kind] for kind, facts in kinds.items()}
        for strand, kinds in motifs.items()
    }
    return {"offsets": OFFSETS.tolist()} | strands


def _least_score(planned: Iterable[Planned]) -> float | None:
    """Smallest base score above 0 of all genes; None where every score is 0."""
    least = min(gene.sample.least for gene in planned)
    return least if math.isfinite(least) else None


def _remove_stale(shards: Iterable[str | Path]) -> None:
    """Remove from the folders of the shards what earlier builds left there."""
    kept = {Path(path).parent.resolve() / Path(path).name for path in shards}
    for folder in {path.parent for path in kept}:
        found = [*folder.glob("part-*.parquet"), *folder.glob(".*.part.parquet")]
        for path in sorted(set(found) - kept):
            path.unlink()
            log.info("removed %s, left by an earlier build", path)


def _facts(
    sequence: Mapping[str, Any], spec: Spec, table: pl.DataFrame, strata: Strata
) -> dict[str, Any]:
    """What the shards say of themselves in their schema metadata."""
    sums = table.select(pl.sum("length", *Sites._fields, "^rows_.*$")).row(0, named=True)
    return {
        "feature_version": FEATURE_VERSION,
        "features": spec.to_json(),
        "sampling": dict(sequence["sampling"]),
        "transcripts": sequence["transcripts"],
        "counts": {
            "genes": table.height,
            "groups": table["group"].n_unique(),
            "positions": sums["length"],
            **{name: sums[name] for name in Sites._fields},
            "rows": {source: sums[f"rows_{source}"] for source in strata.sources},
        },
    }


def _write_shard(
    path: Path,
    genome: Genome,
    members: Sequence[Planned],
    strata: Strata,
    facts: Mapping[str, Any],
) -> None:
    schema = _schema(genome.spec, facts)
    pieces = ((gene.group, piece) for gene in members for piece in _rows(genome, gene, strata))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _row_groups(pieces):
            writer.write_table(_arrow(rows).cast(schema), row_group_size=rows.height)


def _schema(spec: Spec, facts: Mapping[str, Any]) -> pa.Schema:
    empty = _arrow(pl.DataFrame(schema=METADATA | spec.schema))
    return empty.schema.with_metadata({METADATA_KEY: json.dumps(facts)})


def _arrow(rows: pl.DataFrame) -> pa.Table:
    # Arrow's newest text type, which polars gives otherwise, is not known to every reader.
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _rows(genome: Genome, planned: Planned, strata: Strata) -> Iterator[pl.DataFrame]:
    """Rows of a gene, block by block, with metadata and features."""
    metadata = _metadata(planned, strata)
    positions = planned.sample.positions
    for block in gene_blocks(genome, planned.gene, BLOCK):
        first, last = np.searchsorted(positions, (block.start, block.stop))
        for start in range(first, last, ROW_GROUP):
            stop = min(start + ROW_GROUP, last)
            features = block.features(positions[start:stop]).select(genome.spec.columns)
            yield metadata[start:stop].hstack(features)


def _metadata(planned: Planned, strata: Strata) -> pl.DataFrame:
    """Everything about the rows of a gene but their features; columns of `METADATA`."""
    gene, sites, sample = planned.gene, planned.sites, planned.sample
    label = np.isin(sample.positions, sites.donors) + 2 * np.isin(sample.positions, sites.acceptors)
    rows = pl.DataFrame(
        {
            "row": planned.first_row + sample.positions.astype(np.int64),
            "position": sample.positions,
            "genomic_position": genomic_positions(gene, sample.positions),
            "splice_type": np.array(["neither", "donor", "acceptor"])[label],
            "row_source": np.array(strata.sources)[sample.source],
            "sample_weight": sample.weights,
        }
    )
    constant = {
        "gene_id": gene.id,
        "transcript_id": ";".join(transcript.id for transcript in gene.transcripts),
        "chrom": gene.chrom,
        "strand": gene.strand,
        "gene_type": gene.kind,
        "group": planned.group,
    }
    named = rows.with_columns(pl.lit(value).alias(name) for name, value in constant.items())
    return named.select(*METADATA).cast(METADATA)


def _row_groups(pieces: Iterable[tuple[str, pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Join the pieces of successive groups into row groups of at most `ROW_GROUP` rows.

    A row group holds whole groups, so that reading one group reads one row group; a group with
    more rows than that has row groups of its own.
    """
    held: list[pl.DataFrame] = []
    for _, members in itertools.groupby(pieces, key=lambda piece: piece[0]):
        group: list[pl.DataFrame] = []
        large = False
        for _, piece in members:
            group.append(piece)
            if held and _height(held) + _height(group) > ROW_GROUP:
                yield pl.concat(held)
                held = []
            while _height(group) > ROW_GROUP:
                rows, large = pl.concat(group), True
                yield rows[:ROW_GROUP]
                group = [rows[ROW_GROUP:]]
        if large:
            yield pl.concat(group)
        else:
            held += group
    if held:
        yield pl.concat(held)


def _height(frames: Iterable[pl.DataFrame]) -> int:
    return sum(frame.height for frame in frames)
