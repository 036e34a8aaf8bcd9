"""Promises of the whole workflow, on a small example."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
import yaml

from genebatch import ALGORITHM, load_model
from tests.workflow.running import AS_A_USER, REPOSITORY, SMALL, STARTER, Run, Watch, jobs

pytestmark = pytest.mark.workflow

RIVALS = ["single", "distilled"]
BATCHES = ("b000", "b001", "b002")
BATCH_RULES = (
    "cross_validate_batch", "train_batch", "calibrate_batch", "explain_batch", "diagnose_batch",
)  # fmt: skip
SMALL_SPLITS = SMALL["cv"]["n_splits"]
AFTER_COMBINING = (
    *("consolidate", "estimate", "evaluate", "explain_final", "predict", "write_report"),
)
MANIFEST = "results/batches/manifest.tsv"
PREDICTIONS = "results/predictions/new.parquet"
DOWNSTREAM = ("cross_batch_scores", "combine_batches", "rank_groups", *AFTER_COMBINING)


def everything_of(batch: str) -> Counter:
    return Counter([(rule, batch) for rule in BATCH_RULES])


def after_the_batches() -> Counter:
    return Counter([(rule, None) for rule in DOWNSTREAM])


def test_run_ends_with_model_metrics_and_how_to_use_it(finished):
    folder, output = finished
    assert "results/model/model_multiclass_all_genes.gbm" in output
    assert "genebatch predict results" in output
    assert "donor" in output
    assert "average_precision" in output
    assert "Provided resources: mem_mb=" in output  # a run without a cap caps itself
    model = load_model(folder / "results")
    assert [member.name for member in model.members] == list(BATCHES)
    trees = [sum(b.num_boosted_rounds() for b in member.boosters) for member in model.members]
    assert all(trees)  # else every promise below would be one about the base scores
    assert (folder / "results/report/index.html").stat().st_size > 10_000


def test_planted_problems_do_not_become_features(finished):
    features = set(load_model(finished[0] / "results").feature_names_in_)
    planted = {"constant_flag", "all_missing", "tx_length_filled", "site_probe", "gc_content_copy"}
    assert not features & planted
    assert not {"tx_start", "gene_start"} <= features
    assert not {"splice_type", "sample_weight", "position", "gene_id", "cluster_id"} & features
    assert {"donor_score", "acceptor_score", "neither_score"} <= features


def test_test_groups_are_in_no_member(finished):
    folder, _ = finished
    test = set(pl.read_csv(folder / "results/dataset/test_groups.tsv", separator="\t")["group"])
    seen = {group for m in load_model(folder / "results").members for group in m.groups}
    assert test
    assert not test & seen
    assert len(test | seen) == 48


def test_predict_rule_equals_prediction_in_memory(finished):
    folder, _ = finished
    written = pl.read_parquet(folder / "results/predictions/new.parquet")
    table = pl.read_parquet(folder / "data/new")
    probabilities = load_model(folder / "results").predict_proba(table)
    columns = [f"probability_{name}" for name in SMALL["dataset"]["classes"]]
    np.testing.assert_array_equal(written.select(columns).to_numpy(), probabilities)
    assert written["gene_id"].to_list() == table["gene_id"].to_list()


def test_every_job_kept_to_its_declared_memory(finished):
    records = list((finished[0] / "results/usage").rglob("*.json"))
    assert len(records) == 3 * len(BATCH_RULES) + 11
    for path in records:
        usage = pl.read_json(path)
        assert usage["peak_mb"].item() <= usage["declared_mb"].item(), path


def test_rules_about_all_batches_have_the_memory_of_the_plan(finished):
    results = finished[0] / "results"
    planned = json.loads((results / "batches/memory.json").read_text())
    for rule in ("cross_batch_scores", "combine_batches", "consolidate", "estimate", "evaluate"):
        usage = json.loads((results / f"usage/{rule}/all.json").read_text())
        further = (usage["threads"] - 1) * planned["thread"]
        assert usage["declared_mb"] == planned[rule] + further, rule


@pytest.mark.parametrize("final", ["ensemble", "single", "best"])
def test_dry_run_before_there_is_a_plan(empty_run, final):
    empty_run.configure({**SMALL, "final": final})
    rules = {rule for rule, _ in empty_run.planned()}
    assert {"analyze_dataset", "plan_batches", *DOWNSTREAM} <= rules


def test_second_run_has_nothing_to_do(run):
    assert run.planned() == Counter()


def test_touched_files_run_nothing(run):
    for path in [*run.folder.glob("data/**/*.parquet"), *run.folder.glob("results/batches/*.*")]:
        os.utime(path)
    for name in ("dataset/profile.json", "dataset/groups.parquet", "features/features.json"):
        os.utime(run.folder / "results" / name)
    assert run.planned() == Counter()


def test_deleted_batch_model_repeats_that_batch_and_what_follows(run):
    shutil.rmtree(run.folder / "results/batches/b001")
    assert run.planned() == everything_of("b001") + after_the_batches()


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("batches/b001/shap.parquet", "explain_batch"),
        ("batches/b001/figures/pr.png", "diagnose_batch"),
        ("features/screen.tsv", "screen_features"),
        ("evaluation/predictions.parquet", "evaluate"),
    ],
)
def test_any_deleted_result_is_made_again(run, path, rule):
    (run.folder / "results" / path).unlink()
    batch = "b001" if "b001" in path else None
    assert run.planned()[rule, batch] == 1


def test_added_gene_repeats_its_batch_alone(run):
    shutil.copy(run.folder / "results/batches/groups.parquet", run.folder / "config/plan.parquet")
    shard = run.folder / "data/example/part-000.parquet"
    table = pl.read_parquet(shard)
    gene = table.filter(pl.col("gene_id") == table["gene_id"][0])
    added = gene.with_columns(pl.lit("SIM_ADDED").alias("gene_id"))
    pl.concat([table, added]).write_parquet(shard)
    config = run.config
    config["batching"]["keep"] = "config/plan.parquet"
    config["test"]["fraction"] = 0.05  # so that the one new gene is a training gene
    run.configure(config)
    run.ok(MANIFEST)
    plan = pl.read_parquet(run.folder / "results/batches/groups.parquet")
    batch = plan.filter(pl.col("group") == "SIM_ADDED")["batch"].item()
    assert run.planned() == everything_of(batch) + after_the_batches()


PLANNED = ("plan_batches", *DOWNSTREAM)  # batches follow the plan's keys, which are yet to come
RERUNS = {
    "cv.stop_fraction": (0.2, {*BATCH_RULES, *DOWNSTREAM}),
    "learner.learning_rate": (0.07, {*BATCH_RULES, *DOWNSTREAM}),
    "learner.params": ({"gamma": 0.1}, {*BATCH_RULES, *DOWNSTREAM}),
    "calibration.method": ("sigmoid", {"calibrate_batch", "diagnose_batch", *DOWNSTREAM}),
    "calibration.prevalence": (
        {"neither": 0.98, "donor": 0.01, "acceptor": 0.01},
        {"consolidate", "predict", "evaluate", "explain_final", "write_report"},
    ),
    "explain.neighbour_sites": (50, {"neighbours", "write_report"}),
    "evaluation.n_replicates": (25, {"estimate", "evaluate", "write_report"}),
    "test.fraction": (0.25, {"choose_test_groups", "screen_features", *PLANNED}),
    "screen.max_rows": (2_000, {"screen_features", *PLANNED}),
    "batching.min_positives": (1, {*PLANNED}),
    "ensemble.score_rows": (1_000, {*PLANNED}),
    "ensemble.uncertainty": (True, {*PLANNED}),
    "cv.n_splits": (4, {*PLANNED}),
    "predict.tables": ({"new": "data/new", "again": "data/new"}, {"predict"}),
    "resources.mem_factor": (1.5, set()),
    "resources.runtime_factor": (2, set()),
    "learner.threads": (2, set()),
    "ensemble.allow_missing": (True, set()),
}


@pytest.mark.parametrize("key", RERUNS)
def test_changed_key_repeats_what_depends_on_it_and_nothing_else(run, key):
    part, name = key.split(".")
    value, repeated = RERUNS[key]
    config = run.config
    config.setdefault(part, {})[name] = value
    run.configure(config)
    assert {rule for rule, _ in run.planned()} == repeated


def test_models_of_another_algorithm_are_not_used_again(run):
    planted = {"PYTHONPATH": str(REPOSITORY / "tests/workflow/planted_failure")}
    same = run.ok("--dry-run", env={**planted, "PLANTED_ALGORITHM": str(ALGORITHM)})
    assert jobs(same) == Counter()
    another = {**planted, "PLANTED_ALGORITHM": str(ALGORITHM + 1)}
    run.ok(MANIFEST, env=another)  # what follows the plan is in no dry run before
    other = jobs(run.ok("--dry-run", env=another))
    assert {batch for rule, batch in other if rule == "train_batch"} == set(BATCHES)
    assert {batch for rule, batch in other if rule == "cross_validate_batch"} == set(BATCHES)


def test_another_combiner_is_learned_without_a_batch_rule(run):
    run.configure({**SMALL, "ensemble": {"rivals": [], "combiner": "weighted"}})
    assert run.planned() == Counter(
        [(rule, None) for rule in ("combine_batches", "rank_groups", *AFTER_COMBINING)]
    )
    run.ok("results/evaluation/systems.tsv")
    folder = run.folder / "results"
    parameters = pl.read_json(folder / "ensemble/combiners.json")["combiners"].struct.field(
        "weighted"
    )
    combiner = load_model(folder).combiner
    assert combiner["name"] == "weighted"
    assert combiner["parameters"]["weights"] == parameters[0]["weights"]
    systems = pl.read_csv(folder / "evaluation/systems.tsv", separator="\t")
    assert set(systems.filter("in_use")["system"]) == {"weighted"}


def test_another_final_model_trains_that_and_joins_it_to_the_ensemble(run):
    run.configure({**SMALL, "final": "single"})
    folds = ["cross_validate_single"] * SMALL_SPLITS
    made = [*folds, "train_single", "add_single", *AFTER_COMBINING]
    assert run.planned() == Counter([(rule, None) for rule in made])
    run.configure({**SMALL, "ensemble": SMALL["ensemble"] | {"with_single": True}})
    assert run.planned() == Counter([(rule, None) for rule in made])
    run.configure({**SMALL, "final": "single", "single": {"n_splits": 1}})
    assert run.planned() == Counter([(rule, None) for rule in made[SMALL_SPLITS - 1 :]])
    alone = SMALL["ensemble"] | {"with_single": False}
    run.configure({**SMALL, "ensemble": alone, "final": "single"})
    assert run.planned() == Counter([(rule, None) for rule in made if rule != "add_single"])


def test_with_one_batch_nothing_is_trained_twice(empty_run):
    """Its model is the single model, also where that is asked for by name."""
    whole = SMALL["batching"] | {"max_genes": 1000}
    rivals = SMALL["ensemble"] | {"rivals": ["single"]}
    empty_run.configure({**SMALL, "batching": whole, "ensemble": rivals, "final": "single"})
    output = empty_run.ok()
    made = {rule for rule, _ in jobs(output)}
    assert "train_batch" in made
    assert not made & {"cross_validate_single", "train_single", "add_single"}
    reason = "there is one batch, and its model is the model of all rows"
    assert f"Not trained: {reason}" in output
    table = pl.read_csv(empty_run.folder / "results/model/candidates.tsv", separator="\t")
    assert table.filter("chosen")["candidate"].to_list() == ["ensemble"]
    assert reason in (empty_run.folder / "results/report/index.html").read_text()
    assert empty_run.planned() == Counter()


def test_a_single_model_that_would_take_too_long_is_left_out_and_named(run):
    given = SMALL["ensemble"] | {"rivals": RIVALS}
    run.configure({**SMALL, "ensemble": given, "final": "best", "single": {"max_hours": 1e-9}})
    made = [(rule, None) for rule in ("distil", *AFTER_COMBINING)]
    output = run.ok()
    assert jobs(output) == Counter(made)
    reason = "the single model would take up to .* hours of a core, more than single.max_hours"
    assert re.search(rf"{reason} .1e-09.; it is left out", output)
    assert re.search(rf"Not trained: {reason}", " ".join(output.split()))  # lines are wrapped
    table = pl.read_csv(run.folder / "results/model/candidates.tsv", separator="\t")
    left_out = table.filter(pl.col("log_loss").is_null())
    assert set(left_out["candidate"]) == {"single", "both"}
    assert not left_out["chosen"].any()
    assert re.search(reason, (run.folder / "results/report/index.html").read_text())


def test_a_single_model_that_is_asked_for_by_name_is_not_left_out(run):
    run.configure({**SMALL, "final": "single", "single": {"max_hours": 1e-9}})
    assert "raise single.max_hours, or set final: best" in run.fails("--dry-run")
    run.configure({**SMALL, "final": "single", "single": {"max_hours": None}})
    run.ok("--dry-run")


def test_rival_is_trained_and_judged_but_not_delivered(run):
    run.configure({**SMALL, "ensemble": {"rivals": ["distilled"], "combiner": "log_odds"}})
    assert run.planned() == Counter([(rule, None) for rule in ("distil", *AFTER_COMBINING)])


def test_best_candidate_is_delivered(run):
    run.configure({**SMALL, "ensemble": SMALL["ensemble"] | {"rivals": RIVALS}, "final": "best"})
    done = jobs(run.ok(env=AS_A_USER))
    folds = ["cross_validate_single"] * SMALL_SPLITS
    made = (*folds, "train_single", "add_single", "distil", *AFTER_COMBINING)
    assert done == Counter([(rule, None) for rule in made])
    folder = run.folder / "results"
    table = pl.read_csv(folder / "model/candidates.tsv", separator="\t")
    assert set(table["candidate"]) == {"ensemble", "single", "both", "distilled"}
    chosen = table.row(by_predicate=pl.col("chosen"), named=True)
    level = table.filter((pl.col("difference") == 0) | (pl.col("difference_low") <= 0))
    assert chosen["trees"] == level["trees"].min()
    model = load_model(folder)
    assert model.facts["final"] == chosen["candidate"]
    assert len(model.members) == chosen["members"]
    test = set(pl.read_csv(folder / "dataset/test_groups.tsv", separator="\t")["group"])
    assert not test & {group for member in model.members for group in member.groups}
    systems = pl.read_csv(folder / "evaluation/systems.tsv", separator="\t")
    judged = {"single", "both", "distilled", "base", "member best", "stacked"}
    assert judged <= set(systems["system"])
    name = "log_odds" if chosen["candidate"] == "ensemble" else chosen["candidate"]
    assert set(systems.filter("in_use")["system"]) == {name}
    for path in (folder / "usage").rglob("*.json"):
        usage = pl.read_json(path)
        assert usage["peak_mb"].item() <= usage["declared_mb"].item(), path
    assert run.planned() == Counter()
    mixed = SMALL["ensemble"] | {"rivals": RIVALS, "distil_mix": [0.7]}
    run.configure({**SMALL, "ensemble": mixed, "final": "best"})
    assert {rule for rule, _ in run.planned()} == {"distil", *AFTER_COMBINING}


def test_sample_of_the_rows_is_scored_and_named_by_all_that_follows(run):
    """Some 1,900 rows in three batches of three folds."""
    limited = SMALL["ensemble"] | {"score_rows": 1_000}
    every = pl.read_parquet(run.folder / "results/ensemble/cross_batch.parquet")
    run.configure({**SMALL, "ensemble": limited})
    done = jobs(run.ok())
    assert {rule for rule, _ in done} == {*PLANNED}
    folder = run.folder / "results"
    some = pl.read_parquet(folder / "ensemble/cross_batch.parquet")
    groups = some["group"].unique()
    assert some.equals(every.filter(pl.col("group").is_in(groups.implode())))
    assert some.height < every.height
    assert set(some["batch"]) == set(BATCHES)
    ranks = pl.read_csv(folder / "ensemble/ranks.tsv", separator="\t")
    assert ranks["group"].n_unique() == ranks.height == every["group"].n_unique()
    assert set(ranks.filter(pl.col("rank").is_not_null())["group"]) == set(groups)
    told = f"{len(groups)} of {ranks.height} training groups"
    assert told in (folder / "report/index.html").read_text()
    assert run.planned() == Counter()
    run.configure({**SMALL, "ensemble": limited | {"rivals": ["distilled"]}})
    assert run.planned() == Counter([(rule, None) for rule in ("distil", *DOWNSTREAM)])


def test_limit_above_the_number_of_rows_repeats_the_plan_alone(run):
    run.configure({**SMALL, "ensemble": SMALL["ensemble"] | {"score_rows": None}})
    done = jobs(run.ok())
    assert {rule for rule, _ in done} <= {"plan_batches", "write_report"}


def test_run_by_similarity_finishes_with_every_training_gene_in_one_batch(run):
    config = run.config
    config["batching"] |= {"strategy": "similarity", "max_genes": 24}
    config["ensemble"] |= {"combiner": "routed"}
    run.configure(config)
    targets = ("results/evaluation/systems.tsv", "results/batches/times_held.tsv")
    done = jobs(run.ok(*targets))
    assert done["describe_groups", None] == done["plan_batches", None] == 1
    results = run.folder / "results"
    groups = set(pl.read_parquet(results / "dataset/group_features.parquet")["group"])
    model = load_model(results)
    held = [group for member in model.members for group in member.groups]
    assert sorted(held) == sorted(groups)
    assert model.combiner["name"] == "routed"
    shown = pl.read_csv(results / "evaluation/systems.tsv", separator="\t").filter("in_use")
    assert shown["system"].unique().to_list() == ["routed"]
    np.testing.assert_allclose(model.predict_proba(run.folder / "data/new").sum(axis=1), 1)
    times = pl.read_csv(results / "batches/times_held.tsv", separator="\t")
    assert times.filter(role="training")["groups"].to_list() == [0, len(groups), 0]
    assert run.planned(*targets) == Counter()
    for path in [*results.glob("dataset/*"), *results.glob("batches/*.*")]:
        os.utime(path)
    assert run.planned(*targets) == Counter()


def test_another_strategy_plans_anew(run):
    config = run.config
    for strategy, rules in (("adaptive", ()), ("similarity", ("describe_groups",))):
        config["batching"]["strategy"] = strategy
        run.configure(config)
        repeated = {rule for rule, _ in run.planned()}
        assert {"plan_batches", *rules} <= repeated
        assert not repeated & {"analyze_dataset", "choose_test_groups", "screen_features"}


def test_where_to_run_is_no_reason_to_run_again(run):
    config = run.config
    config["learner"]["threads"] = 2
    config["resources"] = {"mem_factor": 1.5, "memory_mb": 9000}
    run.configure(config)
    assert run.planned() == Counter()


def test_another_number_of_explained_rows_leaves_the_batch_models_alone(run):
    config = run.config
    config["explain"]["rows"] = 50
    run.configure(config)
    assert ("plan_batches", None) in jobs(run.ok(MANIFEST))  # what follows is in no dry run before
    repeated = {rule for rule, _ in run.planned()}
    assert {"explain_batch", "diagnose_batch"} <= repeated
    assert not repeated & {"cross_validate_batch", "train_batch", "calibrate_batch"}


def test_batch_of_another_plan_is_not_consolidated(run):
    """Whatever Snakemake is told to pass over."""
    config = run.config
    config["batching"]["seed"] = 8
    config["cv"]["seed"] = 8
    run.configure(config)
    output = run.fails("--rerun-triggers", "mtime", "--forcerun", "plan_batches", "consolidate")
    assert "were trained for another plan or other rows; delete batches/" in output


def test_plan_to_keep_is_not_read_from_the_results_that_it_replaces(run):
    config = run.config
    config["batching"]["keep"] = "results/batches/groups.parquet"
    run.configure(config)
    assert "copy it elsewhere first" in run.fails()
    assert (run.folder / "results/batches/groups.parquet").exists()


def test_own_config_file_stands_alone(run, tmp_path):
    """The values of config/config.yaml are not merged under a file given by name."""
    config = {**run.config, "predict": {"tables": {}}}
    own = tmp_path / "my.yaml"
    own.write_text(yaml.safe_dump(config))
    output = run.ok("--dry-run", "--configfile", str(own))
    assert "predict" not in {rule for rule, _ in jobs(output)}


def test_raising_batch_is_repeated_alone_and_the_predictions_are_those_of_a_run_without_a_fault(
    empty_run, finished, tmp_path
):
    """In another folder, with other threads, and with the batches in another order."""
    config = empty_run.config
    config["learner"]["threads"] = 2
    empty_run.configure(config)
    environment = {
        "PYTHONPATH": str(REPOSITORY / "tests/workflow/planted_failure"),
        "PLANTED_FAILURE": "results/logs/train_batch/b001.log",
    }
    output = empty_run.fails(PREDICTIONS, env=environment, cwd=tmp_path)
    assert "planted failure" in output
    folder = empty_run.folder / "results/batches"
    assert (folder / "b000/model.gbm").exists()
    assert (folder / "b002/model.gbm").exists()
    assert not (folder / "b001/uncalibrated.gbm").exists()
    assert not (empty_run.folder / "results/predictions").exists()
    whole = ("cross_batch_scores", "combine_batches", "consolidate", "predict")
    expected = Counter([("train_batch", "b001"), ("calibrate_batch", "b001")])
    expected += Counter((rule, None) for rule in whole)
    assert jobs(empty_run.ok(PREDICTIONS, cwd=tmp_path)) == expected
    again = pl.read_parquet(empty_run.folder / PREDICTIONS)
    assert again.equals(pl.read_parquet(finished[0] / PREDICTIONS))


def without_out_of_fold(run) -> pl.DataFrame:
    """Take the first result of every batch away; gives the manifest."""
    for batch in BATCHES:
        (run.folder / f"results/batches/{batch}/out_of_fold.parquet").unlink()
    path = run.folder / "results/batches/manifest.tsv"
    kinds = {"key": pl.String}  # some are digits alone
    return pl.read_csv(path, separator="\t", schema_overrides=kinds)


def test_batch_beyond_its_estimate_is_stopped_alone_and_repeated_alone(run):
    manifest = without_out_of_fold(run)
    need = pl.col("mem_mb_cross_validate_batch")
    halved = manifest.with_columns(pl.when(batch="b001").then(need // 2).otherwise(need))
    halved.write_csv(run.folder / "results/batches/manifest.tsv", separator="\t")
    targets = [f"results/batches/{batch}/out_of_fold.parquet" for batch in BATCHES]
    run.fails(*targets, env=AS_A_USER)
    told = (run.folder / "results/logs/cross_validate_batch/b001.log").read_text()
    allowed = halved.filter(batch="b001")["mem_mb_cross_validate_batch"].item()
    assert "out of memory" in told
    assert f"may use {allowed} MB (estimated need {allowed} MB); raise resources.mem_fac" in told
    done = {
        batch: (run.folder / f"results/batches/{batch}/summary.json").exists()
        and (run.folder / f"results/batches/{batch}/out_of_fold.parquet").exists()
        for batch in BATCHES
    }
    assert done == {"b000": True, "b001": False, "b002": True}
    run.configure({**run.config, "resources": {"mem_factor": 2}})
    assert jobs(run.ok(*targets)) == Counter([("cross_validate_batch", "b001")])


@pytest.mark.parametrize("room", [1, 2])
def test_as_many_batches_run_side_by_side_as_memory_has_room_for(run, room):
    manifest = without_out_of_fold(run)
    need = manifest["mem_mb_cross_validate_batch"].max()
    cap = room * need + need // 2
    targets = [f"results/batches/{batch}/out_of_fold.parquet" for batch in BATCHES]
    with Watch("cross_validate_batch", run.folder) as watch:
        run.ok(*targets, "--resources", f"mem_mb={cap}", env=AS_A_USER)
    assert watch.most_jobs == room
    assert 0 < watch.most_mb <= cap


def test_every_batch_has_five_jobs_and_the_whole_the_same_ones(run):
    path = run.folder / "results/batches/manifest.tsv"
    manifest = pl.read_csv(path, separator="\t", schema_overrides={"key": pl.String})
    further = [manifest[:1].with_columns(pl.lit(f"b{n:03d}").alias("batch")) for n in range(3, 50)]
    pl.concat([manifest, *further]).write_csv(path, separator="\t")
    rows = run.folder / "results/rows"
    for number in range(3, 50):
        os.link(rows / "b000.arrow", rows / f"b{number:03d}.arrow")
    found = run.planned()
    for number in range(3, 50):
        assert Counter(job for job in found if job[1] == f"b{number:03d}") == everything_of(
            f"b{number:03d}"
        )
    assert Counter(job for job in found if job[1] is None) == after_the_batches()
    assert len(found) == 47 * len(BATCH_RULES) + len(DOWNSTREAM)


def used_as_a_module(run, option="", arguments=()):
    """A dry run of a workflow that uses this one as a module."""
    snakefile = run.folder / "Snakefile"
    snakefile.write_text(
        'configfile: "config/config.yaml"\n'
        "module genebatch:\n"
        f'    snakefile: "{REPOSITORY / "workflow/Snakefile"}"\n'
        f"    config: config\n{option}"
        "use rule * from genebatch as genebatch_*\n"
        "rule mine:\n"
        "    default_target: True\n"
        "    input: rules.genebatch_all.input\n"
    )
    return STARTER.run(["--dry-run", "--cores", "1", *arguments], run.folder)


def test_workflow_can_be_used_as_a_module(empty_run):
    done = used_as_a_module(empty_run)
    assert done.returncode == 0, done.stdout


PREFIXES = ("prefix: 'gbres'", "replace_prefix: {'results/': 'gbres/'}")
PREFIXES += ("replace_prefix: {'data/': 'other/'}",)


def test_a_module_with_a_prefix_is_refused_and_the_remedy_works(empty_run):
    run = empty_run
    for option in PREFIXES:
        done = used_as_a_module(run, f"    {option}\n")
        assert done.returncode == 1
        assert "a module with 'prefix:' or 'replace_prefix:' is not supported" in done.stdout
        assert "set 'results' there" in done.stdout
    run.configure(run.config | {"results": "gbres"})
    done = used_as_a_module(run)
    assert done.returncode == 0, done.stdout
    assert "output: gbres/dataset/profile.json" in done.stdout
    assert " results/" not in done.stdout


def test_a_module_takes_its_results_folder_from_the_configuration_alone(empty_run):
    done = used_as_a_module(empty_run, "    pathvars:\n        results='other'\n")
    assert done.returncode == 1
    assert "set by the key 'results' of the configuration" in done.stdout


def test_the_scheduler_looks_at_the_ready_jobs_when_a_job_has_ended_and_no_oftener(empty_run):
    said = empty_run.ok("--verbose")
    ended = said.count("Finished jobid")
    assert ended > 10
    assert said.count("Ready jobs:") <= 2 * ended


def test_lint_and_format_are_clean():
    """Every rule runs in the environment of Snakemake, so none names one of its own."""
    command = [sys.executable, "-m", "snakemake", "--lint", "--snakefile", "Snakefile"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300
    )
    lints = re.findall(r"^ +\* (.+?):?$", done.stdout + done.stderr, re.MULTILINE)
    assert set(lints) == {"Specify a conda environment or container for each rule."}
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def broken(tmp_path) -> Run:
    """A folder with a config and no data."""
    folder = tmp_path / "run"
    folder.mkdir()
    run = Run(folder)
    run.configure(SMALL)
    return run


def test_missing_table_to_predict_names_its_key(run):
    config = run.config
    config["predict"]["tables"] = {"gone": "data/gone"}
    run.configure(config)
    assert "set predict.tables.gone" in run.fails()


def test_missing_data_folder_names_the_key(broken):
    assert "set dataset.path" in broken.fails()
    assert not (broken.folder / "results").exists()


def test_config_typo_is_refused_before_any_job(broken):
    broken.configure({**SMALL, "learner": {"max_dept": 4}})
    output = broken.fails()
    assert "unknown key 'learner.max_dept': did you mean 'max_depth'?" in output
    broken.configure({**SMALL, "cv": {"n_splits": "five"}})
    assert "'cv.n_splits' is 'five'" in broken.fails()


def test_too_little_memory_for_any_batch_is_refused(run):
    (run.folder / MANIFEST).unlink()
    run.configure({**run.config, "resources": {"memory_mb": 500}})
    output = run.fails("--resources", "mem_mb=4000")
    assert "resources.memory_mb" in output
    assert not (run.folder / MANIFEST).exists()


def test_cap_below_a_job_is_refused_and_not_clamped(run):
    shutil.rmtree(run.folder / "results/batches/b001")
    output = run.fails("--resources", "mem_mb=400")
    assert "but the run caps memory at 400 MB" in output


@pytest.mark.parametrize("cap", [200, 450])
def test_little_memory_is_refused_before_the_first_job(empty_run, cap):
    # 200 MB are too few for the analysis, 450 MB for any batch of the plan.
    half = empty_run.folder / "results/dataset/.abcd1234.part.parquet"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    output = empty_run.fails("--resources", f"mem_mb={cap}")
    assert re.search(rf"\w+ needs \d+ MB but the run caps memory at {cap} MB", output)
    assert "raise both" in output
    assert "No job has been started" in output
    assert not (empty_run.folder / "logs").exists()
