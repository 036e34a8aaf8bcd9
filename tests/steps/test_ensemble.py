"""Steps from the models of the batches to the final model: files of one plan, written whole."""

from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import polars as pl
import pytest

from genebatch.ensemble.combining import learn_combiners
from genebatch.ensemble.thresholds import choose
from genebatch.io.files import InputError, read_json, write_json, write_parquet
from genebatch.io.tables import read_tsv
from genebatch.model import held_out
from genebatch.model.archive import load_model
from genebatch.model.combiners import COMBINERS, combine
from genebatch.model.ensemble import EQUAL
from genebatch.model.held_out import Sample, read_sample, recorded_sample
from genebatch.model.origin import read_origin
from genebatch.report.model_text import model_lines
from genebatch.steps import ensemble as steps

CLASSES = ["neither", "donor", "acceptor"]
MEMBERS = ["b000", "b001"]
KNOWN = [name for name in COMBINERS if name != "routed"]
LISTS = {"models": "model", "out_of_fold": "out_of_fold"}


def scored(run, out, **changes):
    """The cross-batch scores of a run from other files."""
    given = {
        "rows": run.row_files(),
        "models": run.of_batches("model"),
        "out_of_fold": run.of_batches("out_of_fold"),
        "missing": [],
        "score_rows": None,
        **run.chosen("manifest planned"),
    }
    steps.cross_batch_scores(
        **given | changes, use_weights=run.settings.learner.use_weights, threads=1, scores=out
    )
    return pl.read_parquet(out)


def combined(run, folder, ensemble=None, **changes):
    """Combine the batches of a run from other files; gives the table of probabilities."""
    given = {
        "models": run.of_batches("model"),
        "scores": run.ensemble_files["scores"],
        "missing": [],
        **run.chosen("manifest planned"),
    }
    steps.combine_batches(
        **given | changes,
        combining=replace(run.settings.ensemble, **ensemble or {}),
        use_weights=run.settings.learner.use_weights,
        model=folder / "model.gbm",
        combiners=folder / "combiners.json",
        combined=folder / "combined.parquet",
    )
    return pl.read_parquet(folder / "combined.parquet")


def trained_alone(run, folder, held_out=range(1), **changes):
    """Files of the single model of a run, which some folds were held out of."""
    outputs = {name: folder / path.name for name, path in run.alone_files("single").items()}
    settings = run.settings
    given = {"rows": run.row_files(), **run.chosen("manifest"), **changes}
    parts = [run.cross_validate_single(n, folder.parent / "parts") for n in held_out]
    steps.train_single(
        **given,
        fold_scores=[part["out_of_fold"] for part in parts],
        fold_trees=[part["folds"] for part in parts],
        fold_curves=[part["curves"] for part in parts],
        cv=settings.cv,
        learner=settings.learner,
        method=settings.calibration.method,
        threads=1,
        **outputs,
    )
    return outputs


def joined(run, single, folder, **changes):
    """Files of the ensemble with the single model as a member."""
    outputs = {name: folder / path.name for name, path in run.alone_files("both").items()}
    given = {
        "ensemble": run.ensemble_files["ensemble"],
        "scores": run.ensemble_files["scores"],
        "single": single["model"],
        "out_of_fold": single["out_of_fold"],
        "combining": run.settings.ensemble,
        **run.chosen("manifest planned"),
    }
    use_weights = run.settings.learner.use_weights
    steps.add_single(**given | changes, use_weights=use_weights, **outputs)
    return outputs


def taught(run, folder, **changes):
    """Files of the student of a run."""
    outputs = {name: folder / path.name for name, path in run.alone_files("distilled").items()}
    settings = run.settings
    given = {"rows": run.row_files(), **run.chosen("manifest"), **run.ensemble_files, **changes}
    del given["combiners"]
    steps.distil(
        **given,
        cv=settings.cv,
        learner=settings.learner,
        method=settings.calibration.method,
        combining=replace(settings.ensemble, distil_mix=(0.5, 1.0)),
        threads=1,
        **outputs,
    )
    return outputs


