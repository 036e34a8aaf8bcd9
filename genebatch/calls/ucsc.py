"""Writes the calls for the UCSC Genome Browser, as a custom track and as a track hub."""

import re
from pathlib import Path
from typing import NamedTuple

from genebatch.calls.bigbed import CALLS, CHAINS
from genebatch.calls.browser_files import BED, BIGWIGS, COLOURS
from genebatch.calls.transcripts import TRANSCRIPTS
from genebatch.genome.genes import SITES, STRANDS
from genebatch.io.files import InputError

CUSTOM_TRACK, HUB = "calls_ucsc.bed", "calls_hub.txt"
OWN, TWO_BIT, GENES = "own", "calls_genome.2bit", "calls_genes.bb"
BIGBEDS = {BED: "calls.bb", TRANSCRIPTS: "transcripts.bb"}
HUB_KEY = "call.hub or --hub"
NAME = "genebatch calls"  # the browser shows 17 characters
DESCRIPTION = "Splice sites called by genebatch: donors blue, acceptors orange"


class Hub(NamedTuple):
    """A track hub.

    Attributes
    ----------
    genome
        Name of the genome at UCSC, such as hg38, or its accession, such as GCF_000001405.40. `OWN`
        for a genome that UCSC does not have: the hub then brings it.
    email
        Whom the browser names as contact; it opens no hub without one.
    """

    genome: str
    email: str

    @property
    def own(self) -> bool:
        """Whether the hub brings its genome."""
        return self.genome == OWN

    def check(self) -> None:
        """Refuse what the browser would read as something else.

        Raises
        ------
        InputError
            If the genome is no name, or the contact no address.
        """
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.genome):
            raise InputError(
                f"{self.genome!r} is no name of a genome at UCSC; wanted one such as hg38, an "
                f"accession such as GCF_000001405.40, or {OWN}; set {HUB_KEY}"
            )
        if not re.fullmatch(r"[^\s@]+@[^\s@]+", self.email):
            raise InputError(f"{self.email!r} is no email address; set {HUB_KEY}")


class Place(NamedTuple):
    """A genome of one's own.

    Attributes
    ----------
    fasta
        Its file, after which it is called.
    locus
        Where the browser opens.
    """

    fasta: Path
    locus: str

    def lines(self) -> list[str]:
        """The lines of the hub that describe the genome."""
        name = self.fasta.name.removesuffix(".gz").partition(".")[0]
        return [
            f"genome {re.sub(r'[^A-Za-z0-9_]', '_', name) or 'genome'}",
            f"twoBitPath {TWO_BIT}",
            f"organism {name}",
            f"scientificName {name}",
            f"description {self.fasta.name}",
            f"defaultPos {self.locus}",
            "orderKey 1",
        ]


def write_custom_track(path: Path, bed: Path, locus: str) -> None:
    """Write calls as a file that is uploaded as a custom track.

    The browser takes the colours of the items only from a file with a `track` line. Readers of
    tables, tabix and bigBed refuse such a line, so this is a file of its own.

    Parameters
    ----------
    path
        File to write.
    bed
        The calls.
    locus
        Where the browser opens, `CHROM:FIRST-LAST`.
    """
    with open(bed, encoding="utf-8") as lines, open(path, "w", encoding="utf-8") as stream:
        stream.write(f"browser position {locus}\n")
        stream.write(
            f'track name="{NAME}" description="{DESCRIPTION}" itemRgb="On" visibility="pack"\n'
        )
        stream.writelines(line for line in lines if not line.startswith("#"))


def write_hub(path: Path, hub: Hub, place: Place, bigwig: bool, transcripts: bool) -> None:
    """Write a hub of one file: hub, genome and tracks, each a block of lines.

    Parameters
    ----------
    path
        File to write.
    hub
        Genome and contact.
    place
        The genome as the call knows it, for a hub that brings it.
    bigwig, transcripts
        Whether the bigWig files, and the transcripts as bigBed, lie beside the hub.
    """
    head = [
        "hub genebatch",
        f"shortLabel {NAME}",
        f"longLabel {DESCRIPTION}",
        "useOneFile on",
        f"email {hub.email}",
    ]
    sites = ["itemRgb on", "visibility pack"]
    blocks = [head, place.lines() if hub.own else [f"genome {hub.genome}"]]
    blocks.append(_track(BIGBEDS[BED], f"bigBed {CALLS} .", "called sites", DESCRIPTION) + sites)
    if transcripts:
        words = "Transcripts predicted by genebatch; the score is 1000 times the posterior"
        track = _track(BIGBEDS[TRANSCRIPTS], f"bigBed {CHAINS} .", "transcripts", words)
        blocks.append([*track, "visibility pack"])
    if hub.own:
        track = _track(
            GENES, f"bigBed {CHAINS} .", "gene models", "Gene models of the called genes"
        )
        blocks.append([*track, "visibility pack"])
    if bigwig:
        blocks += [_bigwig(kind, word) for word in STRANDS for kind in SITES]
    path.write_text("\n\n".join("\n".join(block) for block in blocks) + "\n", encoding="utf-8")


def _bigwig(kind: str, word: str) -> list[str]:
    words = f"Probability of {kind}s on the {word} strand, by genebatch"
    track = _track(BIGWIGS[kind, STRANDS[word]], "bigWig 0 1", f"{kind}s {word}", words)
    drawn = ["viewLimits 0:1", "windowingFunction maximum", "visibility full"]
    return [*track, f"color {COLOURS[kind]}", *drawn]


def _track(file: str, kind: str, label: str, words: str) -> list[str]:
    """Lines that every track needs; names are letters, digits and underscores."""
    return [
        f"track {Path(file).stem.replace('.', '_')}",
        f"shortLabel {label}",
        f"longLabel {words}",
        f"type {kind}",
        f"bigDataUrl {file}",
    ]
