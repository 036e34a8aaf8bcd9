"""Steps that judge models on groups that nobody trained on.

Functions import the libraries of their own rule: no job pays for those of another.
"""

import logging
from typing import TYPE_CHECKING

import polars as pl

from genebatch.config.settings import Evaluation, Explaining
from genebatch.dataset.columns import START
from genebatch.io.files import InputError, read_json, read_parquet, write_parquet, write_tsv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genebatch.dataset.categories import Unseen
    from genebatch.dataset.row_file import Rows
    from genebatch.evaluation.group_ranks import Ranks
    from genebatch.evaluation.systems import Compared

log = logging.getLogger(__name__)

TOP = 15  # groups that the figure of ranks names


def estimate(
    *,
    ensemble: str,
    combiners: str,
    combined: str,
    evaluation: Evaluation,
    table: str,
    single_held_out: str | None = None,
    both_held_out: str | None = None,
    distilled_held_out: str | None = None,
) -> None:
    """Judge every model on all training groups with held-out scores, which never saw the group.

    Parameters
    ----------
    ensemble, combiners, combined
        What `combine_batches` wrote.
    evaluation
        Settings.
    table
        TSV; see `evaluation.training_groups.estimate`.
    single_held_out, both_held_out, distilled_held_out
        Held-out scores of the candidates beside the ensemble, where they were trained.
    """
    from genebatch.evaluation.training_groups import estimate as judge_on_training_groups
    from genebatch.model.archive import load_model
    from genebatch.model.held_out import ALONE, read_sample

    scores = dict.fromkeys(read_json(combiners)["combiners"], combined)
    alone = dict(zip(ALONE, (single_held_out, both_held_out, distilled_held_out), strict=True))
    scores |= {name: path for name, path in alone.items() if path}
    sample = read_sample(combined)
    if sample is not None:
        log.info("combiners are judged on %s", sample)
    write_tsv(
        table, judge_on_training_groups(scores, list(load_model(ensemble).classes), evaluation)
    )


def evaluate(
    *,
    rows: str,
    model: str,
    ensemble: str,
    combiners: str,
    evaluation: Evaluation,
    threads: int,
    metrics: str,
    systems: str,
    comparison: str,
    corrections: str,
    predictions: str,
    single: str | None = None,
    both: str | None = None,
    distilled: str | None = None,
) -> None:
    """Judge the finished model on the test groups, beside all that it could have been.

    Parameters
    ----------
    rows
        The row file of the test groups.
    model, ensemble, combiners, single, both, distilled
        The finished model, all members, parameters of every combiner (JSON), and the candidates
        beside the ensemble, where they were trained.
    evaluation, threads
        Settings.
    metrics, systems, comparison, corrections, predictions
        TSV, and Parquet for the last; see `evaluation.test_groups.Tables`.

    Raises
    ------
    InputError
        If a member of a model was trained on a test group.
    """
    from genebatch.dataset.categories import Unseen
    from genebatch.dataset.row_file import RowFile
    from genebatch.evaluation.systems import predict_rows
    from genebatch.evaluation.test_groups import judge
    from genebatch.model.held_out import ALONE
    from genebatch.model.seen_groups import refuse_seen_groups

    stored = RowFile.open(rows)
    alone = dict(zip(ALONE, (single, both, distilled), strict=True))
    compared = _load(model, ensemble, combiners, alone, threads)
    groups = stored.groups["group"].to_list()
    refuse_seen_groups(compared.models, groups)
    categories = stored.features.categories
    unseen = Unseen({n: categories[n] for n in compared.columns if n in categories})
    predicted = predict_rows(compared, _counted(stored.frames(compared.columns), unseen))
    unseen.warn("test groups")
    log.info("%s rows of %s test groups", f"{predicted.rows.height:,}", f"{len(groups):,}")
    tables = judge(compared, predicted, evaluation)
    write_tsv(metrics, tables.metrics)
    write_tsv(systems, tables.systems)
    write_tsv(comparison, tables.comparison)
    write_tsv(corrections, tables.corrections)
    write_parquet(predictions, tables.predictions, compared.final.origin)


def _counted(parts: "Iterable[Rows]", unseen: "Unseen") -> "Iterator[Rows]":
    for part in parts:
        unseen.count(part.features)
        yield part


