"""Steps from the models of the batches to the final model.

Functions import the libraries of their own rule: no job pays for those of another.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genebatch.config.settings import Combining, Folds, Learner
from genebatch.dataset.row_file import RowFile
from genebatch.groups import genes_of, read_group_of, sampled
from genebatch.io.files import (
    InputError,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
    write_tsv,
)
from genebatch.io.tables import parquet_rows, read_tsv

if TYPE_CHECKING:
    from genebatch.model.ensemble import EnsembleModel
    from genebatch.model.origin import Origin

log = logging.getLogger(__name__)


def cross_batch_scores(
    *,
    rows: list[str],
    models: list[str],
    out_of_fold: list[str],
    manifest: str,
    use_weights: bool,
    missing: list[str],
    score_rows: int | None,
    threads: int,
    scores: str,
    planned: str,
    similarity: str | None = None,
    group_features: str | None = None,
) -> None:
    """Score training rows by every batch's model; see `ensemble.cross_scores`.

    Parameters
    ----------
    rows
        The row files of all batches of the plan.
    models, out_of_fold
        Finished models and out-of-fold scores of the batches that have a model, in the same order.
    manifest, planned
        The batches of the plan, and the role of every group.
    use_weights, threads
        From the section `learner`.
    missing
        Batches of the plan without a model. Their rows are scored by the others.
    score_rows
        About how many rows are scored, in whole groups; see `groups.sampled`. None scores all.
    scores
        Parquet, what `cross_scores` yields. If not all groups are scored, its metadata says how
        many are; see `model.held_out.Sample`.
    similarity, group_features
        What groups are like, where batches are of similar groups.
    """
    from genebatch.ensemble.batch_models import load_batches
    from genebatch.ensemble.cross_scores import cross_scores
    from genebatch.model.held_out import sample_of
    from genebatch.model.origin import origin_of, read_origin, refuse_mixed

    files = _open_all(rows, manifest)
    groups = sampled(_planned_folds(planned), score_rows)
    sample = sample_of(_sizes(planned), groups)
    loaded = load_batches(models, read_tsv(manifest), threads, missing)
    paths = dict(zip(loaded, out_of_fold, strict=True))
    for path, (name, scored) in zip(models, paths.items(), strict=True):
        refuse_mixed(scored, read_origin(scored), path, origin_of(loaded[name].members[0]))
    routing = _read_routing(planned, similarity, group_features, sorted(loaded))
    metadata = _scored_by(loaded, manifest).metadata() | (sample.metadata() if sample else {})
    n_rows = 0
    with parquet_rows(scores, metadata) as write:
        for part in cross_scores(loaded, paths, files, use_weights, routing, groups):
            write(part)
            n_rows += part.height
    log.info("%s rows scored by %d members", f"{n_rows:,}", len(loaded))
    if sample is not None:
        log.info("ensemble.score_rows: %s", sample)


def combine_batches(
    *,
    models: list[str],
    manifest: str,
    planned: str,
    scores: str,
    combining: Combining,
    use_weights: bool,
    missing: list[str],
    model: str,
    combiners: str,
    combined: str,
    similarity: str | None = None,
    group_features: str | None = None,
) -> None:
    """Learn every combiner, and put the batches' models together by the one of the config.

    Parameters
    ----------
    models, manifest, planned, similarity, group_features, missing
        As in `cross_batch_scores`.
    scores
        What `cross_batch_scores` wrote, of all groups or of a sample.
    combining, use_weights
        Settings; rows count by their weights in learning, or all alike.
    model
        The ensemble: all members with the combiner of the config.
    combiners
        JSON: parameters of every combiner.
    combined
        Parquet: see `ensemble.combining.combined_scores`.
    """
    from genebatch.ensemble.batch_models import load_batches
    from genebatch.ensemble.combining import (
        combined_scores,
        join_members,
        learn_combiners,
        with_combiner,
        with_routing,
    )
    from genebatch.ensemble.thresholds import choose, threshold_facts
    from genebatch.model.held_out import read_held_out, read_sample, read_scores, scored_groups

    loaded = load_batches(models, read_tsv(manifest), missing=missing)
    origin = _scored_by(loaded, manifest)
    _refuse_other_scores(scores, origin)
    counted, classes = "weight" if use_weights else "n", next(iter(loaded.values())).classes
    further = _missing_weight(planned, missing, classes, counted) if missing else None
    everyone = join_members(loaded, missing, further)
    routing = _read_routing(planned, similarity, group_features, sorted(loaded))
    groups, sample = scored_groups(scores), read_sample(scores)
    held_out = read_held_out(scores, _sizes(planned), everyone, use_weights, groups)
    learned = learn_combiners(held_out, combining, routing is not None)
    metadata = origin.metadata() | (sample.metadata() if sample else {})
    with parquet_rows(combined, metadata) as write:
        for part in combined_scores(read_scores(scores, everyone), everyone, learned):
            write(part)
    parameters = with_routing(learned.whole, routing)
    write_json(combiners, {"members": sorted(loaded), "combiners": parameters})
    whole = with_combiner(everyone, combining.combiner, parameters)
    found = threshold_facts(choose(whole, combined, combining.combiner))
    replace(whole, facts=whole.facts | found).save(model)


def cross_validate_single(
    *,
    rows: list[str],
    manifest: str,
    fold: int,
    cv: Folds,
    learner: Learner,
    threads: int,
    out_of_fold: str,
    folds: str,
    curves: str,
    models: str,
) -> None:
    """Score the rows of one fold of all batches by boosters of all other rows.

    Parameters
    ----------
    rows, manifest
        The row files of all batches, and the batches.
    fold
        The fold that is held out.
    cv, learner, threads
        Settings.
    out_of_fold, folds, curves, models
        As for a batch, of this fold alone.
    """
    from genebatch.training.batch import load_all
    from genebatch.training.cross_validation import cross_validate
    from genebatch.training.recipe import as_model

    learner = learner.with_threads(threads)
    data = load_all(_open_all(rows, manifest), learner)
    result = cross_validate(data, cv, learner, [fold])
    write_parquet(out_of_fold, result.out_of_fold, result.origin.metadata())
    write_tsv(folds, result.folds)
    write_parquet(curves, result.curves)
    as_model(data, learner, result.members).save(models)


def train_single(
    *,
    rows: list[str],
    manifest: str,
    fold_scores: list[str],
    fold_trees: list[str],
    fold_curves: list[str],
    cv: Folds,
    learner: Learner,
    method: str,
    threads: int,
    model: str,
    held_out: str,
    out_of_fold: str,
    folds: str,
    metrics: str,
    curves: str,
    calibration: str,
) -> None:
    """Train one model of all training rows, as a batch's model is trained on its own.

    Parameters
    ----------
    rows, manifest
        The row files of all batches, and the batches.
    fold_scores, fold_trees, fold_curves
        What `cross_validate_single` wrote of every fold that was held out, in the order of folds.
    cv, learner, method, threads
        Settings; `method` is `calibration.method`.
    model
        Model file with one member.
    held_out
        Parquet: identity columns and `single:{class}`, the cross-fitted probabilities of the rows
        of these folds, in the order of the data set.
    out_of_fold, folds, metrics, curves, calibration
        As for a batch, of the rows of these folds.
    """
    from genebatch.ensemble.thresholds import with_thresholds
    from genebatch.model.origin import (
        Origin,
        origin_of,
        read_origin,
        refuse_mixed,
        training_settings,
    )
    from genebatch.training.batch import load_all
    from genebatch.training.cross_validation import fold_metrics
    from genebatch.training.recipe import calibrate
    from genebatch.training.single import NAME as SINGLE
    from genebatch.training.single import held_out_table, scored_rows, train_alone

    learner = learner.with_threads(threads)
    data = load_all(_open_all(rows, manifest), learner)
    trained = Origin(data.key, training_settings(learner, cv))
    for path in fold_scores:
        refuse_mixed(path, read_origin(path), manifest, trained)
    trees = [read_tsv(path) for path in fold_trees]
    lines, numbers = pl.concat(trees), [table["fold"][0] for table in trees]
    boosted = train_alone(data, lines, learner)
    # The held-out rows are read last: boosting takes most memory, and needs none of them.
    parts = dict(zip(numbers, map(read_parquet, fold_scores), strict=True))
    scored = scored_rows(data, parts, cv)
    settings = training_settings(learner, cv)
    done = calibrate(boosted, scored, method, learner.use_weights, settings)
    origin = origin_of(done.model.members[0])
    write_parquet(out_of_fold, scored, trained.metadata())
    write_tsv(folds, lines)
    write_tsv(metrics, fold_metrics(scored, data.labels))
    write_parquet(curves, pl.concat(map(read_parquet, fold_curves)))
    write_json(calibration, done.described)
    write_parquet(held_out, held_out_table(SINGLE, scored, done), origin.metadata())
    with_thresholds(done.model, scored, done.probability).save(model)


def add_single(
    *,
    ensemble: str,
    scores: str,
    single: str,
    out_of_fold: str,
    manifest: str,
    planned: str,
    combining: Combining,
    use_weights: bool,
    model: str,
    held_out: str,
) -> None:
    """Make the single model a member of the ensemble, and learn the combiner of the config anew.

    Parameters
    ----------
    ensemble, scores
        What `combine_batches` and `cross_batch_scores` wrote.
    single, out_of_fold
        What `train_single` wrote.
    manifest, planned
        The batches of the plan, and the role of every group.
    combining, use_weights
        Settings; rows count by their weights in learning, or all alike.
    model
        Model file with the members of the ensemble and the single model.
    held_out
        Parquet: identity columns and `both:{class}`, the cross-fitted probabilities of the rows
        that the single model has held-out scores of, in the order of the data set.
    """
    from genebatch.ensemble.batch_models import refuse_other_plans
    from genebatch.ensemble.combining import combined_scores, learn, with_combiner
    from genebatch.ensemble.thresholds import choose, threshold_facts
    from genebatch.ensemble.with_single import (
        NAME,
        beside_single,
        join_single,
        renamed,
        single_log_odds,
    )
    from genebatch.model.archive import load_model
    from genebatch.model.held_out import learning_rows, read_scores
    from genebatch.model.origin import members_origin, origin_of, read_origin, refuse_mixed

    whole, alone, keys = load_model(ensemble), load_model(single), _keys(manifest)
    refuse_other_plans(whole.members, read_tsv(manifest), whole.missing_batches)
    origin = members_origin(whole.members, keys)
    _refuse_other_scores(scores, origin)
    its = origin_of(alone.members[0])
    refuse_mixed(out_of_fold, read_origin(out_of_fold), single, its)
    refuse_mixed(single, its, ensemble, _of_all_rows(keys, origin))
    both = join_single(whole, alone)
    own = single_log_odds(alone, out_of_fold, scores, use_weights)
    known = beside_single(read_scores(scores, whole), own)
    rows = learning_rows(known, _sizes(planned), both, use_weights, own.groups)
    learned = learn(rows, combining, [combining.combiner])
    both = with_combiner(both, combining.combiner, learned.whole)
    parts = combined_scores(beside_single(read_scores(scores, whole), own), both, learned)
    with parquet_rows(held_out, members_origin(both.members, keys).metadata()) as write:
        for part in renamed(parts, both):
            write(part)
    found = threshold_facts(choose(both, held_out, NAME))
    replace(both, facts=both.facts | found).save(model)


def distil(
    *,
    rows: list[str],
    manifest: str,
    ensemble: str,
    scores: str,
    combined: str,
    cv: Folds,
    learner: Learner,
    method: str,
    combining: Combining,
    threads: int,
    model: str,
    held_out: str,
    mixes: str,
    calibration: str,
) -> None:
    """Distil the ensemble into one student; see `ensemble.distillation`.

    Parameters
    ----------
    rows, manifest
        The row files of all batches, and the batches.
    ensemble, scores, combined
        What `combine_batches` and `cross_batch_scores` wrote, of all groups.
    cv, learner, method, combining, threads
        Settings.
    model
        Model file with one member.
    held_out
        Parquet: identity columns and `distilled:{class}`, cross-fitted, for every row that some
        student never saw.
    mixes
        TSV: `mix, log_loss, chosen`.
    calibration
        JSON, as for a batch.
    """
    from genebatch.ensemble.distillation import NAME as DISTILLED
    from genebatch.ensemble.distillation import (
        Teacher,
        distil_ensemble,
        groups_by_batch,
        refuse_one_batch,
    )
    from genebatch.ensemble.thresholds import with_thresholds
    from genebatch.model.archive import load_model
    from genebatch.model.origin import members_origin, origin_of, training_settings
    from genebatch.training.batch import load_all
    from genebatch.training.recipe import as_model, calibrate
    from genebatch.training.single import held_out_table

    learner = learner.with_threads(threads)
    files = _open_all(rows, manifest)
    loaded = load_model(ensemble)
    refuse_one_batch(loaded)
    for path in (scores, combined):
        _refuse_other_scores(path, members_origin(loaded.members, _keys(manifest)))
        _refuse_sample(path)
    teacher = Teacher(loaded, scores, combined, groups_by_batch(files))
    data = load_all(files, learner)
    student = distil_ensemble(teacher, data, combining, cv, learner)
    alone = as_model(data, learner, [student.member])
    settings = training_settings(learner, cv)
    done = calibrate(alone, student.held_out, method, learner.use_weights, settings)
    write_tsv(mixes, student.mixes)
    write_json(calibration, done.described)
    table = held_out_table(DISTILLED, student.held_out, done)
    write_parquet(held_out, table, origin_of(done.model.members[0]).metadata())
    with_thresholds(done.model, student.held_out, done.probability).save(model)


def consolidate(
    *,
    ensemble: str,
    combined: str,
    manifest: str,
    planned: str,
    dataset: str,
    final: str,
    prevalence: dict[str, float] | str | None,
    left_out: dict[str, str],
    model: str,
    document_model: str,
    pickle: str,
    thresholds: str,
    candidates: str,
    table: str | None = None,
    single: str | None = None,
    single_held_out: str | None = None,
    both: str | None = None,
    both_held_out: str | None = None,
    distilled: str | None = None,
    distilled_held_out: str | None = None,
    batch_folds: list[str] | None = None,
    single_folds: list[str] | None = None,
) -> None:
    """Write the final model, as a model file and as the pickle of older workflows.

    Members that its combiner gives no weight are left out.

    Parameters
    ----------
    ensemble, combined
        What `combine_batches` wrote.
    manifest, planned, dataset
        Files of the plan.
    final, prevalence
        From the config.
    left_out
        Candidates that were not trained, and why.
    model, document_model, pickle
        The model file, a copy of it under the document's name, and the pickle.
    thresholds, candidates
        TSV; see `ensemble.thresholds.choose` and `ensemble.candidates.compare_candidates`.
    table
        The genes of a built table, from which the model knows the genes it was trained on.
    single, single_held_out, both, both_held_out, distilled, distilled_held_out
        The other candidates, where they were trained.
    batch_folds, single_folds
        With `ensemble.uncertainty`, the models of the folds: of every member of the ensemble, in
        their order, and of the single model. A final model of one member keeps its own.
    """
    from genebatch.ensemble.batch_models import refuse_other_plans
    from genebatch.ensemble.candidates import Candidate, with_left_out
    from genebatch.ensemble.final import (
        WEIGHTS,
        choose_final,
        refuse_other_groups,
        run_facts,
        weighted_shares,
    )
    from genebatch.model.archive import load_model
    from genebatch.model.ensemble import prune
    from genebatch.model.held_out import ALONE, read_sample
    from genebatch.model.origin import members_origin

    whole = load_model(ensemble)
    batches = read_tsv(manifest)
    refuse_other_plans(whole.members, batches, whole.missing_batches)
    keys = _keys(manifest)
    names = [member.name for member in whole.members]
    origin = members_origin(whole.members, keys)
    _refuse_other_scores(combined, origin)
    groups = frozenset(_sizes(planned)["group"].cast(pl.String))
    given = [Candidate("ensemble", prune(whole), combined, whole.combiner["name"])]
    models = (single, both, distilled)
    scored = (single_held_out, both_held_out, distilled_held_out)
    for name, path, held_out in zip(ALONE, models, scored, strict=True):
        if path and held_out:
            loaded = load_model(path)
            refuse_other_groups(loaded, groups, path)
            _refuse_mixed_candidate(loaded, path, held_out, ensemble, origin, keys)
            given.append(Candidate(name, prune(loaded), held_out, name))
    genes = genes_of(groups, read_group_of(table)) if table else None
    further = _missing_weight(planned, whole.missing_batches, whole.classes, "weight")
    shares = weighted_shares(whole, further) if prevalence == WEIGHTS else prevalence
    sample = read_sample(combined)
    facts = run_facts(read_json(dataset), batches, whole.missing_batches, genes, sample)
    result = choose_final(given, final, shares, facts)
    write_tsv(thresholds, result.thresholds)
    write_tsv(candidates, with_left_out(result.candidates, left_out))
    delivered = result.model
    if batch_folds is not None and len(delivered.members) == 1:
        files = {name: [path] for name, path in zip(names, batch_folds, strict=True)}
        files["single"] = single_folds or []
        delivered = _with_folds(delivered, files.get(delivered.members[0].name, []))
    delivered.save(model)
    delivered.save(document_model)
    delivered.save_pickle(pickle)
    size = Path(model).stat().st_size / 1e6
    log.info("%s: %d members, %.1f MB", delivered.facts["final"], len(delivered.members), size)


def _with_folds(model: "EnsembleModel", paths: list[str]) -> "EnsembleModel":
    """Give a model of one member with the boosters of its folds, which must be of its rows."""
    from genebatch.ensemble.fold_models import with_folds
    from genebatch.model.archive import load_model
    from genebatch.model.origin import origin_of, refuse_mixed

    (member,) = model.members
    folds = []
    for path in paths:
        for fold in load_model(path).members:
            refuse_mixed(path, origin_of(fold), f"the model {member.name}", origin_of(member))
            folds.append(fold)
    return with_folds(model, folds)


def _open_all(rows: list[str], manifest: str) -> list[RowFile]:
    """Open the row files of all batches, sorted by name, and check that they are of the plan."""
    files = sorted((RowFile.open(path) for path in rows), key=lambda file: file.name)
    keys = _keys(manifest)
    if {file.name: file.key for file in files} != keys:
        raise InputError(
            f"the row files beside {files[0].path} are not of the plan in {manifest}; delete "
            f"{manifest} and run again, which plans anew"
        )
    return files


def _keys(manifest: str) -> dict[str, str]:
    """Batch to its key."""
    return dict(read_tsv(manifest).select("batch", "key").iter_rows())


def _of_all_rows(keys: Mapping[str, str], origin: "Origin") -> "Origin":
    """The origin of a model of all rows, trained by the settings of the batches' models."""
    from genebatch.model.origin import Origin
    from genebatch.training.batch import key_of_all

    return Origin(key_of_all(keys), origin.settings)