def consolidated(run, folder, **changes):
    """The final model of a run from other files or settings."""
    run.consolidate(folder, **changes)
    return load_model(folder / "model.gbm")


# Row files


STEPS = {"cross_batch_scores": scored, "train_single": trained_alone, "distil": taught}


@pytest.fixture(params=STEPS)
def step(request, toy, tmp_path):
    """A step that reads the row files of all batches, from other files; it leaves no file."""

    def call(**changes):
        out = tmp_path / "out"
        out.mkdir()
        target = out / "scores.parquet" if request.param == "cross_batch_scores" else out
        try:
            STEPS[request.param](toy, target, **changes)
        finally:
            assert not list(out.iterdir())

    return call


def test_row_files_of_another_plan_are_refused(toy, step, tmp_path):
    """The manifest names other rows, folds or features of one of the batches."""
    key = pl.when(pl.col("batch") == "b001").then(pl.lit("0" * 16)).otherwise("key").alias("key")
    manifest = tmp_path / "manifest.tsv"
    read_tsv(toy.paths()["manifest"]).with_columns(key).write_csv(manifest, separator="\t")
    with pytest.raises(InputError, match=r"row files beside .* are not of the plan in .*manifest"):
        step(manifest=manifest)


def test_row_file_of_another_run_is_refused(toy, lent, step):
    rows = [toy.row_files()[0], lent.row_files()[1]]
    with pytest.raises(InputError, match=r"not of the plan in .*; delete .*manifest.tsv and run"):
        step(rows=rows)


def test_plan_with_a_batch_more_than_row_files_is_refused(toy, step):
    with pytest.raises(InputError, match="are not of the plan"):
        step(rows=toy.row_files()[:1])


def test_row_file_that_is_cut_short_is_refused(toy, step, tmp_path):
    first, second = toy.row_files()
    (tmp_path / "b001.arrow").write_bytes(second.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"b001\.arrow is missing or no whole file of rows"):
        step(rows=[first, tmp_path / "b001.arrow"])


# Scores of every training row


def test_order_of_the_files_does_not_matter(toy, tmp_path):
    """A batch is known by its name."""
    changes = {"rows": toy.row_files()[::-1]}
    changes |= {name: toy.of_batches(file)[::-1] for name, file in LISTS.items()}
    table = scored(toy, tmp_path / "scores.parquet", **changes)
    assert table.equals(pl.read_parquet(toy.ensemble_files["scores"]))


def test_out_of_fold_scores_of_another_batch_leave_no_file(toy, tmp_path):
    swapped = toy.of_batches("out_of_fold")[::-1]
    with pytest.raises(InputError, match="were not made from the same rows"):
        scored(toy, tmp_path / "scores.parquet", out_of_fold=swapped)
    assert not list(tmp_path.iterdir())


def test_out_of_fold_scores_with_a_row_too_many_leave_no_file(toy, tmp_path):
    """All rows were scored before it is met."""
    first, second = toy.of_batches("out_of_fold")
    rows = pl.read_parquet(first)
    longer = tmp_path / "out_of_fold.parquet"
    write_parquet(longer, pl.concat([rows, rows[-1:]]), read_origin(first).metadata())
    with pytest.raises(
        InputError, match=r"out_of_fold\.parquet does not hold .* repeats the batch"
    ):
        scored(toy, tmp_path / "scores.parquet", out_of_fold=[longer, second])
    assert list(tmp_path.iterdir()) == [longer]


def test_missing_batch_is_refused_and_nothing_is_written(toy, tmp_path):
    lists = {name: toy.of_batches(file)[:1] for name, file in LISTS.items()}
    with pytest.raises(InputError, match="batches b001 are missing"):
        scored(toy, tmp_path / "scores.parquet", **lists)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def similar(toy_rows, tmp_path):
    """Files of groups that are told apart by one feature."""
    described = {"columns": ["signal_donor"], "mean": [1.0], "scale": [2.0]}
    write_json(tmp_path / "similarity.json", described)
    means = toy_rows.group_by(group="gene_id").agg((pl.col("signal_donor").mean() - 1) / 2)
    means.write_parquet(tmp_path / "group_features.parquet")
    return {
        "similarity": tmp_path / "similarity.json",
        "group_features": tmp_path / "group_features.parquet",
    }


