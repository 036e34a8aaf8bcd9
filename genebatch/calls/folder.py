"""Writes the files of a call into its folder: either all of them or none."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genebatch.calls import bigbed
from genebatch.calls.browser_files import BED, BIGWIGS, COLOURS, write_bed, write_bigwigs
from genebatch.calls.igv_session import SESSION, Track, write_session
from genebatch.calls.positions_file import (
    COVERAGE,
    POSITIONS,
    Positions,
    count_coverage,
    remove_unfinished,
    write_positions,
)
from genebatch.calls.tabix import INDEXES, NONE, Compressed, write_compressed
from genebatch.calls.transcripts import TRANSCRIPTS, Drawing, write_transcripts
from genebatch.calls.two_bit import write_two_bit
from genebatch.calls.ucsc import (
    BIGBEDS,
    CUSTOM_TRACK,
    GENES,
    HUB,
    HUB_KEY,
    OWN,
    TWO_BIT,
    Hub,
    Place,
    write_custom_track,
    write_hub,
)
from genebatch.features.along_gene import Genome
from genebatch.genome.genes import STRANDS, Gene
from genebatch.io.files import InputError, whole

ALWAYS = (POSITIONS, BED, COVERAGE, CUSTOM_TRACK, SESSION)
GREY = "90,90,90"  # of genes


class Header(NamedTuple):
    """What the files of a call say of themselves.

    Attributes
    ----------
    classes
        Classes of the model, in the order of its columns.
    thresholds
        Probability from which a position is called, by class.
    trained_on
        Whether each gene was in the training data.
    origin
        Metadata of the positions file.
    notes
        Warnings.
    """

    classes: Sequence[str]
    thresholds: dict[str, float]
    trained_on: pl.Series
    origin: dict[str, str]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """Origin and warnings as lines of text."""
        return [f"{key} {value}" for key, value in self.origin.items()] + self.notes


class Extras(NamedTuple):
    """Which files a call writes beside those of every call.

    Attributes
    ----------
    bigwig
        Whether bigWig files are wanted.
    transcripts
        Which predicted transcripts are wanted; None for none.
    notes
        Comments for the head of the transcripts, beside those of the call.
    bgzip
        "tbi" or "csi" for compressed copies of the text files with such an index, or "none".
    hub
        The track hub that is wanted; None for none. It shows the bigWig files and transcripts too.
    """

    bigwig: bool = False
    transcripts: Drawing | None = None
    notes: Sequence[str] = ()
    bgzip: str = NONE
    hub: Hub | None = None

    @property
    def texts(self) -> list[str]:
        """Names of the text files along the genome."""
        return [BED] if self.transcripts is None else [BED, TRANSCRIPTS]

    @property
    def compressed(self) -> dict[str, Compressed]:
        """Text file to its compressed copy."""
        if self.bgzip == NONE:
            return {}
        return {name: Compressed.of(name, self.bgzip) for name in self.texts}

    @property
    def names(self) -> list[str]:
        """Names of all files of the call."""
        return [
            *ALWAYS,
            *(BIGWIGS.values() if self.bigwig else ()),
            *(() if self.transcripts is None else (TRANSCRIPTS,)),
            *(name for pair in self.compressed.values() for name in pair),
            *(() if self.hub is None else (HUB, *(BIGBEDS[name] for name in self.texts))),
            *((TWO_BIT, GENES) if self.hub is not None and self.hub.own else ()),
        ]


ALL_NAMES = frozenset(
    name
    for index in INDEXES
    for name in Extras(True, Drawing(), bgzip=index, hub=Hub(OWN, "")).names
)


class Called(NamedTuple):
    """What is called.

    Attributes
    ----------
    genes
        The genes, in the order of the positions.
    genome
        Sequence, scores and evidence.
    annotation
        The file of the gene models.
    header
        What the files say of themselves.
    carried
        Types of the columns of tracks that give no features.
    """

    genes: Sequence[Gene]
    genome: Genome
    annotation: Path
    header: Header
    carried: Mapping[str, pl.DataType]

    @property
    def placed(self) -> list[Gene]:
        """The genes with their chromosomes named as in the FASTA file."""
        chroms = dict.fromkeys(gene.chrom for gene in self.genes)
        names = {chrom: self.genome.fasta.name_of(chrom) for chrom in chroms}
        return [gene._replace(chrom=names[gene.chrom]) for gene in self.genes]


def refuse_inputs(out: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse a folder whose files of that name are inputs: a call replaces or removes them."""
    written = {(out / name).resolve() for name in ALL_NAMES}
    for path in inputs:
        if Path(path).resolve() in written:
            raise InputError(
                f"{path} would be replaced by the call, which writes into {out}; name another "
                "folder (--output)"
            )


