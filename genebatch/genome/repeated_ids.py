"""Tells the loci of a GFF3 ID that stands on several lines."""

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from genebatch.genome.line_types import Kind


class Span(NamedTuple):
    """A stretch of a strand, 0-based half-open, with the lines that it comes from."""

    chrom: str
    strand: str
    start: int
    end: int
    lines: tuple[int, ...]
    parents: tuple[str, ...] = ()


def resolve_repeated(
    pieces: pl.DataFrame, nodes: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give each locus of a repeated ID a key of its own.

    Adds the column `instance` to `nodes`: the ID, or for repeated IDs of parents the key of the
    locus. The `key` of pieces becomes the instance that they lie in.
    """
    nodes = nodes.with_columns(pl.col("ID").alias("instance"))
    twice = nodes.filter(
        pl.col("ID").is_duplicated()
        & (pl.col("kind") != Kind.CONTAINER)
        & pl.col("ID").is_in(pieces["key"].unique().implode())
    )
    if not twice.height:
        return pieces, nodes
    of_id = pieces.join(twice.select(key="ID").unique(), on="key", how="semi").partition_by(
        "key", as_dict=True
    )
    key_of_piece: dict[tuple[str, int], str] = {}
    instance_of_line: dict[int, tuple[str, str | None]] = {}
    for (name,), lines in twice.partition_by("ID", as_dict=True, maintain_order=True).items():
        own = list(of_id[name,].select("chrom", "strand", "start", "end", "line").iter_rows())
        for number, (span, members) in enumerate(_loci(lines, own)):
            key = name if number == 0 else f"{name}\n{number}"
            for line in span.lines:
                instance_of_line[line] = key, ",".join(span.parents) or None
            key_of_piece |= {(name, line): key for line in members}
    return _renamed(pieces, key_of_piece), _relabelled(nodes, instance_of_line)


def _loci(
    lines: pl.DataFrame, pieces: list[tuple[str, str, int, int, int]]
) -> list[tuple[Span, list[int]]]:
    """Spans of a repeated ID with the lines of the pieces in each."""
    columns = ("chrom", "strand", "start", "end", "line", "Parent")
    rows = lines.select(columns).iter_rows()
    spans = merged(
        Span(*row[:4], (row[4],), tuple(row[5].split(",")) if row[5] else ()) for row in rows
    )
    if len(spans) > 1 and _is_one_feature(spans, pieces):
        return [
            (spans[0]._replace(lines=sum((span.lines for span in spans), ())), _numbers(pieces))
        ]
    members: list[list[int]] = [[] for _ in spans]
    for piece in pieces:
        members[nearest(spans, *piece[:4])].append(piece[4])
    return list(zip(spans, members, strict=True))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join spans that overlap on a strand; sorted by their first line."""
    joined: list[Span] = []
    for span in sorted(spans):
        last = joined[-1] if joined else None
        if last and last[:2] == span[:2] and span.start < last.end:
            joined[-1] = last._replace(
                end=max(last.end, span.end),
                lines=last.lines + span.lines,
                parents=tuple(dict.fromkeys(last.parents + span.parents)),
            )
        else:
            joined.append(span)
    return sorted(joined, key=lambda span: min(span.lines))


def nearest(spans: list[Span], chrom: str, strand: str, start: int, end: int) -> int:
    """Number of the span that a piece lies in, else of the one that is least far away."""

    def distance(number: int) -> tuple[bool, bool, int]:
        span = spans[number]
        outside = max(span.start - start, 0) + max(end - span.end, 0)
        return span.chrom != chrom, span.strand not in (strand, ".", "?"), outside

    return min(range(len(spans)), key=distance)


def _is_one_feature(spans: list[Span], pieces: list[tuple[str, str, int, int, int]]) -> bool:
    """Whether the lines are the parts of one feature, listed before or after its exons.

    Then each part is an exon. Copies at several loci have their exons between their lines.
    """
    lines = [line for span in spans for line in span.lines]
    between = any(min(lines) < line < max(lines) for line in _numbers(pieces))
    same_place = len({(span.chrom, span.strand, span.parents) for span in spans}) == 1
    exons = {piece[:4] for piece in pieces}
    return same_place and not between and exons == {span[:4] for span in spans}


def _numbers(pieces: list[tuple[str, str, int, int, int]]) -> list[int]:
    return [piece[4] for piece in pieces]


def _renamed(pieces: pl.DataFrame, keys: dict[tuple[str, int], str]) -> pl.DataFrame:
    table = pl.DataFrame(
        [(name, line, key) for (name, line), key in keys.items()],
        schema={"key": pl.String, "line": pieces.schema["line"], "locus": pl.String},
        orient="row",
    )
    pieces = pieces.join(table, on=["key", "line"], how="left", maintain_order="left")
    return pieces.with_columns(pl.coalesce("locus", "key").alias("key")).drop("locus")


def _relabelled(nodes: pl.DataFrame, instances: dict[int, tuple[str, str | None]]) -> pl.DataFrame:
    table = pl.DataFrame(
        [(line, *values) for line, values in instances.items()],
        schema={"line": nodes.schema["line"], "locus": pl.String, "parents": pl.String},
        orient="row",
    )
    nodes = nodes.join(table, on="line", how="left", maintain_order="left")
    return nodes.with_columns(
        pl.coalesce("locus", "instance").alias("instance"),
        pl.when(pl.col("locus").is_null()).then("Parent").otherwise("parents").alias("Parent"),
    ).drop("locus", "parents")