def test_rows_have_distances_where_groups_are_described_and_are_routed_by_them(
    toy, toy_rows, similar, tmp_path
):
    out = tmp_path / "out"
    table = scored(toy, tmp_path / "scores.parquet", **similar)
    assert {f"distance_{name}" for name in MEMBERS} <= set(table.columns)
    scores = tmp_path / "scores.parquet"
    probabilities = combined(toy, out, {"combiner": "routed"}, scores=scores, **similar)
    assert {f"routed:{name}" for name in CLASSES} <= set(probabilities.columns)
    model = load_model(out / "model.gbm")
    parameters = model.combiner["parameters"]
    assert set(parameters) == {"reach", "columns", "mean", "scale", "centroids"}
    assert read_json(out / "combiners.json")["combiners"]["routed"] == parameters
    log_odds, distance = model.frame_log_odds(toy_rows), model.distance(toy_rows)
    expected = combine("routed", parameters, log_odds, distance)
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)


# A sample of the rows


@pytest.fixture(scope="module")
def some(toy, tmp_path_factory):
    """Files of the ensemble of which 300 rows were scored."""
    folder = tmp_path_factory.mktemp("sample")
    scored(toy, folder / "scores.parquet", score_rows=300)
    combined(toy, folder, scores=folder / "scores.parquet")
    names = {"scores": "scores.parquet", "combined": "combined.parquet", "ensemble": "model.gbm"}
    return {key: folder / name for key, name in names.items()}


def in_sample(table, some):
    groups = pl.read_parquet(some["scores"])["group"].unique()
    return table.filter(pl.col("group").is_in(groups.implode()))


def test_scores_of_a_sample_are_those_of_all_rows_for_the_same_groups(toy, some, tmp_path):
    whole = pl.read_parquet(toy.ensemble_files["scores"])
    table = pl.read_parquet(some["scores"])
    assert table.equals(in_sample(whole, some))
    assert table.height < whole.height
    plan = toy.plan_lines
    folds = table.select("batch", "fold").unique()
    assert folds.height == plan.select("batch", "fold").unique().height == 6
    counted = (table["group"].n_unique(), table.height, plan.height, whole.height)
    assert read_sample(some["scores"]) == read_sample(some["combined"]) == Sample(*counted)
    scored(toy, tmp_path / "again.parquet", score_rows=300)
    assert (tmp_path / "again.parquet").read_bytes() == some["scores"].read_bytes()


@pytest.mark.parametrize("more", [0, 1])
def test_nothing_changes_where_there_are_no_more_rows(toy, tmp_path, more):
    rows = toy.plan_lines["rows"].sum()
    scored(toy, tmp_path / "scores.parquet", score_rows=rows + more)
    given = toy.ensemble_files["scores"]
    assert (tmp_path / "scores.parquet").read_bytes() == given.read_bytes()
    assert read_sample(given) is None


def test_combiners_are_learned_from_the_rows_of_the_sample(toy, some, monkeypatch, tmp_path):
    """Also where these are too many: whole groups of the sample are left out, and no others."""
    whole = pl.read_parquet(toy.ensemble_files["combined"])
    table = pl.read_parquet(some["combined"])
    plain = [f"{name}:{label}" for name in ("voting", "log_odds") for label in CLASSES]
    assert table.select("group", *plain).equals(in_sample(whole, some).select("group", *plain))
    learned = [f"stacked:{label}" for label in CLASSES]
    assert not table.select(learned).equals(in_sample(whole, some).select(learned))
    monkeypatch.setattr(held_out, "MOST_SCORES", 250 * 6)
    sizes = table.group_by("group").agg(rows=pl.len())
    members = load_model(some["ensemble"])
    fewer = held_out.read_held_out(some["scores"], sizes, members, True)
    combined(toy, tmp_path, scores=some["scores"])
    kept = learn_combiners(fewer, toy.settings.ensemble, False).whole["weighted"]
    found = read_json(tmp_path / "combiners.json")["combiners"]["weighted"]
    assert found == kept


