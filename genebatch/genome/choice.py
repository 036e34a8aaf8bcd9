"""Chooses the genes and the transcripts of an annotation whose splice sites are the labels."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genebatch.genome.tags import LOOKED_FOR, TAGS
from genebatch.io.files import InputError, first_names

if TYPE_CHECKING:
    from genebatch.genome.genes import Gene, Transcript

log = logging.getLogger(__name__)

TRANSCRIPTS = ("all", "longest", "canonical")
NO_BIOTYPE = "none"
BIOTYPE_ATTRIBUTES = "gene_biotype, gene_type or biotype"
KEY = "sequence.biotypes or --biotypes"


def canonical_transcript(gene: "Gene") -> "Transcript":
    """The gene's main transcript among all annotated ones, taken or not.

    It is the one of the best tag, in the order of `tags.TAGS`. Among equals, and without tags, it
    is the one with most exonic nt, and then the first by id.
    """
    every = sorted(gene.transcripts + gene.others, key=lambda one: one.id)
    return min(every, key=lambda one: (_rank(one), -exonic_length(one)))


def exonic_length(transcript: "Transcript") -> int:
    """Length of a transcript without its introns, in nt."""
    return sum(end - start for start, end in transcript.exons)


def choose_biotypes(
    path: str | Path,
    genes: Sequence["Gene"],
    biotypes: Collection[str] | None,
) -> list["Gene"]:
    """Genes of some biotypes; the log counts the others by biotype.

    Raises
    ------
    InputError
        If no gene of the file has a wanted biotype, or any biotype at all.
    """
    if biotypes is None:
        return list(genes)
    counts = Counter(gene.kind for gene in genes)
    known = sorted(kind for kind in counts if kind)
    if not known:
        raise InputError(
            f"{path}: no gene has a biotype ({BIOTYPE_ATTRIBUTES}), but {KEY} asks for "
            f"{', '.join(biotypes)}; leave that out, or set sequence.genes to a file with biotypes"
        )
    unknown = sorted(set(biotypes) - set(known))
    if unknown:
        raise InputError(
            f"{path}: no gene has the biotype {', '.join(map(repr, unknown))}; known: "
            f"{', '.join(known)}; set {KEY} to some of these"
        )
    left_out = {kind or NO_BIOTYPE: n for kind, n in counts.items() if kind not in biotypes}
    if left_out:
        shown = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        log.info(
            "%s: %s of %s genes left out because of their biotype: %s; their splice sites become "
            "no rows of other genes",
            path,
            f"{sum(left_out.values()):,}",
            f"{len(genes):,}",
            ", ".join(f"{kind} {n:,}" for kind, n in shown),
        )
    return [gene for gene in genes if gene.kind in biotypes]


def choose_transcripts(
    path: str | Path,
    genes: Sequence["Gene"],
    which: str,
    untagged: str,
    every: Sequence["Gene"],
) -> list["Gene"]:
    """Genes with the transcripts of the labels; the other transcripts become their `others`.

    A gene reaches as far as the transcripts that are taken.

    Parameters
    ----------
    path
        The file, for messages.
    genes
        The genes, with all their transcripts.
    which
        One of `TRANSCRIPTS`.
    untagged
        What a file without any of `TAGS` is for "canonical": "error" or "longest".
    every
        All genes of the file, also those that are left out.
    """
    if which == "all":
        return list(genes)
    if which == "longest":
        return [_taking(gene, _longest(gene)) for gene in genes]
    _check_tags(path, genes, untagged, every)
    return [_taking(gene, canonical_transcript(gene)) for gene in genes]


def _check_tags(
    path: str | Path, genes: Sequence["Gene"], untagged: str, every: Sequence["Gene"]
) -> None:
    """Refuse a file without tags; log by which tags the genes' transcripts were chosen."""
    if not any(transcript.tag for gene in every for transcript in gene.transcripts):
        fact = f"{path}: no transcript has a tag of canonical ones (looked for {LOOKED_FOR})"
        if untagged == "error":
            raise InputError(f"{fact}; set sequence.transcripts or --transcripts to longest")
        log.warning("%s; the longest transcript of each gene is taken", fact)
        return
    counts = Counter(canonical_transcript(gene).tag for gene in genes)
    found = ", ".join(f"{tag} {counts[tag]:,}" for tag in TAGS if counts[tag])
    log.info("%s: canonical transcripts of genes by tag: %s", path, found or "none")
    if counts[""]:
        names = (gene.id for gene in genes if not canonical_transcript(gene).tag)
        log.warning(
            "%s: %s of %s genes have no transcript with a tag (%s); their longest is taken: %s",
            *(path, f"{counts['']:,}", f"{len(genes):,}", LOOKED_FOR, first_names(names)),
        )


def _taking(gene: "Gene", taken: "Transcript") -> "Gene":
    """The gene with one transcript, which sets its span."""
    others = list(gene.transcripts)
    others.remove(taken)
    return gene._replace(
        start=taken.exons[0][0],
        end=taken.exons[-1][1],
        transcripts=(taken,),
        others=tuple(others),
    )


def _longest(gene: "Gene") -> "Transcript":
    return max(gene.transcripts, key=exonic_length)  # the first of equals


def _rank(transcript: "Transcript") -> int:
    return TAGS.index(transcript.tag) if transcript.tag else len(TAGS)