def rank_groups(
    *,
    scores: str,
    combined: str,
    combiner: str,
    planned: str | None = None,
    ranks: str | None = None,
    figure: str | None = None,
    group_features: str | None = None,
    by: str | None = None,
    top: int = TOP,
) -> "Ranks":
    """Rank the groups by what more groups like them would gain, and draw the first of them.

    See `evaluation.group_sums.sum_groups` for the memory held.

    Parameters
    ----------
    scores, combined
        Held-out scores of members and combiners.
    combiner
        Whose probabilities count.
    planned
        The role of every group, by which groups without scores are named; None names none.
    ranks, figure
        TSV (see `evaluation.group_ranks.rank`) and PNG; None writes none.
    group_features
        Parquet, `group` and standardised numbers, if there is a table of what groups are like.
    by
        Column of the table, largest first; by default the held-out log loss.
    top
        Number of groups that the figure names.
    """
    from genebatch.evaluation.group_ranks import rank, with_unscored
    from genebatch.evaluation.group_sums import sum_groups
    from genebatch.report.figures.ranks import draw_ranks
    from genebatch.report.figures.style import save_figure

    sums = sum_groups(scores, combined, combiner)
    features = None if group_features is None else read_parquet(group_features)
    result = rank(sums, by, features)
    if planned is not None:
        result = with_unscored(result, read_parquet(planned, columns=["group", "batch", "rows"]))
    log.info("%s groups, %d members, combiner %s", result.counted, result.n_members, combiner)
    if ranks is not None:
        write_tsv(ranks, result.table)
    if figure is not None:
        save_figure(figure, draw_ranks(result, sums.layout.classes, top))
    return result


def explain_final(
    *,
    rows: str,
    model: str,
    explaining: Explaining,
    threads: int,
    shap: str,
    importance: str,
    families: str,
    figure: str,
) -> None:
    """Explain the delivered model on a sample of the test groups.

    Parameters
    ----------
    rows
        The row file of the test groups.
    model
        The model file.
    explaining, threads
        Settings.
    shap, importance, families
        Parquet, TSV and TSV; see `evaluation.importance.FinalExplanation`.
    figure
        PNG: the most important features and families of each class.

    Raises
    ------
    InputError
        If a member of the model was trained on a test group.
    """
    from genebatch.dataset.row_file import RowFile
    from genebatch.evaluation.importance import chosen_rows, drawn_rows
    from genebatch.evaluation.importance import explain_final as explained
    from genebatch.model.archive import load_model
    from genebatch.model.seen_groups import refuse_seen_groups
    from genebatch.report.figures.boosters import importance as draw_importance
    from genebatch.report.figures.style import save_figure

    stored, loaded = RowFile.open(rows), load_model(model, threads=threads)
    refuse_seen_groups({"the model": loaded}, stored.identity["group"].unique().sort().to_list())
    chosen = chosen_rows(stored.identity, explaining.rows, explaining.seed)
    sample = drawn_rows(stored.frames(loaded.columns_in_), chosen)
    result = explained(loaded, sample, explaining)
    write_parquet(shap, result.shap)
    write_tsv(importance, result.features)
    write_tsv(families, result.families)
    title = f"The delivered model on {len(chosen):,} test rows"
    features = result.features.filter(pl.col("feature") != START)
    save_figure(figure, draw_importance(features, result.families, list(loaded.classes), title))
    n_groups = sample.identity["group"].n_unique()
    log.info("explained %s rows of %s test groups", f"{len(chosen):,}", f"{n_groups:,}")


def _load(
    model: str, ensemble: str, combiners: str, alone: dict[str, str | None], threads: int
) -> "Compared":
    """Read the finished model, the ensemble with all combiners, and the other models."""
    from genebatch.evaluation.systems import Compared
    from genebatch.model.archive import load_model
    from genebatch.model.ensemble import used_at

    final = load_model(model, threads=threads)
    whole = used_at(load_model(ensemble, threads=threads), final.prevalence)
    described = read_json(combiners)
    if described["members"] != [member.name for member in whole.members]:
        raise InputError(
            f"{combiners} is not of the members of {ensemble}; delete both and run again"
        )
    others = {
        name: used_at(load_model(path, threads=threads), final.prevalence)
        for name, path in alone.items()
        if path
    }
    return Compared(final, whole, described["combiners"], others)