@pytest.mark.parametrize("folds", [1, 3])
def test_single_model_joins_an_ensemble_of_a_sample(toy, some, single, tmp_path, folds):
    alone = single if folds == 3 else trained_alone(toy, tmp_path / "single")
    given = {name: some[name] for name in ("ensemble", "scores")}
    both = joined(toy, alone, tmp_path / "both", **given)
    whole = joined(toy, alone, tmp_path / "whole")
    table, every = (pl.read_parquet(files["held_out"]) for files in (both, whole))
    assert 0 < table.height < every.height
    assert table.equals(in_sample(every, some))  # `log_odds` learns nothing


def test_student_is_not_taught_by_a_sample(toy, some, tmp_path):
    for given in (some, toy.ensemble_files | {"combined": some["combined"]}):
        files = {"combiners": toy.ensemble_files["combiners"], **given}
        with pytest.raises(InputError, match=r"holds the scores of .*of all; delete it"):
            taught(toy, tmp_path / "out", **files)
    assert not (tmp_path / "out").exists()


def test_final_model_says_what_was_scored_and_is_chosen_on_common_groups(
    toy, some, single, tmp_path
):
    given = {"single": single["model"], "single_held_out": single["held_out"]}
    given |= {name: some[name] for name in ("ensemble", "combined")}
    model = consolidated(toy, tmp_path, **given)
    sample = read_sample(some["combined"])
    assert recorded_sample(model) == sample
    assert f"scored by all members of the ensemble: {sample}" in list(model_lines(model))
    judged = read_tsv(tmp_path / "candidates.tsv")
    assert judged["candidate"].to_list() == ["ensemble", "single"]
    assert set(judged["groups"]) == {sample.groups}
    assert set(judged["rows"]) == {sample.rows}
    assert "sample" not in consolidated(toy, tmp_path / "whole").facts


# The ensemble


def test_model_has_the_combiner_of_the_config_and_the_file_all_of_them(toy, tmp_path):
    combined(toy, tmp_path, {"combiner": "selected"})
    model = load_model(tmp_path / "model.gbm")
    written = read_json(tmp_path / "combiners.json")
    assert [member.name for member in model.members] == written["members"] == MEMBERS
    assert list(written["combiners"]) == KNOWN
    parameters = written["combiners"]["selected"]
    assert model.combiner == {"name": "selected", "parameters": parameters}


def test_default_combiner_is_that_of_models_without_one(toy):
    assert load_model(toy.ensemble_files["ensemble"]).combiner == EQUAL


def test_same_batches_in_another_order_give_the_same_files(toy, tmp_path):
    combined(toy, tmp_path, models=toy.of_batches("model")[::-1])
    pairs = {"ensemble": "model.gbm", "combiners": "combiners.json", "combined": "combined.parquet"}
    for key, name in pairs.items():
        assert (tmp_path / name).read_bytes() == toy.ensemble_files[key].read_bytes()


@pytest.mark.parametrize("known", [True, False])
def test_scores_of_other_members_leave_no_file(toy, tmp_path, known):
    scores = pl.read_parquet(toy.ensemble_files["scores"])
    metadata = read_origin(toy.ensemble_files["scores"]).metadata() if known else None
    scores = scores.drop(f"b001:{name}" for name in CLASSES)
    write_parquet(tmp_path / "scores.parquet", scores, metadata)
    told = r"scores\.parquet holds the scores of other batches" if metadata else "was not made by"
    with pytest.raises(InputError, match=told):
        combined(toy, tmp_path / "out", scores=tmp_path / "scores.parquet")
    assert not (tmp_path / "out").exists()


