"""Steps of one batch, from its row file to a calibrated and explained model.

Functions import the libraries of their own rule: no job pays for those of another.
"""

from genebatch.config.settings import Explaining, Folds, Learner
from genebatch.io.files import read_parquet, write_json, write_parquet, write_tsv
from genebatch.io.tables import read_tsv


def cross_validate_batch(
    *,
    rows: str,
    cv: Folds,
    learner: Learner,
    threads: int,
    out_of_fold: str,
    folds: str,
    metrics: str,
    curves: str,
    models: str,
) -> None:
    """Score every row of a batch by boosters that never saw its group. Holds the batch's matrix.

    Parameters
    ----------
    rows
        The row file of the batch.
    cv, learner, threads
        Settings.
    out_of_fold
        Parquet, in the order of the row file: identity columns, fold and one log-odds
        `margin_{class}` a row.
    folds
        TSV: trees, losses and verdict of every booster.
    metrics
        TSV: metrics of model and base scores by fold and class.
    curves
        Parquet: log loss by trees.
    models
        Model file with a member for each fold.
    """
    from genebatch.dataset.row_file import RowFile
    from genebatch.training.batch import load_batch
    from genebatch.training.cross_validation import cross_validate, fold_metrics
    from genebatch.training.recipe import as_model

    learner = learner.with_threads(threads)
    data = load_batch(RowFile.open(rows), learner)
    result = cross_validate(data, cv, learner)
    write_parquet(out_of_fold, result.out_of_fold, result.origin.metadata())
    write_tsv(folds, result.folds)
    write_tsv(metrics, fold_metrics(result.out_of_fold, data.labels))
    write_parquet(curves, result.curves)
    as_model(data, learner, result.members).save(models)


def train_batch(
    *, rows: str, folds: str, learner: Learner, threads: int, uncalibrated: str
) -> None:
    """Train a batch's boosters on all its rows, and write a model that is not calibrated yet.

    The number of trees follows from the folds of the cross-validation (`folds`); see
    `cross_validation.final_trees`. Holds the batch's matrix.
    """
    from genebatch.dataset.row_file import RowFile
    from genebatch.training.batch import load_batch
    from genebatch.training.cross_validation import final_trees
    from genebatch.training.recipe import as_model, train_member

    learner = learner.with_threads(threads)
    stored = RowFile.open(rows)
    data = load_batch(stored, learner)
    trees = final_trees(read_tsv(folds), data.rows.height, learner.n_estimators)
    member = train_member(data, stored.name, trees, learner)
    as_model(data, learner, [member]).save(uncalibrated)


def calibrate_batch(
    *,
    out_of_fold: str,
    uncalibrated: str,
    method: str,
    use_weights: bool,
    calibration: str,
    model: str,
) -> None:
    """Choose a calibrator per class on out-of-fold scores, and write the batch's finished model.

    Parameters
    ----------
    out_of_fold, uncalibrated
        What `cross_validate_batch` and `train_batch` wrote.
    method, use_weights
        `calibration.method` and `learner.use_weights`.
    calibration
        JSON. For each class: method and parameters, the losses of every method that it was chosen
        by, and losses and reliability before and after. Probabilities are cross-fitted and
        normalised over classes as the model's are.
    model
        The batch's model file, with thresholds that are best on the out-of-fold scores.
    """
    from genebatch.ensemble.thresholds import with_thresholds
    from genebatch.model.archive import load_model
    from genebatch.model.origin import origin_of, read_origin, refuse_mixed
    from genebatch.training.recipe import calibrate

    trained, scored = load_model(uncalibrated), read_origin(out_of_fold)
    refuse_mixed(out_of_fold, scored, uncalibrated, origin_of(trained.members[0]))
    rows = read_parquet(out_of_fold)
    result = calibrate(trained, rows, method, use_weights, scored.settings)
    write_json(calibration, result.described)
    with_thresholds(result.model, rows, result.probability).save(model)


def explain_batch(
    *,
    rows: str,
    uncalibrated: str,
    models: str,
    explaining: Explaining,
    use_weights: bool,
    threads: int,
    shap: str,
    sample: str,
    importance: str,
    families: str,
) -> None:
    """Explain a batch's model on a sample of its rows; see `training.explain.Explanation`.

    Holds the sample as float32 and the SHAP values of one class at a time.
    """
    from genebatch.dataset.families import built_families
    from genebatch.dataset.row_file import RowFile
    from genebatch.model.archive import load_model
    from genebatch.model.origin import origin_of, refuse_mixed
    from genebatch.training.explain import draw_sample, explain

    model = load_model(uncalibrated, threads=threads)
    folds = load_model(models, threads=threads)
    origins = (origin_of(each.members[0]) for each in (folds, model))
    refuse_mixed(models, next(origins), uncalibrated, next(origins))
    stored = RowFile.open(rows)
    drawn = draw_sample(stored, explaining)
    built = built_families(stored.facts)
    result = explain(model, folds, drawn, explaining, use_weights, built)
    write_parquet(shap, result.shap)
    write_parquet(sample, result.sample)
    write_tsv(importance, result.importance)
    write_tsv(families, result.families)
