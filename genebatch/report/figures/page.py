"""Draws the figures of the page that no other rule writes in this form."""

from collections.abc import Iterator, Sequence

import polars as pl
from matplotlib.figure import Figure

from genebatch.dataset.columns import START
from genebatch.report.figures import boosters, first, tracks
from genebatch.report.figures.evaluation import scored_results
from genebatch.report.figures.genes import draw_genes
from genebatch.report.figures.jobs import memory
from genebatch.report.figures.neighbours import draw_neighbours
from genebatch.report.finished_run import FinishedRun
from genebatch.report.first_screen import Standing
from genebatch.report.page import first_standings

MOST_CLASSES = 12  # of a figure on the page; the PNG files have all


def page_figures(run: FinishedRun) -> Iterator[tuple[str, Figure]]:
    """Draw the figures one by one, each with its name."""
    yield "first", _first(run, first_standings(run))
    features = run.importance.filter(pl.col("feature") != START)
    title = "Importance in the delivered model, on test rows"
    yield "importance", boosters.importance(features, run.families, run.results.classes, title)
    yield "memory", memory(run.usage, "Memory: estimate and measured peak of every job")
    if run.tracks is not None:
        title = f"All {run.tracks.summary['positions']:,} positions of the test genes"
        drawn = tracks.precision_recall(run.tracks.curves, run.tracks.corrections, title)
        yield "tracks", drawn
        if run.tracks.examples:
            yield "genes", draw_genes(run.tracks.examples, "Tracks of test genes")
    if run.neighbours is not None:
        yield "neighbours", draw_neighbours(run.neighbours)


def panel_places(run: FinishedRun, n_panels: int) -> Sequence[int]:
    """Give the panels of a figure that the page shows, in its order of the classes.

    A figure that has no panels of every class is shown as it is.
    """
    order = run.page_order
    if n_panels == 0 or n_panels % len(order) or n_panels < len(order):
        return range(n_panels)
    each = n_panels // len(order)
    return [each * place + part for place in order[:MOST_CLASSES] for part in range(each)]


def _first(run: FinishedRun, lines: Sequence[Standing]) -> Figure:
    names = [line.name for line in lines]
    if len(names) > first.MOST_PANELS:
        return first.differences(lines, "Average precision of every class")
    if run.tracks is not None:
        curves = first.track_curves(run.tracks.curves, names)
        title = "Precision and recall at every position of the test genes"
    else:
        curves = first.row_curves(scored_results(run.results), names)
        title = f"Precision and recall on {run.results.rows.height:,} test rows"
    return first.precision_recall(curves, lines, title)
