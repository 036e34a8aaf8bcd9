"""Reads the tree of a GFF3 file: pieces of transcripts, their parents, the genes of these."""

from urllib.parse import unquote

import polars as pl

from genebatch.genome.left_out import LeftOut
from genebatch.genome.line_types import LAST_PIECE, Kind
from genebatch.genome.repeated_ids import resolve_repeated
from genebatch.genome.structure import (
    GENE_ID,
    PLACE,
    TRANS_SPLICED,
    Structure,
    best_tags,
    outside_exons,
    with_flaw,
)
from genebatch.genome.tags import list_ranks

PREFIX = "^(gene|transcript|rna|id)[:-]"  # of Ensembl (colon) and of NCBI (hyphen)
DEEPEST = 10  # levels; NCBI has four: gene, primary_transcript, miRNA, exon
NAMES = ("gene_name", "Name", "gene")
KINDS = ("gene_biotype", "gene_type", "biotype")
NCBI_GENE = rf"(?:^|;)\s*(?:[Dd]bxref|db_xref)=[^;]*?({GENE_ID})"
CIRCULAR = r"(?i)(?:^|;)\s*Is_circular=true"


def read_block(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut a block of lines into pieces, one row per parent, and lines that may be parents."""
    frame = with_flaw(frame)
    is_cds = pl.col("type").str.to_lowercase() == "cds"
    pieces = frame.filter(pl.col("kind") <= LAST_PIECE).with_columns(_value("Parent").alias("key"))
    pieces = outside_exons(_plain(_explode(pieces, "key"), "chrom", "key"))
    coding = pl.col("kind") == Kind.CODING
    pieces = pl.concat(
        [
            pieces.filter(~coding).with_columns(pl.lit(None, pl.String).alias("piece_id")),
            _plain(
                pieces.filter(coding).with_columns(
                    pl.when(is_cds).then(_value("ID")).alias("piece_id")
                ),
                "piece_id",
            ),
        ]
    )
    # A CDS without a parent is a gene, as Prokka writes them.
    genes = pieces.filter(pl.col("key").is_null() & pl.col("piece_id").is_not_null())
    nodes = frame.filter(pl.col("kind") > LAST_PIECE)
    if genes.height:
        nodes = pl.concat([nodes, genes.select(nodes.columns)])
        pieces = pieces.with_columns(pl.coalesce("key", "piece_id").alias("key"))
    pieces = pieces.select(*PLACE, "kind", "flaw", "key", "piece_id").sort("line")
    nodes = _plain(_nodes(nodes), "chrom", "ID", "gene_id", "transcript_id", "name", "biotype")
    nodes = _plain(nodes, "tag")
    return pieces, nodes.with_columns(list_ranks(nodes["tag"]))


def _nodes(frame: pl.DataFrame) -> pl.DataFrame:
    """Attributes of lines that may be parents."""
    names, kinds = map(_value, NAMES), map(_value, KINDS)
    links = pl.col("attributes").str.extract(NCBI_GENE), _value("hgnc_id")
    holder = pl.col("kind") == Kind.CONTAINER
    # gffread writes transcripts without gene lines.
    of_transcript = pl.when(pl.col("kind") != Kind.GENE).then(_value("geneID"))
    nodes = frame.select(
        *("kind", *PLACE, "flaw"),
        *map(_value, ("ID", "Parent", "transcript_id", "tag")),
        pl.coalesce(_value("gene_id"), of_transcript).alias("gene_id"),
        pl.coalesce(names).alias("name"),
        pl.coalesce(kinds).alias("biotype"),
        pl.coalesce(links).alias("link"),
        (holder & pl.col("attributes").str.contains(CIRCULAR)).alias("circular"),
    )
    return nodes.filter(pl.col("ID").is_not_null() | pl.col("circular"))


def join_blocks(pieces: pl.DataFrame, nodes: pl.DataFrame, left_out: LeftOut) -> Structure:
    """Find the gene of every piece; leave out pieces whose gene cannot be found."""
    circles = nodes.filter("circular")
    nodes = _with_whole_cds(nodes.drop_nulls("ID"))
    pieces, lost = _with_parent(outside_exons(pieces), nodes, left_out)
    pieces, nodes = resolve_repeated(pieces, nodes)
    owners = _owners(pieces, nodes)
    homeless = pieces.select("key").unique().join(owners, on="key", how="anti")
    circling = pieces.join(homeless, on="key", how="semi") if homeless.height else pieces.clear()
    left_out.add("transcripts whose Parents lead in a circle", _firsts(circling))
    genes = nodes.join(owners.select(ID="owner").unique(), on="ID", how="semi").with_columns(
        pl.coalesce("gene_id", _bare("ID")).alias("gene")
    )
    transcripts = _transcripts(owners, nodes, genes)
    pieces = pieces.join(transcripts, on="key", maintain_order="left")
    pieces = pieces.with_columns(pl.lit(None, pl.Int32).alias("number"))
    flagged = pl.when("flagged").then(TRANS_SPLICED).otherwise(0).cast(pl.UInt8)
    pieces = pieces.with_columns(pl.max_horizontal("flaw", flagged).alias("flaw"))
    pieces, over = _over_the_origin(_by_coding_sequence(pieces), circles, left_out)
    facts = genes.unique(["gene", "chrom"], keep="first", maintain_order=True)
    return Structure(
        pieces.select("gene", "key", *PLACE, "kind", "number", "flaw", "transcript"),
        _lines(transcripts, nodes),
        genes.filter(pl.col("end") > 0).select("gene", *PLACE),
        facts.select("gene", "chrom", "name", "biotype", "link"),
        _hollow(nodes, owners),
        pl.concat(part.select(PLACE) for part in (lost, circling, over)),
        best_tags(_tags(transcripts, nodes)),
    )


def _value(name: str) -> pl.Expr:
    """Value of an attribute as it stands, null where it is absent or empty.

    Values of GFF3 hold no semicolons, so what lies between two of them is an attribute.
    """
    value = pl.col("attributes").str.extract(rf'(?:^|;)\s*{name}\s*=[\s"]*([^\s";][^;]*)')
    return value.str.strip_chars_end(' "').alias(name)


def _explode(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """One row per value of a column in which commas part values."""
    if not frame[column].str.contains(",").any():
        return frame
    return frame.with_columns(pl.col(column).str.split(",")).explode(column)


def _bare(column: str) -> pl.Expr:
    return pl.col(column).str.replace(PREFIX, "")


def _plain(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Resolve the percent escapes of GFF3."""
    for column in columns:
        escaped = frame[column].filter(frame[column].str.contains("%").fill_null(False)).unique()
        if escaped.len():
            plain = {text: unquote(text) for text in escaped}
            frame = frame.with_columns(pl.col(column).replace(plain))
    return frame


def _firsts(pieces: pl.DataFrame) -> pl.DataFrame:
    """First line of each parent."""
    first = pieces.group_by("key", maintain_order=True).agg(pl.col("line").first())
    return first.select("line", pl.col("key").alias("name"), pl.col("key").alias("gene"))


def _with_whole_cds(nodes: pl.DataFrame) -> pl.DataFrame:
    """Make one line of the lines of a CDS that is a gene of its own."""
    parts = nodes.filter(pl.col("kind") <= LAST_PIECE)
    if not parts.height:
        return nodes
    by = ["ID", "chrom", "strand"]
    whole = parts.group_by(by, maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.exclude(*by, "start", "end").first()
    )
    others = nodes.filter(pl.col("kind") > LAST_PIECE)
    return pl.concat([others, whole.select(nodes.columns)])


def _with_parent(
    pieces: pl.DataFrame, nodes: pl.DataFrame, left_out: LeftOut
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pieces whose parent has a line, and the others."""
    holder = pl.col("kind") == Kind.CONTAINER
    parents = nodes.filter(~holder).select(key="ID").unique()
    known = pieces.join(parents, on="key", how="semi", maintain_order="left")
    if known.height == pieces.height:
        return pieces, pieces.clear()
    lost = pieces.join(parents, on="key", how="anti")
    # CDS have a protein as a second parent in files of TAIR.
    proteins = nodes.filter(holder).select(key="ID").unique()
    lost = lost.join(proteins, on="key", how="anti")
    left_out.add(
        "exon or CDS lines without a Parent", lost.filter(pl.col("key").is_null()).select("line")
    )
    left_out.add(
        "Parents of exons that are the ID of no line that can be a transcript or gene",
        _firsts(lost.drop_nulls("key")),
    )
    return known, lost


def _owners(pieces: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Climb from the parents of pieces (`key`) to their genes (`owner`).

    The gene is the highest line above whose type ends in gene, else the highest line. What has
    pieces and a parent is a transcript, whatever its type. Lines that only hold genes, such as
    operons, are no genes. A parent without a line of its own is a gene.
    """
    lines = nodes.select("ID", "kind", "Parent").unique("ID", keep="first", maintain_order=True)
    lines = _plain(_explode(lines, "Parent"), "Parent")
    first = nodes.unique("instance", keep="first", maintain_order=True)
    first = first.select(pl.col("instance").alias("key"), "ID", "Parent")
    climb = (
        pieces.select("key")
        .unique(maintain_order=True)
        .join(first, on="key", maintain_order="left")
    )
    climb = _plain(_explode(climb, "Parent"), "Parent").select(
        "key", pl.col("ID").alias("top"), pl.lit(None, pl.String).alias("gene"), node="Parent"
    )
    owners = []
    for _ in range(DEEPEST):
        known = pl.col("kind").is_not_null()
        climb = climb.join(lines, left_on="node", right_on="ID", how="left", maintain_order="left")
        ended = pl.col("node").is_null() | (known & (pl.col("kind") == Kind.CONTAINER))
        ended = ended.fill_null(False)
        owners.append(climb.filter(ended).select("key", owner=pl.coalesce("gene", "top")))
        climb = climb.filter(~ended).select(
            "key",
            pl.col("node").alias("top"),
            pl.when(pl.col("kind") == Kind.GENE).then("node").otherwise("gene").alias("gene"),
            pl.col("Parent").alias("node"),
        )
        if not climb.height:
            break
    return pl.concat(owners).unique(maintain_order=True)


def _transcripts(owners: pl.DataFrame, nodes: pl.DataFrame, genes: pl.DataFrame) -> pl.DataFrame:
    """Gene and name of each parent of pieces, and whether it is trans-spliced."""
    named = genes.unique("ID", keep="first", maintain_order=True).select("ID", "gene")
    spliced = genes.filter(pl.col("flaw") == TRANS_SPLICED)["gene"].unique()
    first = nodes.unique("instance", keep="first", maintain_order=True).select(
        pl.col("instance").alias("key"),
        pl.coalesce("transcript_id", _bare("ID")).alias("transcript"),
        (pl.col("flaw") == TRANS_SPLICED).alias("of_line"),
    )
    keys = owners.join(named, left_on="owner", right_on="ID", how="left", maintain_order="left")
    keys = keys.join(first, on="key", maintain_order="left")
    gene = pl.coalesce("gene", _bare("owner"))
    flagged = pl.col("of_line") | pl.col("gene").is_in(spliced.implode()).fill_null(False)
    keys = keys.select("key", gene.alias("gene"), "transcript", flagged.alias("flagged"))
    return keys.unique(maintain_order=True)


def _lines(transcripts: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """The span of each transcript by its own lines."""
    placed = nodes.filter((pl.col("kind") != Kind.CONTAINER) & (pl.col("end") > 0))
    spans = placed.group_by("chrom", "strand", key="instance", maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("line").min()
    )
    named = transcripts.select("gene", "key")
    return named.join(spans, on="key", maintain_order="left").select("gene", "key", *PLACE)


def _tags(transcripts: pl.DataFrame, nodes: pl.DataFrame) -> pl.DataFrame:
    """Tags of the lines of transcripts; their exons in GFF3 tell no others."""
    tags = nodes.select("tag", key="instance").drop_nulls()
    return transcripts.join(tags, on="key").select("gene", "transcript", "tag")


def _by_coding_sequence(pieces: pl.DataFrame) -> pl.DataFrame:
    """Part the CDS lines that hang on a gene directly: each CDS is a transcript of its own.

    The lines of one CDS share an ID. Where each line has an ID of its own, all are one CDS.
    """
    by = ["gene", "key"]
    coding = pieces.filter(pl.col("kind") == Kind.CODING).select(by).unique()
    if not coding.height:
        return pieces
    several = (
        pieces.join(coding, on=by, how="semi")
        .group_by(by)
        .agg(
            (
                (pl.col("kind") == Kind.CODING).all()
                & (pl.col("piece_id").null_count() == 0)
                & pl.col("piece_id").n_unique().is_between(2, pl.len() - 1)
            ).alias("parted")
        )
    )
    several = several.filter("parted").select(by)
    if not several.height:
        return pieces
    parted = pieces.join(several, on=by, how="semi", maintain_order="left")
    others = pieces.join(several, on=by, how="anti", maintain_order="left")
    parted = parted.with_columns(
        pl.format("{}\n{}", "key", "piece_id").alias("key"), pl.col("piece_id").alias("transcript")
    )
    return pl.concat([others, parted])


def _over_the_origin(
    pieces: pl.DataFrame, circles: pl.DataFrame, left_out: LeftOut
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out genes that end beyond the length of a circular sequence."""
    if not circles.height:
        return pieces, pieces.clear()
    lengths = circles.group_by("chrom").agg(pl.col("end").max().alias("length"))
    beyond = pieces.join(lengths, on="chrom").filter(pl.col("end") > pl.col("length"))
    left_out.add(
        "genes that go over the origin of a circular sequence",
        beyond.unique("gene", keep="first", maintain_order=True).select(
            "line", "gene", name="gene"
        ),
    )
    over = pl.col("gene").is_in(beyond["gene"].unique().implode())
    return pieces.filter(~over), pieces.filter(over)


def _hollow(nodes: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
    """Lines of genes and transcripts that have no piece, nor a child that has one."""
    parents = _plain(_explode(nodes.select("Parent").drop_nulls(), "Parent"), "Parent")["Parent"]
    used = pl.concat(
        [
            owners["key"],
            owners["owner"],
            nodes["ID"].filter(nodes["ID"].is_in(parents.unique().implode())),
        ]
    )
    gene = pl.col("kind") == Kind.GENE
    bare = nodes.filter(~pl.col("ID").is_in(used.unique().implode()))
    bare = bare.filter(
        gene | ((pl.col("kind") == Kind.TRANSCRIPT) & pl.col("Parent").is_not_null())
    )
    return bare.select(
        pl.when(gene).then(pl.lit("gene")).otherwise(pl.lit("transcript")).alias("what"),
        pl.col("ID").alias("name"),
        *PLACE,
    )
