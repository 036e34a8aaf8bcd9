"""What is known of gene structure before a gene is seen: lengths, codon scores, ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from genebatch.config.settings import Section
from genebatch.features.structure.coding import Coding, CodonPairs, Fetch, OpenFrames, PairScores
from genebatch.features.structure.codons import Codons
from genebatch.features.structure.lengths import Lengths
from genebatch.io.files import InputError

ENDS = ("known", "free")
LEARNED = "learned"  # the value of `coding` by which codon pairs are learned from the genome
# Log weight of a beginning, or an end, of a chain at a site away from the ends of the gene. Where
# the ends are known it is rare, but transcripts of a gene differ.
LOOSE_END = {"known": -8.0, "free": -4.0}


@dataclass(frozen=True)
class StructureKeys(Section):
    """The section `features.structure`.

    Parameters
    ----------
    coding : str
        "none", "learned", or a file of codon pairs.
    ends : str
        One of `ENDS`.
    lengths : str, optional
        File of length distributions; those of human genes by default.

    Raises
    ------
    InputError
        If `ends` is unknown.
    """

    coding: str = "none"
    ends: str = "known"
    lengths: str | None = None

    def __post_init__(self):
        if self.ends not in ENDS:
            raise InputError(
                f"features.structure.ends: wanted {' or '.join(ENDS)}, got {self.ends!r}"
            )


@dataclass(frozen=True)
class StructureModel:
    """Knowledge of gene structure; a model file carries it, so that calls use that of training.

    Parameters
    ----------
    ends : str
        "known" if genes begin and end where the gene models say, "free" if they may be cut off.
    lengths : Lengths
        Length distributions of exons and introns.
    pairs : CodonPairs, optional
        Scores of successive codons. Without them a codon counts for not being a stop.
    """

    ends: str = "known"
    lengths: Lengths = field(default_factory=Lengths)
    pairs: CodonPairs | None = None

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """Build from what `plain` gave."""
        pairs = values["pairs"]
        pairs = None if pairs is None else CodonPairs.build(pairs)
        return cls(values["ends"], Lengths.build(values["lengths"]), pairs)

    def plain(self) -> dict[str, Any]:
        """The values as JSON holds them."""
        pairs = None if self.pairs is None else self.pairs.plain()
        return {"ends": self.ends, "lengths": self.lengths.plain(), "pairs": pairs}

    def with_pairs(self, pairs: CodonPairs) -> Self:
        """The same with scores of codon pairs."""
        return replace(self, pairs=pairs)

    @property
    def loose_end(self) -> float:
        """Log weight of an end of a chain away from the ends of the gene."""
        return LOOSE_END[self.ends]

    def coding(self, codons: Codons, fetch: Fetch) -> Coding:
        """Codon scores of a gene; `fetch` gives its sequence between two positions."""
        if self.pairs is None:
            return OpenFrames(codons)
        return PairScores(self.pairs, fetch, codons.length)
