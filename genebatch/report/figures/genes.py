"""Draws a gene: scores of base model and model at its sites, and the errors corrected and made."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genebatch.calls.evaluation.examples import CORRECTED, MADE, NOT_JUDGED, OUTCOMES
from genebatch.genome.genes import SITES
from genebatch.report.figures import style

SIZE = (11.2, 3.3)  # inches of a gene
LANES = {SITES[0]: 1.45, SITES[1]: -1.45}  # height of the line between base scores and model
EXON = 0.13  # half the height of an exon
MARK = 1.18  # height of a mark above or below the line of its lane
IS_SITE = {outcome: site for (site, _, _), outcome in OUTCOMES.items()} | {NOT_JUDGED: False}
OF_BOTH = ("missed by both", "false in both")
KINDS = (
    # Outcomes, marker, label.
    (CORRECTED, {"marker": "o", "color": style.COLOURS[2]}, "error corrected"),
    (MADE, {"marker": "X", "color": style.COLOURS[1]}, "error made"),
    (OF_BOTH, {"marker": "D", "color": style.GREY, "markersize": 4}, "error of both"),
)


def draw_genes(genes: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw genes below each other, each with a lane for donors and one for acceptors.

    In a lane the scores of the model point up and those of the base model down. Ticks on the line
    are annotated sites.

    Parameters
    ----------
    genes
        As `calls.evaluation.examples.example_tracks` gives them.
    title
        Title of the figure.
    """
    with style.panels(len(genes), title, size=SIZE, columns=1) as (figure, panels):
        for gene, axes in zip(genes, panels, strict=True):
            _gene(axes, gene)
            style.legend_beside(axes)
    return figure


def _gene(axes: Axes, gene: Mapping[str, Any]) -> None:
    errors = gene["errors"]
    style.head(
        axes,
        f"{gene['gene_id']}, {gene['chosen_as']}: {gene['sites']} sites, {errors['base']} errors "
        f"of the base scores, {errors['model']} of the model",
    )
    axes.plot([0, gene["length"]], [0, 0], color=style.PALE, linewidth=1)
    for start, end in gene["exons"]:
        axes.fill_between([start, end], -EXON, EXON, color=style.GREY, linewidth=0)
    for number, (name, middle) in enumerate(LANES.items(), start=1):
        own = [line for line in gene["positions"] if line["class"] == name]
        axes.plot([0, gene["length"]], [middle, middle], color=style.PALE, linewidth=0.8)
        _sticks(axes, own, middle, number)
        _marks(axes, own, middle)
    ticks = [
        (middle + side, label)
        for name, middle in LANES.items()
        for side, label in ((0.55, f"{name}, model"), (-0.55, "base scores"))
    ]
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.tick_params("y", length=0, labelsize=8)
    axes.grid(False, axis="y")
    ends = LANES[SITES[0]] + MARK + 0.2
    axes.set(xlim=(-0.01 * gene["length"], 1.01 * gene["length"]), ylim=(-ends, ends))
    where = f"{gene['chrom']}:{gene['start'] + 1:,}-{gene['end']:,} ({gene['strand']})"
    axes.set_xlabel(style.plain(f"nt from the 5' end of the gene, {where}"))
    axes.spines["left"].set_visible(False)


def _sticks(axes: Axes, lines: Sequence[Mapping[str, Any]], middle: float, number: int) -> None:
    places = [line["position"] for line in lines]
    drawn = {"linewidth": 1.6, "capstyle": "butt"}
    for side, colour, way in (("model", style.colour(number), 1), ("base", style.GREY, -1)):
        tops = [middle + way * line[side] for line in lines]
        axes.vlines(places, middle, tops, color=colour, **drawn)
    sites = [line["position"] for line in lines if IS_SITE[line["outcome"]]]
    marks = {"marker": "|", "linestyle": "none", "color": "black", "markersize": 7}
    axes.plot(sites, [middle] * len(sites), **marks, label="annotated site" * (number == 1))


def _marks(axes: Axes, lines: Sequence[Mapping[str, Any]], middle: float) -> None:
    for outcomes, shape, label in KINDS:
        places = [line["position"] for line in lines if line["outcome"] in outcomes]
        text = label if middle == LANES[SITES[0]] else ""
        heights = [middle + MARK] * len(places)
        drawn = {"linestyle": "none", "markersize": 6, "label": text} | shape
        axes.plot(places, heights, **drawn)