def _refuse_mixed_candidate(
    model: "EnsembleModel",
    path: str,
    held_out: str,
    ensemble: str,
    origin: "Origin",
    keys: Mapping[str, str],
) -> None:
    """Raise unless a candidate has the ensemble's members, if batches' models are among its own.

    Its other member must be of the rows of the plan, and the held-out scores must be its own.
    `origin` is that of the ensemble.
    """
    from genebatch.model.origin import members_origin, origin_of, read_origin, refuse_mixed

    batches = [member for member in model.members if member.name in keys]
    (alone,) = (member for member in model.members if member.name not in keys)
    its = origin_of(alone)
    refuse_mixed(path, its, ensemble, _of_all_rows(keys, origin))
    if batches:
        refuse_mixed(path, members_origin(batches, keys), ensemble, origin)
        its = members_origin(model.members, keys)
    refuse_mixed(held_out, read_origin(held_out), path, its)


def _scored_by(models: Mapping[str, "EnsembleModel"], manifest: str) -> "Origin":
    """The origin of what the batches' models score."""
    from genebatch.model.origin import members_origin

    return members_origin((model.members[0] for model in models.values()), _keys(manifest))


def _refuse_other_scores(path: str, origin: "Origin") -> None:
    """Raise unless a table of scores is of these members and of the rows of this plan."""
    from genebatch.model.origin import read_origin

    different = read_origin(path).without(origin)
    if different:
        raise InputError(
            f"{path} was not made by these models from the rows of this plan (other "
            f"{' and '.join(different)}); delete it and run again"
        )


