"""Checks, before anything is called, that sequence, gene models and scores fit together."""

import logging
from collections.abc import Callable, Sequence

from genebatch.features.along_gene import Genome
from genebatch.genome.alignment import FEWEST, SiteScores, check_motifs
from genebatch.genome.genes import SITES, STRANDS, Gene
from genebatch.genome.strong_scores import check_strong_scores
from genebatch.io.files import InputError

log = logging.getLogger(__name__)

FASTA_KEY, GENES_KEY, SCORES_KEY = (
    f"sequence.{name} or --{name}" for name in ("fasta", "genes", "scores")
)
MISALIGNED = ("error", "warning")


def check_alignment(
    genome: Genome, genes: Sequence[Gene], source: str, misaligned: str = "error"
) -> list[str]:
    """Refuse sequence, genes and scores that do not fit together, as the build does.

    Annotated sites show it. Where a strand has few of them, the positions of strong scores do.
    Reads the sequence and the scores around the sites. Holds the counts.

    Parameters
    ----------
    genome
        Sequence and scores.
    genes
        The genes to call.
    source
        The file of the genes, for the message.
    misaligned
        "error", or "warning" to go on.

    Returns
    -------
    list of str
        What was warned of.

    Raises
    ------
    InputError
        What `check_motifs`, `SiteScores.check` and `check_strong_scores` raise, and how to go on.
    """
    if misaligned not in MISALIGNED:
        raise InputError(
            f"call.misaligned or --misaligned is {misaligned!r}; known: {', '.join(MISALIGNED)}"
        )
    checks = [lambda: check_motifs(genome.fasta, genes, source, f"{FASTA_KEY} and {GENES_KEY}")]
    checks += _score_checks(genome, genes, SCORES_KEY)
    for model in genome.further:
        checks += _score_checks(genome.seen_by(model), genes, f"{SCORES_KEY} ({model.name})")
    warned = []
    for check in checks:
        try:
            check()
        except InputError as error:
            if misaligned == "error":
                raise InputError(
                    f"{error}; to call all the same, set call.misaligned or --misaligned to warning"
                ) from error
            log.warning("%s", error)
            warned.append(str(error))
    return warned


def _score_checks(
    genome: Genome, genes: Sequence[Gene], key: str
) -> tuple[Callable[[], object], ...]:
    """What to check of the scores of one base model; reads them around the sites."""
    sites = SiteScores.read_from(genome.scores, genes)
    few = [
        (strand, kind)
        for strand in STRANDS.values()
        for kind in range(len(SITES))
        if sites.sites(strand, kind) < FEWEST
    ]
    return (
        lambda: sites.check(key),
        lambda: check_strong_scores(genome.fasta, genome.scores, genes, few, key),
    )