def test_models_of_another_plan_are_refused(toy, other_manifest, tmp_path):
    with pytest.raises(InputError, match="b000, b001 were trained for another plan"):
        combined(toy, tmp_path / "out", manifest=other_manifest)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def other_manifest(toy, tmp_path):
    """The manifest of another plan."""
    manifest = read_tsv(toy.paths()["manifest"]).with_columns(key=pl.lit("0" * 16))
    manifest.write_csv(tmp_path / "manifest.tsv", separator="\t")
    return tmp_path / "manifest.tsv"


# The candidates beside the ensemble


@pytest.fixture(scope="module")
def single(toy, tmp_path_factory):
    return trained_alone(toy, tmp_path_factory.mktemp("single"), range(3))


@pytest.fixture(scope="module")
def both(toy, single, tmp_path_factory):
    return joined(toy, single, tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def distilled(toy, tmp_path_factory):
    return taught(toy, tmp_path_factory.mktemp("distilled"))


def test_single_model_has_the_files_of_a_batch(toy, single):
    batch = toy.paths("b000")
    for name in ("folds", "metrics"):
        own, other = (read_tsv(paths[name]) for paths in (single, batch))
        assert own.columns == other.columns
        assert own.height == other.height
    for name in ("curves", "out_of_fold"):
        own, other = (pl.read_parquet(paths[name]) for paths in (single, batch))
        assert own.schema == other.schema
    own, other = (read_json(paths["calibration"]) for paths in (single, batch))
    assert own.keys() == other.keys()
    assert own["classes"].keys() == other["classes"].keys()


def test_student_has_its_mixes_and_the_calibration_of_every_class(distilled):
    (student,) = load_model(distilled["model"]).members
    mixes = read_tsv(distilled["mixes"])
    assert mixes["mix"].to_list() == [0.5, 1.0]
    assert student.facts["mix"] == mixes.filter("chosen")["mix"].item()
    assert set(read_json(distilled["calibration"])["classes"]) == set(CLASSES)


def test_single_model_is_the_last_member_of_both(toy, single, both, toy_rows):
    model, alone = load_model(both["model"]), load_model(single["model"])
    assert [member.name for member in model.members] == [*MEMBERS, "single"]
    log_odds = model.frame_log_odds(toy_rows)
    np.testing.assert_allclose(log_odds[:, -1:], alone.frame_log_odds(toy_rows))
    assert model.combiner["name"] == toy.settings.ensemble.combiner
    expected = combine(model.combiner["name"], model.combiner["parameters"], log_odds)
    np.testing.assert_allclose(model.predict_proba(toy_rows), expected, rtol=1e-9)


@pytest.mark.parametrize("combiner", ["weighted", "selected"])
def test_weight_of_the_single_model_is_learned(toy, single, tmp_path, combiner):
    combining = replace(toy.settings.ensemble, combiner=combiner)
    model = load_model(joined(toy, single, tmp_path, combining=combining)["model"])
    weights = np.array(model.combiner["parameters"]["weights"])
    assert weights.shape == (3, 3)
    assert weights[:, -1].sum() > weights[:, :-1].sum(axis=0).max()  # it learned from all rows


def test_single_model_of_other_rows_joins_no_ensemble(toy, lent, single, tmp_path):
    alone = lent.train_single(tmp_path / "lent")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"model\.gbm.*not made from the same rows"):
        joined(toy, alone, out)
    with pytest.raises(InputError, match=r"out_of_fold\.parquet.*not made from the same rows"):
        joined(toy, single | {"out_of_fold": alone["out_of_fold"]}, out)
    assert not out.exists()


def test_both_of_another_ensemble_is_no_candidate(toy, both, tmp_path):
    model = load_model(both["model"])
    first, *others = model.members
    other = first._replace(facts=first.facts | {"key": "0" * 16})
    replace(model, members=(other, *others)).save(tmp_path / "both.gbm")
    given = {"both": tmp_path / "both.gbm", "both_held_out": both["held_out"]}
    with pytest.raises(InputError, match=r"both\.gbm and .*not made from the same rows"):
        consolidated(toy, tmp_path / "out", **given)


