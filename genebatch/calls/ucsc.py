"""Writes the calls for the UCSC Genome Browser, as a custom track and as a track hub."""

import re
from pathlib import Path
from typing import NamedTuple

from genebatch.calls.bigbed import CALLS, CHAINS
from genebatch.calls.browser_files import BED, BIGWIGS, COLOURS
from genebatch.calls.transcripts import TRANSCRIPTS
from genebatch.genome.genes import SITES, STRANDS
from genebatch.io.files import InputError

CUSTOM_TRACK, HUB = "custom_track.bed", "hub.txt"
BIGBEDS = {BED: "calls.bb", TRANSCRIPTS: "transcripts.bb"}
HUB_KEY = "call.hub or --hub"
NAME = "genebatch calls"  # the browser shows 17 characters
DESCRIPTION = "Splice sites called by genebatch: donors blue, acceptors orange"


class Hub(NamedTuple):
    """A track hub.

    Attributes
    ----------
    genome
        Name of the genome at UCSC, such as hg38, or its accession, such as GCA_000001405.29.
    email
        Whom the browser names as contact; it opens no hub without one.
    """

    genome: str
    email: str

    def check(self) -> None:
        """Refuse what the browser would read as something else.

        Raises
        ------
        InputError
            If the genome is no name, or the contact no address.
        """
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", self.genome):
            raise InputError(
                f"{self.genome!r} is no name of a genome at UCSC; wanted one such as hg38, or an "
                f"accession such as GCF_000001405.40; set {HUB_KEY}"
            )
        if not re.fullmatch(r"[^\s@]+@[^\s@]+", self.email):
            raise InputError(f"{self.email!r} is no email address; set {HUB_KEY}")


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


def write_hub(path: Path, hub: Hub, bigwig: bool, transcripts: bool) -> None:
    """Write a hub of one file: hub, genome and tracks, each a block of lines.

    Parameters
    ----------
    path
        File to write.
    hub
        Genome and contact.
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
    blocks = [head, [f"genome {hub.genome}"]]
    blocks.append(_track(BIGBEDS[BED], f"bigBed {CALLS} .", "called sites", DESCRIPTION) + sites)
    if transcripts:
        words = "Transcripts predicted by genebatch; the score is 1000 times the posterior"
        track = _track(BIGBEDS[TRANSCRIPTS], f"bigBed {CHAINS} .", "transcripts", words)
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
