"""An ensemble that goes without a batch: what it is and knows, and that everyone can see it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genebatch.io.files import InputError
from genebatch.model.archive import load_model
from genebatch.model.prediction import predict_table
from genebatch.steps.ensemble import cross_batch_scores
from tests.builders.finished_run import ABOVE, Data

pytestmark = pytest.mark.slow

CLASSES = ["neither", "donor", "acceptor"]
MISSING = "b002"


@pytest.fixture(scope="module")
def partial(tmp_path_factory, new_run, toy_rows):
    """A run of three batches of which one failed, with every candidate, up to its final model."""
    changes = {"batching": {"max_groups": 7, "min_groups": 2, "min_positives": 1}}
    run = new_run(tmp_path_factory.mktemp("partial"), changes, (MISSING,))
    run.write(toy_rows)
    run.analyze()
    run.plan()
    for batch in run.batches:
        run.finish_batch(batch)
    run.cross_batch()
    run.combine()
    run.train_single()
    run.add_single()
    run.distil()
    run.consolidate()
    return run


@pytest.fixture(scope="module")
def plan(partial):
    return partial.plan_lines


@pytest.fixture(scope="module")
def its_groups(plan):
    return set(plan.filter(pl.col("batch") == MISSING)["group"])


def test_no_member_has_seen_a_group_of_the_missing_batch(partial, its_groups):
    ensemble = load_model(partial.ensemble_files["ensemble"])
    assert [member.name for member in ensemble.members] == ["b000", "b001"]
    assert its_groups
    assert not ensemble.groups & its_groups


def test_its_rows_are_scored_by_the_finished_models_of_the_others(partial, toy_rows, its_groups):
    held_out = pl.read_parquet(partial.ensemble_files["scores"])
    rows = toy_rows.filter(pl.col("gene_id").is_in(its_groups))
    scored = held_out.filter(pl.col("group").is_in(its_groups)).sort("group", "position")
    assert scored.height == rows.height
    rows = rows.sort("gene_id", "position")
    for name in ("b000", "b001"):
        member = load_model(partial.paths(name)["model"])
        expected = member.frame_log_odds(rows)[:, 0]
        scores = scored.select(f"{name}:{label}" for label in CLASSES).to_numpy()
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_sample_has_groups_of_the_missing_batch_too(partial, plan, its_groups, tmp_path):
    every = pl.read_parquet(partial.ensemble_files["scores"])
    cross_batch_scores(
        rows=partial.row_files(),
        models=partial.of_batches("model"),
        out_of_fold=partial.of_batches("out_of_fold"),
        use_weights=partial.settings.learner.use_weights,
        missing=[MISSING],
        score_rows=200,
        threads=1,
        scores=tmp_path / "scores.parquet",
        **partial.chosen("manifest planned"),
    )
    some = pl.read_parquet(tmp_path / "scores.parquet")
    groups = some["group"].unique()
    assert some.equals(every.filter(pl.col("group").is_in(groups.implode())))
    assert some.height < every.height
    assert its_groups <= set(groups)  # two of each of three folds
    assert set(some["batch"]) == set(plan["batch"])


def test_rows_of_the_others_keep_their_held_out_scores(partial, plan):
    """The batch that holds a row gives its out-of-fold score whether or not another is missing."""
    held_out = pl.read_parquet(partial.ensemble_files["scores"])
    for name in partial.batches:
        own = set(plan.filter(pl.col("batch") == name)["group"])
        rows = held_out.filter(pl.col("group").is_in(own))
        out_of_fold = pl.read_parquet(partial.paths(name)["out_of_fold"])
        assert set(rows["batch"]) == {name}
        assert rows.height == out_of_fold.height


def test_model_names_it_beside_all_batches_of_the_plan(partial, plan):
    facts = load_model(partial.paths()["model"]).facts
    assert facts["missing_batches"] == [MISSING]
    assert [line["batch"] for line in facts["batches"]] == ["b000", "b001", MISSING]


def weights_of_classes(rows):
    labels, weight = rows["splice_type"].fill_null("neither"), rows["sample_weight"]
    return [weight.filter(labels == name).sum() for name in CLASSES]


def test_its_rows_count_in_the_shares_that_the_combiner_learned(partial, plan, toy_rows):
    """Probabilities are moved from the shares of all training rows, with and without a model."""
    trained = weights_of_classes(toy_rows.filter(pl.col("gene_id").is_in(set(plan["group"]))))
    ensemble = load_model(partial.ensemble_files["ensemble"])
    np.testing.assert_allclose(ensemble.class_weight, trained)
    both = load_model(partial.alone_files("both")["model"])
    np.testing.assert_allclose(both.class_weight, np.multiply(trained, 2))


def test_its_rows_count_in_the_prevalence_of_the_weights(partial, plan, toy_rows, tmp_path):
    model = consolidated(partial, tmp_path, prevalence="weights")
    trained = weights_of_classes(toy_rows.filter(pl.col("gene_id").is_in(set(plan["group"]))))
    shares = dict(zip(CLASSES, np.divide(trained, sum(trained)), strict=True))
    assert model.prevalence == pytest.approx(shares)


def consolidated(partial, folder, **changes):
    """The delivered model from other inputs."""
    partial.consolidate(folder, **changes)
    return load_model(folder / "model.gbm")


def test_its_genes_count_as_trained_on(partial, plan, tmp_path):
    """Combiners and thresholds were learned from their rows."""
    groups = pl.read_parquet(partial.paths()["groups"])["group"].cast(pl.String)
    table = pl.DataFrame({"gene_id": groups, "group": groups})
    table.write_csv(tmp_path / "genes.tsv", separator="\t")
    model = consolidated(partial, tmp_path, table=tmp_path / "genes.tsv")
    assert model.facts["trained_genes"] == sorted(plan["group"].unique())


def test_student_learns_from_its_rows_and_is_judged_on_them(partial, plan, its_groups):
    (student,) = load_model(partial.alone_files("distilled")["model"]).members
    assert set(student.groups) == set(plan["group"])
    assert student.facts["teachers"] == ["b000", "b001"]
    held_out = pl.read_parquet(partial.alone_files("distilled")["held_out"])
    assert its_groups <= set(held_out["group"])


def test_both_models_are_the_single_one_and_the_members_that_there_are(partial, its_groups):
    both = load_model(partial.alone_files("both")["model"])
    assert [member.name for member in both.members] == ["b000", "b001", "single"]
    assert both.missing_batches == [MISSING]
    held_out = pl.read_parquet(partial.alone_files("both")["held_out"])
    assert its_groups <= set(held_out["group"])


def test_candidate_of_fewer_groups_than_the_plan_is_still_refused(partial, its_groups, tmp_path):
    single = load_model(partial.alone_files("single")["model"])
    (member,) = single.members
    fewer = tuple(sorted(set(member.groups) - its_groups))
    replace(single, members=(member._replace(groups=fewer),)).save(tmp_path / "single.gbm")
    files = {
        "single": tmp_path / "single.gbm",
        "single_held_out": partial.held_out_alone()["single_held_out"],
    }
    with pytest.raises(InputError, match=f"was trained on {len(fewer)} groups, not on the"):
        consolidated(partial, tmp_path, **files)


def test_every_file_of_predictions_names_it(partial, toy_rows, tmp_path):
    model = load_model(partial.paths()["model"])
    toy_rows.write_parquet(tmp_path / "rows.parquet")
    predict_table(model, tmp_path / "rows.parquet", tmp_path / "out.parquet")
    for path in (tmp_path / "out.parquet", partial.evaluate()["predictions"]):
        assert pl.read_parquet_metadata(path)["genebatch.missing_batches"] == MISSING
        assert pl.read_parquet_metadata(path)["genebatch.members"] != ""


@pytest.mark.parametrize("final", ["ensemble", "single"])
def test_page_and_card_name_it_with_its_size(tmp_path, final):
    data = Data(tmp_path, final=final)
    inputs = data.run([ABOVE] * 3)
    model = load_model(data.model)
    replace(model, facts=model.facts | {"missing_batches": ["b007"]}).save(data.model)
    sizes = {"groups": [7, 1234], "folds": [3, 3], "rows": [300, 56789]}
    manifest = pl.DataFrame({"batch": ["b000", "b007"], **sizes})
    manifest.write_csv(inputs["manifest"], separator="\t")
    page, card = data.report(inputs)
    for text in (page, card):
        assert "b007 (1,234 groups, 56,789 rows). " in text
        assert ("and this model" in text) == (final == "single")
    assert "<b>Without 1 of 3 batches:</b>" in page
    # Of the training rows (600 less the 300 that are tested) members have not seen all.
    trained = "2 groups" if final == "ensemble" else "1 groups, 300 rows"
    assert f"| of these trained on | {trained} |\n" in card