def test_both_without_weight_on_a_batch_is_cheaper(toy, both, single, tmp_path):
    """What no combiner weighs is not paid for."""
    model = load_model(both["model"])
    parameters = {"weights": [[0.0, 0.5, 0.5]] * 3, "intercept": [0.0] * 3}
    combiner = {"name": "stacked", "parameters": parameters}
    replace(model, combiner=combiner).save(tmp_path / "both.gbm")
    given = {"both": tmp_path / "both.gbm", "both_held_out": both["held_out"]}
    final = consolidated(toy, tmp_path / "out", final="both", **given)
    assert [member.name for member in final.members] == ["b001", "single"]
    assert final.facts["final"] == "both"


@pytest.mark.parametrize("name", ["single", "both", "distilled"])
def test_held_out_scores_are_probabilities_of_every_training_row(request, toy, name):
    table = pl.read_parquet(request.getfixturevalue(name)["held_out"])
    rows = pl.read_parquet(toy.ensemble_files["scores"])
    known = ["group", "label", "position", "weight", *(f"score_{label}" for label in CLASSES)]
    assert table.select(known).equals(rows.select(known))
    scores = [f"{name}:{label}" for label in CLASSES]
    assert table.columns == [*known, *["batch"] * (name == "both"), "fold", *scores]
    np.testing.assert_allclose(table.select(scores).to_numpy().sum(axis=1), 1, atol=1e-6)


def test_order_of_row_files_does_not_matter_to_the_single_model(toy, single, tmp_path):
    again = trained_alone(toy, tmp_path, range(3), rows=toy.row_files()[::-1])
    for name, path in again.items():
        assert path.read_bytes() == single[name].read_bytes(), name


def test_one_batch_is_no_teacher_of_another(toy, tmp_path):
    ensemble = load_model(toy.ensemble_files["ensemble"])
    replace(ensemble, members=ensemble.members[:1]).save(tmp_path / "one.gbm")
    with pytest.raises(InputError, match="two batches or more"):
        taught(toy, tmp_path / "out", ensemble=tmp_path / "one.gbm")
    assert not (tmp_path / "out").exists()


# The final model