def _refuse_sample(path: str) -> None:
    """Raise if not all training rows were scored: the student is taught by the score of each."""
    from genebatch.model.held_out import read_sample

    sample = read_sample(path)
    if sample is not None:
        raise InputError(
            f"{path} holds the scores of {sample}, but the student is taught by those of all; "
            "delete it and run again with distilled among ensemble.rivals or as final, which "
            "scores all rows"
        )


def _planned_folds(planned: str) -> pl.DataFrame:
    """What a sample of the groups is drawn by; see `groups.sampled`."""
    return read_parquet(planned, columns=["group", "batch", "fold", "rows"])


def _sizes(planned: str) -> pl.DataFrame:
    """Columns `group` and `rows` of the training groups, each once."""
    groups = read_parquet(planned, columns=["group", "rows", "test"]).filter(~pl.col("test"))
    return groups.unique("group").select("group", "rows")


def _missing_weight(
    planned: str, missing: Sequence[str], classes: Sequence[str], counted: str
) -> np.ndarray:
    """Sum what is `counted`, `n` (rows) or `weight`, of each class in batches without a model."""
    names = [f"{counted}_{name}" for name in classes]
    lines = read_parquet(planned, columns=["batch", *names])
    lines = lines.filter(pl.col("batch").is_in(list(missing)))
    return lines[names].sum().to_numpy()[0].astype(np.float64)


def _read_routing(
    planned: str | None,
    similarity: str | None,
    group_features: str | None,
    members: list[str],
) -> dict | None:
    """What rows are routed by, or None where batches are not of similar groups."""
    from genebatch.model.routing import make_routing

    if similarity is None:
        return None
    plan = read_parquet(planned, columns=["group", "batch"])
    described = read_parquet(group_features)
    return make_routing(read_json(similarity), described, plan, members)
