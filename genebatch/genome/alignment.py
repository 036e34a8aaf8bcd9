"""Checks that genome, gene models and base scores use the same positions.

Scores that lie one position beside the labels make every model look far better than its base
scores. Annotated sites show such a shift: introns begin with GT or GC and end with AG, and base
scores are high at sites.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import SITES, STRANDS, Gene, splice_sites
from genebatch.genome.scores.tracks import ScoreTracks
from genebatch.io.files import InputError

log = logging.getLogger(__name__)

OFFSETS = np.arange(-2, 3)  # nt from a site, in transcript orientation
AT_SITE = int(np.flatnonzero(OFFSETS == 0)[0])
FEWEST = 20  # sites of a kind and strand; with fewer, nothing is refused, but warned of
FEWEST_TOLD = 4  # with fewer, chance may look like a shift, and nothing is said
# Over 98 % of the introns of known genomes have these ends; chance gives 13 % and 6 %.
LEAST_SHARE = 0.5
FITTING_SHARE = 0.8  # another offset with this share explains a misfit
# Scores are refused if another place than the sites has at least this mean score, and at least
# this multiple of the mean at the sites.
LEAST_MEAN, CLEARLY = 0.05, 2
SCORES_WANTED = (
    "wanted donor and acceptor scores by the 0-based position from the gene's start in transcript "
    "orientation (bigWig: of the site's own genomic base)"
)


class Motif(NamedTuple):
    """The two intronic bases beside a kind of site."""

    first: int  # nt from the site
    words: tuple[int, ...]  # 5 * first code + second code
    text: str


MOTIFS = (Motif(1, (13, 11), "followed by GT or GC"), Motif(-2, (2,), "preceded by AG"))


def check_motifs(
    fasta: Fasta,
    genes: Iterable[Gene],
    source: str,
    keys: str = "sequence.fasta and sequence.genes",
) -> dict[str, Any]:
    """Refuse gene models whose introns lack the usual first and last bases.

    Reads six nt per site. Holds the counts.

    Parameters
    ----------
    fasta
        The genome.
    genes
        The genes; a site of two genes counts twice.
    source
        The file of the genes, for the message.
    keys
        The config keys or flags of genome and genes.

    Returns
    -------
    dict
        By strand ("plus", "minus") and kind of site ("donor", "acceptor"): number of `sites` and
        their `motif_share`, which is null without sites.

    Raises
    ------
    InputError
        If fewer than half of the donors are followed by GT or GC, or fewer than half of the
        acceptors are preceded by AG, on a strand with at least 20 of them. The message says
        whether another offset would fit. From 4 sites on it is a warning.
    """
    matches = {
        strand: np.zeros((len(SITES), len(OFFSETS)), np.int64) for strand in STRANDS.values()
    }
    sites = {strand: np.zeros(len(SITES), np.int64) for strand in STRANDS.values()}
    for gene in genes:
        for kind, positions in enumerate(splice_sites(gene)):
            matches[gene.strand][kind] += motifs_near(fasta, gene, positions, MOTIFS[kind])
            sites[gene.strand][kind] += len(positions)
    facts: dict[str, Any] = {}
    for name, strand in STRANDS.items():
        facts[name] = {}
        for kind, n in enumerate(sites[strand].tolist()):
            shares = matches[strand][kind] / max(n, 1)
            refuse_or_warn(_wrong_motif(shares, n, kind, name, fasta, source, keys), n)
            facts[name][SITES[kind]] = {
                "sites": n,
                "motif_share": float(shares[AT_SITE]) if n else None,
            }
    return facts


def refuse_or_warn(fault: str | None, n: int) -> None:
    """Raise a fault that was seen at enough sites; warn of one that was seen at few."""
    if fault is None or n < FEWEST_TOLD:
        return
    if n >= FEWEST:
        raise InputError(fault)
    log.warning("%s", fault)


def motifs_near(fasta: Fasta, gene: Gene, positions: np.ndarray, motif: Motif) -> np.ndarray:
    """Number of positions that have the motif at each of `OFFSETS` from them."""
    first, width = motif.first + OFFSETS[0], len(OFFSETS) + 1
    codes = np.array(
        [gene_codes(fasta, gene, at + first, at + first + width) for at in positions.tolist()],
        np.uint8,
    ).reshape(-1, width)
    return np.isin(5 * codes[:, :-1] + codes[:, 1:], motif.words).sum(axis=0)


def _wrong_motif(
    shares: np.ndarray, n: int, kind: int, strand: str, fasta: Fasta, source: str, keys: str
) -> str | None:
    """Say what is wrong with sites whose shares of the motif are these at `OFFSETS`."""
    what = f"{n:,} {SITES[kind]}s on the {strand} strand"
    if n < FEWEST_TOLD:
        log.info("%s: fewer than %d, not checked against the sequence", what, FEWEST_TOLD)
        return None
    log.info("%s: %.1f %% are %s", what, 100 * shares[AT_SITE], MOTIFS[kind].text)
    if shares[AT_SITE] >= LEAST_SHARE:
        return None
    best = int(shares.argmax())
    if shares[best] >= FITTING_SHARE:
        reason = (
            f"{shares[best]:.1%} would be if they lay {abs(OFFSETS[best])} nt further "
            f"{'on' if OFFSETS[best] > 0 else 'back'} in transcript orientation, so coordinates "
            f"are off by {abs(OFFSETS[best])}"
        )
    else:
        reason = "FASTA and gene models are of different assemblies, or coordinates are off"
    return (
        f"of {what} of {source}, {shares[AT_SITE]:.1%} are {MOTIFS[kind].text} in {fasta.path}, "
        f"wanted at least {LEAST_SHARE:.0%}: {reason}; set {keys} to files of one assembly, GTF "
        "and GFF3 counting from 1 with both ends included"
    )


class SiteScores:
    """Mean base scores at and beside the annotated sites, summed up while the scores are read.

    Holds the sums, and 80 scores per site of one gene.
    """

    def __init__(self):
        # By kind of site, score channel, along or against the gene, offset.
        shape = (len(SITES), len(SITES), 2, len(OFFSETS))
        self._sums = {strand: np.zeros(shape) for strand in STRANDS.values()}
        self._sites = {strand: np.zeros(len(SITES), np.int64) for strand in STRANDS.values()}

    @classmethod
    def read_from(cls, scores: ScoreTracks, genes: Iterable[Gene]) -> Self:
        """The scores of genes, which are read around each site alone."""
        sites = cls()
        for gene in genes:
            sites._read(gene, scores)
        return sites

    def watch(self, gene: Gene, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass on the score blocks of a gene, and add its sites after the last block.

        Parameters
        ----------
        gene
            The gene.
        blocks
            Successive (2, n) blocks that cover the gene.
        """
        places = _places(gene)
        near = np.zeros((len(SITES), *places.shape), np.float32)  # 0 outside of the gene
        start = 0
        for scores in blocks:
            stop = start + scores.shape[1]
            inside = (places >= start) & (places < stop)
            near[:, inside] = scores[:, places[inside] - start]
            start = stop
            yield scores
        self._add(gene, near)

    def _read(self, gene: Gene, scores: ScoreTracks) -> None:
        """Add the sites of a gene."""
        places = _places(gene)
        near = np.zeros((len(SITES), *places.shape), np.float32)
        for direction, first in enumerate(places[:, 0].tolist()):
            for site, start in enumerate(first):
                stretch = scores.fetch(gene, start, start + len(OFFSETS))
                near[:, direction, :, site] = stretch
        self._add(gene, near)

    def _add(self, gene: Gene, near: np.ndarray) -> None:
        """Add scores (2, along or against the gene, offset, site), donors before acceptors."""
        n_donors = len(splice_sites(gene)[0])
        for kind, part in enumerate(np.split(near, [n_donors], axis=-1)):
            self._sums[gene.strand][kind] += part.sum(axis=-1, dtype=np.float64)
            self._sites[gene.strand][kind] += part.shape[-1]

    def sites(self, strand: str, kind: int) -> int:
        """Number of sites seen of a strand ("+", "-") and kind."""
        return int(self._sites[strand][kind])

    def check(self, key: str = "sequence.scores") -> dict[str, Any]:
        """Refuse scores that are clearly higher in another place, or in the other class.

        Parameters
        ----------
        key
            The config key or flag of the scores.

        Returns
        -------
        dict
            By strand and kind of site as `check_motifs`: mean scores of the own and the `other`
            class at `OFFSETS`. The minus strand also has them at the mirrored positions
            (length - 1 - position). Null without sites.

        Raises
        ------
        InputError
            If a place has a mean score of at least .05 and at least twice that of the sites' own
            class at offset 0. This needs 20 sites of a kind and strand. The message says what
            fits better. From 4 sites on it is a warning.
        """
        facts: dict[str, Any] = {}
        for name, strand in STRANDS.items():
            facts[name] = {}
            for kind, n in enumerate(self._sites[strand].tolist()):
                means = self._sums[strand][kind] / max(n, 1)
                own_first = means[[kind, 1 - kind], : 1 if strand == "+" else 2]
                refuse_or_warn(_wrong_scores(own_first, n, kind, name, key), n)
                facts[name][SITES[kind]] = _named(own_first if n else None)
        return facts


