"""Indexes the reads of splice junctions by the donors and acceptors that they join."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from genebatch.config.tracks import Track
from genebatch.genome.contigs import find_contig
from genebatch.genome.evidence.checks import Assembly, Count, shared_contigs
from genebatch.genome.evidence.junction_lines import read_junctions
from genebatch.genome.genes import Gene, genomic_positions
from genebatch.io.files import InputError

MEASURES = ("unique", "all", "junctions")  # of a site: reads, and distinct junctions
SIDES = ("left", "right")
PLACE = ("contig", "strand", *SIDES)


class _Sites(NamedTuple):
    """Sites of one kind on a strand of a chromosome.

    Attributes
    ----------
    positions
        (n,) int64, genomic, rising.
    values
        (3, n) uint32, the `MEASURES`.
    """

    positions: np.ndarray
    values: np.ndarray


class JunctionTrack:
    """The junctions of a file, by the sites that they join.

    A junction joins the last base of an exon, a donor, to the first base of the next, an acceptor,
    in the direction of its strand: the positions at which gene models put their sites, see
    `genes.splice_sites`. Lines of one junction are added up.

    Holds all of them: 50 bytes for each distinct junction, and 20 for each of its sites.

    Parameters
    ----------
    track
        Its file.
    genes
        The genes that will be asked for; they are not needed here.
    assembly
        The genome.
    key
        The config key or flag that names the track.

    Raises
    ------
    InputError
        If the file is no junctions, has no chromosome of the genome, or a position beyond one.
    """

    def __init__(self, track: Track, genes: Sequence[Gene], assembly: Assembly, key: str):
        (path,) = track.files.values()
        found = read_junctions(path, f"{key}.file")
        self._contigs = dict(assembly.contigs)
        self._lines, self._unspliced = found.lines, found.unspliced
        names = found.table["chrom"].unique(maintain_order=True).to_list()
        shared = shared_contigs(path, names, assembly, f"{key}.file") if names else {}
        table = found.table.with_columns(
            pl.col("chrom")
            .replace_strict(shared, default=None, return_dtype=pl.String)
            .alias("contig")
        )
        _refuse_beyond(path, table, assembly, f"{key}.file")
        self._absent = _added_up(
            table.filter(pl.col("contig").is_null()).with_columns(contig="chrom")
        )
        placed = _added_up(table.filter(pl.col("contig").is_not_null()))
        self._unknown = placed.filter(pl.col("strand") == "")
        self._placed = placed.filter(pl.col("strand") != "")
        self._sites = _by_site(self._placed)

    def reads(self, gene: Gene, positions: np.ndarray) -> np.ndarray:
        """Reads of junctions on the gene's strand that use its positions as sites.

        Parameters
        ----------
        gene
            The gene.
        positions
            (n,) int, gene positions.

        Returns
        -------
        numpy.ndarray
            (6, n) uint32: unique reads, all reads and distinct junctions of the position as donor,
            then the same as acceptor. 0 where no junction uses it.
        """
        places = genomic_positions(gene, np.asarray(positions, np.int64))
        contig = find_contig(gene.chrom, self._contigs)
        return np.concatenate(
            [
                _looked_up(self._sites.get((contig, gene.strand, kind)), places)
                for kind in ("donor", "acceptor")
            ]
        )

    def counts(self, genes: Sequence[Gene]) -> Iterator[Count]:
        """Count the distinct junctions that are used for some genes, and those that are not."""
        own, other = self._in_genes(genes)
        parts = {
            "junctions with an end in a gene on its strand": self._placed.filter(pl.Series(own)),
            "left out: only in genes on the other strand": self._placed.filter(
                pl.Series(other & ~own)
            ),
            "left out: outside of genes": self._placed.filter(pl.Series(~own & ~other)),
            "left out: strand not known": self._unknown,
            "left out: chromosome not in the genome": self._absent,
        }
        total = sum(part.height for part in parts.values())
        for measure, part in parts.items():
            yield Count(measure, part.height, total, int(part["all"].sum()))
        if self._unspliced:
            yield Count("left out: lines without an intron", self._unspliced, self._lines)

    def close(self) -> None:
        """Nothing is open."""

    def _in_genes(self, genes: Sequence[Gene]) -> tuple[np.ndarray, np.ndarray]:
        """Whether each placed junction has an end in a gene on its strand, and on the other."""
        own, other = (np.zeros(self._placed.height, bool) for _ in range(2))
        spans: dict[tuple[str | None, str], list[tuple[int, int]]] = {}
        for gene in genes:
            contig = find_contig(gene.chrom, self._contigs)
            spans.setdefault((contig, gene.strand), []).append((gene.start, gene.end))
        numbered = self._placed.with_row_index("number")
        for (contig, strand), part in numbered.partition_by(PLACE[:2], as_dict=True).items():
            rows = part["number"].to_numpy()
            opposite = "-" if strand == "+" else "+"
            for flags, sign in ((own, strand), (other, opposite)):
                inside = spans.get((contig, sign), [])
                flags[rows] = np.any(
                    [_inside(inside, part[side].to_numpy()) for side in SIDES], axis=0
                )
        return own, other


def _refuse_beyond(path: str, table: pl.DataFrame, assembly: Assembly, key: str) -> None:
    """Refuse junctions that end beyond their chromosome."""
    lengths = pl.DataFrame(
        {"contig": list(assembly.contigs), "length": list(assembly.contigs.values())},
        schema={"contig": pl.String, "length": pl.Int64},
    )
    placed = table.join(lengths, on="contig", maintain_order="left")
    beyond = placed.filter(pl.col("right") >= pl.col("length"))
    if beyond.height:
        line, chrom, right, contig, length = beyond.select(
            "line", "chrom", "right", "contig", "length"
        ).row(0)
        raise InputError(
            f"{path}, line {line:,}: the intron ends at {right:,} of {chrom}, but {contig} of "
            f"{assembly.path} has {length:,} nt; wanted the same assembly; set {key}"
        )


def _added_up(table: pl.DataFrame) -> pl.DataFrame:
    """Distinct junctions with the sums of their reads."""
    sums = table.group_by(PLACE, maintain_order=True).agg(pl.col("unique", "all").sum())
    return sums.sort(PLACE)


def _by_site(placed: pl.DataFrame) -> dict[tuple[str, str, str], _Sites]:
    """Contig, strand and kind to the sites."""
    sites = {}
    for kind, plus, minus in (("donor", "left", "right"), ("acceptor", "right", "left")):
        position = pl.when(pl.col("strand") == "+").then(pl.col(plus)).otherwise(pl.col(minus))
        by_position = (
            placed.with_columns(position.alias("position"))
            .group_by("contig", "strand", "position")
            .agg(pl.col("unique", "all").sum(), pl.len().cast(pl.Int64).alias("junctions"))
            .sort("position")
        )
        for place, part in by_position.partition_by("contig", "strand", as_dict=True).items():
            values = np.stack([part[name].to_numpy() for name in MEASURES])
            values = np.minimum(values, np.iinfo(np.uint32).max).astype(np.uint32)
            sites[*place, kind] = _Sites(part["position"].to_numpy(), values)
    return sites


def _looked_up(sites: _Sites | None, places: np.ndarray) -> np.ndarray:
    """Values of sites at genomic places, (3, n); 0 where there is no site."""
    values = np.zeros((len(MEASURES), len(places)), np.uint32)
    if sites is not None:
        found = np.searchsorted(sites.positions, places)
        found = np.minimum(found, len(sites.positions) - 1)
        here = sites.positions[found] == places
        values[:, here] = sites.values[:, found[here]]
    return values


def _inside(spans: Sequence[tuple[int, int]], places: np.ndarray) -> np.ndarray:
    """Whether each place lies in one of some half-open spans, which may overlap."""
    if not spans:
        return np.zeros(len(places), bool)
    starts, ends = np.array(sorted(spans)).T
    reach = np.maximum.accumulate(ends)
    last = np.searchsorted(starts, places, side="right") - 1
    return (last >= 0) & (places < reach[np.maximum(last, 0)])
