"""Finds the loci of genes: a gene id may stand at several places of a genome."""

import logging
from pathlib import Path

import polars as pl

from genebatch.genome.left_out import LeftOut
from genebatch.genome.structure import Structure
from genebatch.io.files import first_names

log = logging.getLogger(__name__)

STRETCH = ("chrom", "strand", "start", "end")
# Transcripts of a gene that lie apart are copies if the gap is longer than they are, or than this.
NEAR = 10_000  # nt


def find_loci(
    path: str | Path, exons: pl.DataFrame, structure: Structure, left_out: LeftOut
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Tell the loci of every gene id apart.

    - Transcripts of a gene on other chromosomes or strands, and those that lie far from each other
      (by more than they are long, or than `NEAR`), are copies of the gene. The first in the file
      keeps the id. A copy is called `ID@chromosome`, or `ID@chromosome:start-end` if there are
      several on the chromosome.
    - Transcripts that lie apart inside of one gene line are one gene.
    - A copy is left out if the file has lines of the gene, all of them on other chromosomes or
      strands, or elsewhere.

    Returns
    -------
    exons : pl.DataFrame
        With the names of copies as `gene`, and the id in the file as `id`.
    loci : pl.DataFrame
        gene, id, chrom.
    unsure : pl.DataFrame
        chrom, strand, start, end: the exons that were left out.
    """
    transcripts = exons.group_by("gene", "key", maintain_order=True).agg(
        pl.col("chrom", "strand").first(),
        pl.col("start").min(),
        pl.col("end").max(),
        pl.col("line").min(),
    )
    lines = structure.genes
    transcripts = _with_locus(path, transcripts, lines)
    loci = transcripts.group_by("gene", "chrom", "strand", "locus").agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("line").min()
    )
    loci = loci.sort("line")
    wrong = _contradicted(path, loci, lines)
    left_out.add(
        "genes whose line contradicts their exons",
        wrong.select("line", "reason", "gene", name="gene"),
    )
    by = ["gene", "chrom", "strand", "locus"]
    loci = _named(path, loci.join(wrong, on=by, how="anti", maintain_order="left"))
    exons = exons.join(
        transcripts.select("gene", "key", "locus"), on=["gene", "key"], maintain_order="left"
    )
    out = exons.join(wrong, on=by, how="semi")
    if loci.height == loci["gene"].n_unique() and not out.height:
        exons = exons.drop("locus").with_columns(pl.col("gene").alias("id"))
    else:
        exons = exons.join(loci.select(*by, "name"), on=by, maintain_order="left").with_columns(
            pl.col("gene").alias("id"), pl.col("name").alias("gene")
        )
        exons = exons.drop("locus", "name").sort("gene", "key", "start", maintain_order=True)
    return (
        exons,
        loci.select(pl.col("name").alias("gene"), pl.col("gene").alias("id"), "chrom"),
        out,
    )


def _with_locus(path: str | Path, transcripts: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Number the loci of each gene on a strand."""
    by = ["gene", "chrom", "strand"]
    several = transcripts.filter(pl.col("gene").is_duplicated())
    single = transcripts.filter(~pl.col("gene").is_duplicated())
    bridges = lines.join(several.select(by).unique(), on=by, how="semi")
    spans = pl.concat(
        [
            several.select(*by, "start", "end", "key"),
            bridges.select(*by, "start", "end", pl.lit(None, pl.String).alias("key")),
        ]
    ).sort(*by, "start")
    spans = _joined(spans, by)
    own = spans.drop_nulls("key")
    reach = pl.col("end").cum_max().shift(1).over(*by, "locus")
    apart = own.filter((pl.col("start") > reach).fill_null(False))["gene"].unique(
        maintain_order=True
    )
    if apart.len():
        _warn(path, "genes have transcripts that lie apart, near or in one gene line", apart)
    numbered = several.join(own.select("gene", "key", "locus"), on=["gene", "key"])
    return pl.concat([single.with_columns(pl.lit(0, pl.Int64).alias("locus")), numbered])


def _joined(spans: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Number the loci of spans, sorted by start: those that touch, then those that are near."""
    before = pl.col("end").cum_max().shift(1).over(by)
    opens = (pl.col("start") > before).fill_null(True)
    spans = spans.with_columns(opens.cum_sum().cast(pl.Int64).alias("part"))
    parts = spans.group_by(*by, "part", maintain_order=True).agg(
        pl.col("start").first(), pl.col("end").max()
    )
    size = pl.col("end") - pl.col("start")
    near = pl.min_horizontal(pl.max_horizontal(size, size.shift(1)), pl.lit(NEAR))
    far = pl.col("start") - pl.col("end").shift(1) > near
    opens = far.over(by).fill_null(True)
    parts = parts.with_columns(opens.cum_sum().cast(pl.Int64).alias("locus"))
    return spans.join(parts.select("part", "locus"), on="part", maintain_order="left")


def _warn(path: str | Path, fact: str, genes: pl.Series) -> None:
    log.warning("%s: %s %s: %s", path, f"{genes.len():,}", fact, first_names(genes))


def _contradicted(path: str | Path, loci: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Loci that lie beside every line of their gene, with the reason."""
    near = loci.join(lines, on="gene", suffix="_of_line").with_columns(
        (
            (pl.col("chrom") == pl.col("chrom_of_line"))
            & (
                (pl.col("strand") == pl.col("strand_of_line"))
                | ~pl.col("strand_of_line").is_in(["+", "-"])
            )
            & (pl.col("start") < pl.col("end_of_line"))
            & (pl.col("end") > pl.col("start_of_line"))
        ).alias("fits")
    )
    by = ["gene", "chrom", "strand", "locus"]
    inside = (pl.col("start") >= pl.col("start_of_line")) & (pl.col("end") <= pl.col("end_of_line"))
    reaching = near.group_by(by, maintain_order=True).agg(
        pl.col("fits").any(), (pl.col("fits") & inside).any().alias("inside")
    )
    reaching = reaching.filter(pl.col("fits") & ~pl.col("inside"))
    if reaching.height:
        fact = "genes have exons that reach beyond their gene line; the exons count"
        _warn(path, fact, reaching["gene"])
    beside = near.filter(~pl.col("fits").any().over(by))
    beside = beside.unique(by, keep="first", maintain_order=True)
    place = pl.format(
        "has exons on {}:{}-{} ({}) but its gene line {} on {}:{}-{} ({})",
        *("chrom", pl.col("start") + 1, "end", "strand"),
        "line_of_line",
        *("chrom_of_line", pl.col("start_of_line") + 1, "end_of_line", "strand_of_line"),
    )
    return beside.with_columns(place.alias("reason")).select(*by, "line", "reason")


def _named(path: str | Path, loci: pl.DataFrame) -> pl.DataFrame:
    """Give each locus a name: the first of a gene in the file keeps its id."""
    first = pl.col("gene").is_first_distinct()
    alone = ~pl.struct("gene", "chrom").is_duplicated()
    elsewhere = pl.format("{}@{}", "gene", "chrom")
    precise = pl.format("{}@{}:{}-{}", "gene", "chrom", pl.col("start") + 1, "end")
    name = pl.when(first).then("gene").when(alone).then(elsewhere).otherwise(precise)
    loci = loci.with_columns(name.alias("name"), first.alias("first"))
    both = pl.format("{}({})", "name", "strand")
    twice = pl.col("name").is_duplicated() & (pl.col("name") != pl.col("gene"))
    loci = loci.with_columns(pl.when(twice).then(both).otherwise("name").alias("name"))
    copies = loci.filter(pl.col("name") != pl.col("gene"))
    if copies.height:
        near = copies.join(loci.filter("first"), on=["gene", "chrom"], how="semi").height
        log.log(
            logging.WARNING if near else logging.INFO,
            "%s: %s gene ids stand at several loci; their %s further copies are called %s",
            path,
            f"{copies['gene'].n_unique():,}",
            f"{copies.height:,}",
            first_names(copies["name"]),
        )
    return loci
