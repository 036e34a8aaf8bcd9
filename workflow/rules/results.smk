# What a run makes, and what it says at its end.

import csv
import os

from genebatch.jobs.needs import NEEDS, rules_of

# Results of these rules are made when another rule or `predict.tables` asks for them.
ON_REQUEST = ("score_genes", "predict", *ALONE_RULES.values())


def rules_of_the_whole():
    """Rules of this run that are not about one batch."""
    names = [name for name in NEEDS if NEEDS[name].of != "batch"]
    return [name for name in [*names, "score_genes"] if rules.has(name)]


def results_of(rule_name):
    """The files that a rule writes, without the record of its memory and time."""
    output = getattr(rules, rule_name).output
    return [path for path in output if path != output.get("usage")]


def member_results():
    """The files of a batch that show that its model is there and what it was made from."""
    model = results_of("train_batch") + results_of("calibrate_batch")
    return [rules.cross_validate_batch.output.out_of_fold, *model]


def batch_results():
    """All files of a batch."""
    return [path for name in rules_of("batch") for path in results_of(name)]


def results_of_the_whole():
    """All files that are not about one batch, so that a deleted one is made again.

    With them `call.bigwig` makes its tracks in a finished run: they have to be asked for by name,
    since Snakemake compares no params of a job whose outputs it does not know. The shards of a
    built table are left out; they are made again when a job has to read them.
    """
    files = []
    for name in rules_of_the_whole():
        if name == "build_dataset":
            files.append(rules.build_dataset.output.table)
        elif name == "call_genes":
            sets = ("test", *config["call"]["sets"])
            files += expand(results_of(name), calls=sets)
        elif name not in ON_REQUEST:
            files += results_of(name)
    return files


def usage_records(wildcards):
    """Records of memory and time of every job before the report."""
    trained = [ALONE_RULES[name] for name in trained_alone()]
    left_out = {"predict", *ALONE_RULES.values()}.difference(trained)
    names = {*rules_of("batch"), *rules_of_the_whole()}.difference(left_out)
    usage = [getattr(rules, name).output.get("usage") for name in names]
    records = expand(
        [path for path in usage if path is not None],
        batch=members(wildcards),
        calls="test",
    )
    return sorted(set(records))


def batch_figure(name):
    """A figure of a batch, listed in Snakemake's report."""
    return report(
        f"{BATCH_FILES}/figures/{name}.png",
        caption="../report/batch_figure.rst",
        category="Batches",
        subcategory="{batch}",
        labels={"batch": "{batch}", "figure": name},
    )


def evaluation_figure(name):
    """A figure of the finished model on test groups, listed in Snakemake's report."""
    return report(
        f"results/evaluation/figures/{name}.png",
        caption="../report/evaluation_figure.rst",
        category="Evaluation",
        labels={"figure": name},
    )


def print_closing_words():
    """Say where the model is and how good it is, if the evaluation is of that model."""
    comparison = rules.evaluate.output.comparison
    predictions = rules.evaluate.output.predictions
    model = rules.consolidate.output.model
    candidates = rules.consolidate.output.candidates
    older = (model, candidates, rules.choose_test_groups.output.test_groups)
    if all(os.path.exists(path) for path in (comparison, predictions, *older)):
        if os.path.getmtime(comparison) >= max(
            os.path.getmtime(path) for path in older
        ):
            from genebatch.steps.results import read_closing_words

            print(
                read_closing_words(
                    comparison=comparison,
                    candidates=candidates,
                    model=model,
                    predictions=predictions,
                    tracks=rules.evaluate_tracks.output.comparison if BUILT else None,
                )
            )


def print_unfinished_batches():
    """After a failed run, say which batches are not finished, and what the next run does."""
    path = rules.plan_batches.output.manifest
    if not os.path.exists(path):
        return
    with open(path, newline="") as stream:
        batches = [row["batch"] for row in csv.DictReader(stream, delimiter="\t")]
    unfinished = lacking(batch_results(), batches)
    coming = (
        "leaves out those without a model, and consolidates the others; to train all of them, set "
        "ensemble.allow_missing to false."
        if config["ensemble"]["allow_missing"]
        else "repeats only what is missing, and then consolidates. To consolidate the others "
        "first, set ensemble.allow_missing to true."
    )
    if unfinished:
        print(
            f"{len(unfinished)} of {len(batches)} batches are not finished: "
            f"{', '.join(unfinished)}. Their logs are logs/*/{{batch}}.log; the next run {coming}"
        )