def _places(gene: Gene) -> np.ndarray:
    """Positions near the sites, donors first: (along or against the gene, offset, site)."""
    along = np.concatenate(splice_sites(gene))
    return np.stack([along, gene.length - 1 - along])[:, None] + OFFSETS[:, None]


def _wrong_scores(means: np.ndarray, n: int, kind: int, strand: str, key: str) -> str | None:
    """Say what is wrong with means by class (own, other), along or against, and offset."""
    what = f"{n:,} {SITES[kind]}s on the {strand} strand"
    if n < FEWEST_TOLD:
        log.info("%s: fewer than %d, not checked against the scores", what, FEWEST_TOLD)
        return None
    here, beside = means[0, 0, AT_SITE], means.copy()
    beside[0, 0, AT_SITE] = 0
    best = np.unravel_index(beside.argmax(), beside.shape)
    log.info(
        "%s: mean %s score %.3g, at most %.3g beside them", what, SITES[kind], here, beside[best]
    )
    if beside[best] >= max(LEAST_MEAN, CLEARLY * here):
        other, mirrored, offset = best
        return (
            f"mean score of {what} is {here:.3g} in their own class, but {beside[best]:.3g} "
            f"elsewhere: {explain(other, mirrored, int(OFFSETS[offset]))}; {SCORES_WANTED}; "
            f"set {key}"
        )
    if here < LEAST_MEAN and n >= FEWEST:
        log.warning(
            "base scores hardly find the %s (mean %.3g): unless the base model is that weak, "
            "%s are of other gene models or of the other strand",
            *(what, here, key),
        )
    return None


def explain(other: int, mirrored: int, nt: int) -> str:
    """Say what is wrong with scores that are highest at this class, direction and offset in nt."""
    faults = []
    if other:
        faults.append("donor and acceptor look swapped")
    if mirrored:
        faults.append("scores of the minus strand look like they are in genomic order")
    if nt:
        faults.append(f"scores look shifted by {nt:+d}{' (counted from 1?)' * (nt == 1)}")
    return " and ".join(faults)


def _named(means: np.ndarray | None) -> dict[str, list[float] | None]:
    """The means of a kind of site, by their names in the facts."""
    names = (("scores", "mirrored"), ("other", "other_mirrored"))
    if means is None:
        return {"scores": None, "other": None}
    return {
        name: [round(value, 6) for value in row]
        for both, rows in zip(names, means.tolist(), strict=True)
        for name, row in zip(both, rows, strict=False)
    }
