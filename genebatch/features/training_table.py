"""Writes the rows of planned genes with their features and labels into Parquet shards."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genebatch.features.along_gene import Genome, gene_blocks
from genebatch.features.cross_fitting import CrossFitted
from genebatch.features.gene_rows import PlannedGene, Sites
from genebatch.features.positions import FEATURE_VERSION
from genebatch.features.sampling import Strata
from genebatch.genome.alignment import OFFSETS
from genebatch.genome.genes import genomic_positions

# Rows of a row group, and rows whose features are made at a time. Readers hold one row group, and
# skip those without a wanted group.
ROW_GROUP = 4_096
# Positions read at a time, 3 MB. Blocks are larger than for calling: few positions become rows, and
# a frame of 1,187 columns takes 10 ms for any number of rows.
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


def alignment_facts(motifs: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """How well sequence and scores fit the sites, by strand and kind.

    `motifs` and `scores` come from `alignment.check_motifs` and `alignment.SiteScores.check`.
    """
    strands = {
        strand: {kind: facts | scores[strand][kind] for kind, facts in kinds.items()}
        for strand, kinds in motifs.items()
    }
    return {"offsets": OFFSETS.tolist()} | strands


def table_facts(
    genome: CrossFitted,
    strata: Strata,
    reading: Mapping[str, Any],
    alignment: Mapping[str, Any],
    planned: Sequence[PlannedGene],
    table: pl.DataFrame,
    first: str,
) -> dict[str, Any]:
    """How a table was made and what it holds; the shards carry this in their schema metadata.

    Parameters
    ----------
    genome
        The features, and what they know of gene structure.
    strata
        How many rows were drawn.
    reading
        How the gene models were read: `transcripts`, `biotypes` and `min_intron`.
    alignment
        `alignment_facts` of the genes.
    planned
        The genes.
    table
        Their `gene_rows.gene_table`.
    first
        Name of the base model that boosters start from, "" where there is one without a name.
    """
    sums = table.select(pl.sum("length", *Sites._fields, "^rows_.*$")).row(0, named=True)
    return {
        "feature_version": FEATURE_VERSION,
        "features": genome.spec.plain(),
        "structure": genome.whole.structure.plain(),
        "tracks": genome.whole.evidence.facts,
        "base_models": {
            "first": first,
            "further": {model.name: list(model.schema) for model in genome.whole.further},
        },
        "sampling": strata.plain(),
        **reading,
        "counts": {
            "genes": table.height,
            "groups": table["group"].n_unique(),
            "positions": sums["length"],
            **{name: sums[name] for name in Sites._fields},
            "rows": {source: sums[f"rows_{source}"] for source in strata.sources},
        },
        "alignment": alignment,
        "least_score": _least_score(planned),
    }


def write_shard(
    path: Path,
    genome: CrossFitted,
    members: Sequence[PlannedGene],
    strata: Strata,
    facts: Mapping[str, Any],
) -> None:
    """Write the rows of some genes as a Parquet shard, sorted as the genes are.

    Holds one block of one gene and one row group.

    Parameters
    ----------
    path
        The shard.
    genome
        Sequence, scores and the features to make.
    members
        The genes of the shard; the genes of a group follow each other.
    strata
        The sampling by which the rows were drawn.
    facts
        Metadata of the shard, see `table_facts`.
    """
    schema = _schema(genome.whole, facts)
    pieces = ((gene.group, piece) for gene in members for piece in _rows(genome, gene, strata))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _row_groups(pieces):
            writer.write_table(_arrow(rows).cast(schema), row_group_size=rows.height)


def _least_score(planned: Iterable[PlannedGene]) -> float | None:
    """Smallest base score above 0 of all genes; None if every score is 0."""
    least = min(gene.sample.least for gene in planned)
    return least if math.isfinite(least) else None


def _schema(genome: Genome, facts: Mapping[str, Any]) -> pa.Schema:
    empty = _arrow(pl.DataFrame(schema=METADATA | genome.schema))
    return empty.schema.with_metadata({METADATA_KEY: json.dumps(facts)})


def _arrow(rows: pl.DataFrame) -> pa.Table:
    # By default polars gives Arrow's newest text type, which not every reader knows.
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def _rows(fitted: CrossFitted, planned: PlannedGene, strata: Strata) -> Iterator[pl.DataFrame]:
    """Yield the rows of a gene block by block, with metadata and features."""
    genome = fitted.of(planned.group)
    metadata = _metadata(planned, strata)
    positions = planned.sample.positions
    for block in gene_blocks(genome, planned.gene, BLOCK):
        first, last = np.searchsorted(positions, (block.start, block.stop))
        for start in range(first, last, ROW_GROUP):
            stop = min(start + ROW_GROUP, last)
            features = block.features(positions[start:stop]).select(*genome.schema)
            yield metadata[start:stop].hstack(features)


def _metadata(planned: PlannedGene, strata: Strata) -> pl.DataFrame:
    """The columns of `METADATA` for the rows of a gene."""
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

    A row group holds whole groups, so that reading a group reads one row group. A larger group has
    row groups of its own.
    """
    waiting: list[pl.DataFrame] = []
    for _, members in itertools.groupby(pieces, key=lambda piece: piece[0]):
        group: list[pl.DataFrame] = []
        large = False
        for _, piece in members:
            group.append(piece)
            if waiting and _height(waiting) + _height(group) > ROW_GROUP:
                yield pl.concat(waiting)
                waiting = []
            while _height(group) > ROW_GROUP:
                rows, large = pl.concat(group), True
                yield rows[:ROW_GROUP]
                group = [rows[ROW_GROUP:]]
        if large:
            yield pl.concat(group)
        else:
            waiting += group
    if waiting:
        yield pl.concat(waiting)


def _height(frames: Iterable[pl.DataFrame]) -> int:
    return sum(frame.height for frame in frames)
