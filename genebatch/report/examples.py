"""Shows on the page a few test genes with the errors that the model corrected and made."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from genebatch.calls.evaluation.examples import CORRECTED, MADE
from genebatch.report.numbers import Cell, cell

MOST_LINES = 40  # changed positions of a gene that the page lists


class ChangedLine(NamedTuple):
    """A position at which the calls of base scores and model differ."""

    name: str
    place: str
    base: Cell
    model: Cell
    outcome: str
    is_gain: bool


class ExampleGene(NamedTuple):
    """A gene with the calls that the model changed; `left_out` of them are not listed."""

    name: str
    reason: str
    lines: list[ChangedLine]
    left_out: int


def example_facts(genes: Sequence[Mapping[str, Any]]) -> list[ExampleGene] | None:
    """Give the genes of the section on test genes, or None where there are none.

    Parameters
    ----------
    genes
        As `calls.evaluation.examples.example_tracks` gives them.
    """
    return [_gene(gene) for gene in genes] or None


def _gene(gene: Mapping[str, Any]) -> ExampleGene:
    changed = [line for line in gene["positions"] if line["outcome"] in (*CORRECTED, *MADE)]
    lines = [
        ChangedLine(
            line["class"],
            f"{gene['chrom']}:{line['genomic_position'] + 1:,}",
            cell(line["base"], None),
            cell(line["model"], None),
            line["outcome"],
            line["outcome"] in CORRECTED,
        )
        for line in sorted(changed, key=lambda line: line["genomic_position"])
    ]
    shown = lines[:MOST_LINES]
    return ExampleGene(gene["gene_id"], gene["chosen_as"], shown, len(lines) - len(shown))