def test_same_inputs_give_the_same_bytes(toy, tmp_path):
    for name in ("one", "two"):
        consolidated(toy, tmp_path / name)
    one, two = (tmp_path / name / "model.gbm" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    copied = tmp_path / "one" / "model_multiclass_all_genes.gbm"
    assert copied.read_bytes() == one.read_bytes()


def test_pickle_holds_the_model_of_the_file(toy, toy_rows, tmp_path):
    model = consolidated(toy, tmp_path)
    trusted = load_model(tmp_path / "model_multiclass_all_genes.pkl", trust=True)
    np.testing.assert_array_equal(trusted.predict_proba(toy_rows), model.predict_proba(toy_rows))


# The spread of a model of one member


def folds_of(single, numbers=range(3)):
    """The models of the folds that were held out of the single model."""
    parts = single["model"].parent.parent / "parts"
    return [parts / f"fold{number}" / "models.gbm" for number in numbers]


def kept(toy, folder, files, name="single", **changes):
    """The final model of one member, which may keep the models of its folds."""
    given = {name: files["model"], f"{name}_held_out": files["held_out"], "final": name}
    given["batch_folds"] = toy.of_batches("models")
    return consolidated(toy, folder, **given | changes)


def test_spread_of_the_single_model_is_that_of_the_models_of_its_folds(
    toy, single, toy_rows, tmp_path
):
    paths = folds_of(single)
    model = kept(toy, tmp_path, single, single_folds=paths)
    (member,) = model.members
    each = []
    for path in paths:
        fold = load_model(path)
        log_odds = member.log_odds(fold.frame_margins(toy_rows)[:, 0])
        each.append(combine("log_odds", {}, log_odds[:, None]))
    expected = np.std(each, axis=0)
    assert (expected.max(axis=0) > 0.01).all()
    np.testing.assert_allclose(model.predict_std(toy_rows), expected, rtol=1e-6, atol=1e-9)
    assert model.origin["genebatch.std"] == "of the models of 3 folds"
    assert any("of the models of 3 folds" in line for line in model_lines(model))


def test_kept_folds_change_no_probability_and_are_asked_for_the_spread_alone(
    toy, single, toy_rows, tmp_path, monkeypatch
):
    model = kept(toy, tmp_path, single, single_folds=folds_of(single))
    plain = load_model(single["model"])
    assert set(plain.columns_in_) <= set(model.columns_in_)
    assert model.n_trees == plain.n_trees
    with monkeypatch.context() as without:
        without.setattr(type(model), "fold_scorer", None)
        np.testing.assert_array_equal(model.predict_proba(toy_rows), plain.predict_proba(toy_rows))
    assert np.isnan(plain.predict_std(toy_rows)).all()
    assert "it keeps no models of its folds" in plain.origin["genebatch.std"]


def test_spread_of_one_fold_is_missing_and_says_why(toy, single, toy_rows, tmp_path):
    model = kept(toy, tmp_path, single, single_folds=folds_of(single, [0]))
    assert np.isnan(model.predict_std(toy_rows)).all()
    assert "one fold was held out (single.n_splits)" in model.origin["genebatch.std"]
    assert not model.members[0].folds


def test_student_has_no_spread_though_it_has_the_rows_of_the_single_model(
    toy, single, distilled, toy_rows, tmp_path
):
    paths = folds_of(single)
    model = kept(toy, tmp_path, distilled, "distilled", single_folds=paths)
    assert np.isnan(model.predict_std(toy_rows)).all()
    assert "it has no models of folds" in model.origin["genebatch.std"]


def test_model_of_a_batch_keeps_the_folds_of_the_batch(toy, toy_rows, tmp_path):
    """With `top_k` 1 the other batch has no weight."""
    combined(toy, tmp_path, {"combiner": "selected", "top_k": 1})
    files = {"ensemble": tmp_path / "model.gbm", "combined": tmp_path / "combined.parquet"}
    folds = {"batch_folds": toy.of_batches("models")}
    model = consolidated(toy, tmp_path / "final", final="ensemble", **files, **folds)
    (member,) = model.members
    own = load_model(toy.paths(member.name)["models"])
    assert len(member.folds) == len(own.members) == 3
    assert (model.predict_std(toy_rows).max(axis=0) > 0.01).all()


def test_ensemble_has_the_spread_of_its_members_and_keeps_no_folds(toy, toy_rows, tmp_path):
    model = consolidated(toy, tmp_path, final="ensemble", batch_folds=toy.of_batches("models"))
    assert not any(member.folds for member in model.members)
    np.testing.assert_array_equal(
        model.predict_std(toy_rows), consolidated(toy, tmp_path / "b").predict_std(toy_rows)
    )


def test_folds_of_other_rows_are_refused(toy, single, tmp_path):
    with pytest.raises(InputError, match="were not made from the same rows"):
        kept(toy, tmp_path, single, single_folds=toy.of_batches("models"))


def test_kept_folds_are_in_the_file_and_its_copy(toy, single, toy_rows, tmp_path):
    model = kept(toy, tmp_path, single, single_folds=folds_of(single))
    again = load_model(tmp_path / "model_multiclass_all_genes.pkl", trust=True)
    np.testing.assert_array_equal(again.predict_std(toy_rows), model.predict_std(toy_rows))
    two = load_model(tmp_path / "model.gbm", threads=2)
    np.testing.assert_array_equal(two.predict_std(toy_rows), model.predict_std(toy_rows))
    with ZipFile(tmp_path / "model.gbm") as archive:
        names = [name for name in archive.namelist() if name.startswith("folds/")]
    assert names == [f"folds/{number:03d}.ubj" for number in range(9)]


def test_thresholds_and_candidates_are_written(toy, single, distilled, tmp_path):
    candidates = {
        f"{name}{end}": files[key]
        for name, files in (("single", single), ("distilled", distilled))
        for end, key in (("", "model"), ("_held_out", "held_out"))
    }
    model = consolidated(toy, tmp_path, final="ensemble", **candidates)
    table = read_tsv(tmp_path / "thresholds.tsv")
    chosen = choose(model, toy.ensemble_files["combined"], "log_odds")
    assert table.drop("reason").equals(chosen.drop("reason"))
    written = read_tsv(tmp_path / "candidates.tsv")
    assert written["candidate"].to_list() == ["ensemble", "single", "distilled"]
    assert written.filter("chosen")["candidate"].item() == model.facts["final"] == "ensemble"


def test_model_says_what_the_plan_says_of_the_data(toy, tmp_path):
    model = consolidated(toy, tmp_path)
    assert model.facts["sequence"] is None
    assert model.facts["trained_genes"] is None
    data = read_json(toy.paths()["dataset"])
    assert model.facts["data_digest"] == data["digest"]
    made = {"features": {"window": 60}, "sampling": {"seed": 7}}
    write_json(tmp_path / "dataset.json", data | {"sequence": made})
    model = consolidated(toy, tmp_path, dataset=tmp_path / "dataset.json")
    assert model.facts["sequence"] == made


def test_weights_of_the_rows_may_be_the_prevalence(toy, toy_rows, tmp_path):
    plain = consolidated(toy, tmp_path / "plain")
    weighted = consolidated(toy, tmp_path / "weights", prevalence="weights")
    assert sum(weighted.prevalence.values()) == pytest.approx(1)
    # Boosters were trained with the weights, so nothing is shifted.
    expected = plain.predict_proba(toy_rows)
    np.testing.assert_allclose(weighted.predict_proba(toy_rows), expected, rtol=1e-12)


@pytest.fixture
def genes(toy, tmp_path):
    """A table of genes of which every group has two, in an order of its own."""
    groups = pl.read_parquet(toy.paths()["groups"])["group"].cast(pl.String).to_list()
    names = {"gene_id": [f"{end}-{group}" for group in groups[::-1] for end in "zy"]}
    table = pl.DataFrame(names | {"group": [group for group in groups[::-1] for _ in "zy"]})
    table.write_csv(tmp_path / "genes.tsv", separator="\t")
    return tmp_path / "genes.tsv"


def test_model_knows_the_genes_whose_group_it_was_trained_on(toy, genes, tmp_path):
    model = consolidated(toy, tmp_path / "out", table=genes)
    trained = sorted(toy.plan_lines["group"])
    assert model.facts["trained_genes"] == [f"{end}-{group}" for end in "yz" for group in trained]


def test_pruned_model_still_knows_the_genes_of_all_members(toy, genes, tmp_path):
    """Weights and trees were learned from them, whether or not their member is kept."""
    parameters = {"weights": [[0.0, 1.0]] * 3, "intercept": [0.0] * 3}
    whole = load_model(toy.ensemble_files["ensemble"])
    whole = replace(whole, combiner={"name": "selected", "parameters": parameters})
    whole.save(tmp_path / "ensemble.gbm")
    changes = {"ensemble": tmp_path / "ensemble.gbm", "table": genes}
    model = consolidated(toy, tmp_path / "out", **changes)
    assert len(model.members) == 1
    known = [f"{end}-{group}" for end in "yz" for group in sorted(whole.groups)]
    assert model.facts["trained_genes"] == known


def test_ensemble_of_another_plan_is_refused(toy, other_manifest, tmp_path):
    with pytest.raises(InputError, match="b000, b001 were trained for another plan"):
        consolidated(toy, tmp_path / "out", manifest=other_manifest)
    assert not (tmp_path / "out").exists()


def test_candidate_that_was_trained_on_other_groups_is_refused(toy, single, tmp_path):
    model = load_model(single["model"])
    fewer = model.members[0]._replace(groups=model.members[0].groups[1:])
    replace(model, members=(fewer,)).save(tmp_path / "single.gbm")
    files = {"single": tmp_path / "single.gbm", "single_held_out": single["held_out"]}
    with pytest.raises(InputError, match=r"single\.gbm was trained on .* groups, not on the"):
        consolidated(toy, tmp_path / "out", **files)
    assert not (tmp_path / "out").exists()