def write_folder(
    out: Path, scored: Iterable[Positions], called: Called, extras: Extras
) -> pl.DataFrame:
    """Write all files under temporary names until the last is finished.

    Files of an earlier call that are not written anew are removed, and unfinished ones.

    Returns
    -------
    polars.DataFrame
        The table of the coverage.
    """
    remove_unfinished(out)
    names = extras.names
    header = called.header
    with ExitStack() as files:
        paths = {name: files.enter_context(whole(out / name)) for name in names}
        write_positions(paths[POSITIONS], scored, header.classes, header.origin, called.carried)
        table = count_coverage(paths[POSITIONS], called.genes, header.thresholds)
        table = table.with_columns(header.trained_on)
        table.write_csv(paths[COVERAGE], separator="\t")
        _write_calls(paths, called, extras)
        locus = first_called(called.placed, table)
        write_custom_track(paths[CUSTOM_TRACK], paths[BED], locus)
        tracks = _tracks(out, called.annotation, extras)
        write_session(paths[SESSION], out, called.genome.fasta.path, tracks, locus)
        if extras.hub is not None:
            _write_hub(paths, called, locus, extras)
        for name in ALL_NAMES.difference(names):
            (out / name).unlink(missing_ok=True)
    return table


def first_called(genes: Sequence[Gene], coverage: pl.DataFrame) -> str:
    """Place of the first gene with a call, or of the first gene, as `CHROM:FIRST-LAST`."""
    calls = (coverage["donors"] + coverage["acceptors"]).to_numpy()
    gene = genes[int((calls > 0).argmax())]
    return f"{gene.chrom}:{gene.start + 1}-{gene.end}"


def _write_calls(paths: Mapping[str, Path], called: Called, extras: Extras) -> None:
    """Write the files that lie along the genome, from the positions."""
    header, genes, contigs = called.header, called.placed, called.genome.fasta.contigs
    write_bed(paths[BED], paths[POSITIONS], genes, header.thresholds, header.origin, header.notes)
    if extras.bigwig:
        bigwigs = {key: paths[name] for key, name in BIGWIGS.items()}
        write_bigwigs(bigwigs, paths[POSITIONS], genes, contigs)
    if extras.transcripts is not None:
        # Also those that are no labels, where the model was trained on one transcript.
        known = {gene.id: gene.transcripts + gene.others for gene in genes}
        head = [*header.lines, *extras.notes]
        write_transcripts(
            *(paths[TRANSCRIPTS], paths[POSITIONS], genes, called.genome, known),
            *(extras.transcripts, head),
        )
    for name, pair in extras.compressed.items():
        write_compressed(paths[name], Path(name).suffix, *(paths[part] for part in pair))


def _tracks(out: Path, annotation: Path, extras: Extras) -> list[Track]:
    """What the session shows; of a file and its compressed copy the copy, which has an index."""
    copies = {name: pair.file for name, pair in extras.compressed.items()}
    tracks = [
        Track(out / BIGWIGS[kind, sign], f"{kind}s, {word} strand", COLOURS[kind], numbers=True)
        for word, sign in STRANDS.items()
        for kind in COLOURS
        if extras.bigwig
    ]
    tracks.append(Track(out / copies.get(BED, BED), "called sites", None))
    if extras.transcripts is not None:
        predicted = out / copies.get(TRANSCRIPTS, TRANSCRIPTS)
        tracks.append(Track(predicted, "predicted transcripts", GREY))
    return [*tracks, Track(annotation, "gene models", GREY)]


def _write_hub(paths: Mapping[str, Path], called: Called, locus: str, extras: Extras) -> None:
    """Write the hub, the text files of the call as bigBed, and a genome of one's own."""
    fasta = called.genome.fasta
    sizes = {gene.chrom: fasta.contigs[gene.chrom] for gene in called.placed}
    parts = {
        BED: (bigbed.items_of_bed, bigbed.CALLS),
        TRANSCRIPTS: (bigbed.items_of_transcripts, bigbed.CHAINS),
    }
    for name in extras.texts:
        items, columns = parts[name]
        with open(paths[name], encoding="utf-8") as lines:
            bigbed.write_bigbed(paths[BIGBEDS[name]], items(lines), sizes, columns, HUB_KEY)
    if extras.hub.own:
        write_two_bit(paths[TWO_BIT], fasta, HUB_KEY)
        models = bigbed.items_of_genes(called.placed, sizes)
        bigbed.write_bigbed(paths[GENES], models, sizes, bigbed.CHAINS, HUB_KEY)
    place = Place(fasta.path, locus)
    write_hub(paths[HUB], extras.hub, place, extras.bigwig, extras.transcripts is not None)
