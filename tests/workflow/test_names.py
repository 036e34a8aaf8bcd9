"""Names that mean something to a shell, a page, a table or a path are names and nothing else."""

from pathlib import Path

import polars as pl
import pytest

from genebatch.io.files import read_json
from genebatch.model.archive import load_model
from tests.workflow.running import SMALL, Run

pytestmark = pytest.mark.workflow

GROUPS = ["-rf", "--help", "a b", "it's", 'say "x"', "<script>alert(1)</script>"]
GROUPS += ["$(touch planted)", "`touch planted`", "; touch planted", "../../etc/passwd"]
GROUPS += ["génë 日本", "a|b*c_d[e]", "per%cent {batch}", "back\\slash", "a,b:c", "#hash", "=1+1"]
GROUPS += [" lead", "trail "]
CLASSES = {"neither": "-not 'it'", "donor": '<script>d("5")</script>', "acceptor": "a$c{e}p:t, |é|"}
GROUP, LABEL, FEATURE = "-gene id", 'splice "type"', "gc 'con\"tent <script>"
FOLDER = '-it\'s a "rün" $(touch planted) {x}'
DATA, NEW = '-my [1] da\'ta/ex "ample"', "-new 'ta\"ble'"


def renamed(table: pl.DataFrame, groups: dict[str, str]) -> pl.DataFrame:
    columns = {"gene_id": GROUP, "splice_type": LABEL, "gc_content": FEATURE}
    return table.with_columns(
        pl.col("gene_id").replace(groups), pl.col("splice_type").replace(CLASSES)
    ).rename(columns)


def fill_awkwardly(folder: Path, example_data: Path) -> None:
    shards = sorted((example_data / "example").glob("*.parquet"))
    tables = {shard: pl.read_parquet(shard) for shard in shards}
    known = pl.concat(table["gene_id"] for table in tables.values()).unique().sort().to_list()
    groups = dict(zip(known, GROUPS, strict=False))
    for name in (DATA, NEW):
        (folder / name).mkdir(parents=True)
    for shard, table in tables.items():
        renamed(table, groups).write_parquet(folder / DATA / f"-sh ard {shard.name}")
    new = pl.read_parquet(example_data / "new")
    new.rename({"gene_id": GROUP, "gc_content": FEATURE}).write_parquet(folder / NEW / "1.parquet")


@pytest.fixture(scope="session")
def awkward(made_once, example_data) -> Run:
    """A whole run of awkward groups, classes, columns, files and folders."""
    dataset = SMALL["dataset"] | {
        "path": DATA,
        "group": GROUP,
        "label": LABEL,
        "classes": list(CLASSES.values()),
        "null_label": CLASSES["neither"],
        "scores": {CLASSES[name]: column for name, column in SMALL["dataset"]["scores"].items()},
    }
    one_batch = SMALL["batching"] | {"max_genes": 48}
    config = {"dataset": dataset, "batching": one_batch, "predict": {"tables": {"new": NEW}}}
    config["explain"] = SMALL["explain"] | {"neighbour_sites": 50}

    def fill(folder: Path) -> None:
        run = Run(folder / FOLDER)
        fill_awkwardly(run.folder, example_data)
        run.configure({**SMALL, **config})
        run.ok()

    return Run(made_once("names", fill) / FOLDER)


def test_nothing_in_a_name_was_run(awkward):
    assert not list(awkward.folder.parent.rglob("planted"))


def test_groups_are_the_same_in_every_table(awkward):
    results = awkward.folder / "results"
    everyone = set(pl.read_parquet(results / "dataset/groups.parquet")["group"])
    tested, ranked = (
        set(pl.read_csv(results / name, separator="\t")["group"])
        for name in ("dataset/test_groups.tsv", "ensemble/ranks.tsv")
    )
    assert set(GROUPS) < everyone
    assert tested | ranked == everyone
    assert not tested & ranked
    assert load_model(results).missing_batches == []


def test_classes_and_columns_are_the_same_in_model_and_predictions(awkward):
    results = awkward.folder / "results"
    model = load_model(results)
    classes = list(CLASSES.values())
    assert list(model.classes) == classes
    assert FEATURE in model.columns_in_
    table = pl.read_parquet(results / "predictions/new.parquet")
    probability = table.select(f"probability_{name}" for name in classes)
    expected = model.predict_proba(pl.read_parquet(awkward.folder / NEW))
    assert (abs(probability.to_numpy() - expected) < 1e-6).all()
    metrics = pl.read_csv(results / "evaluation/metrics.tsv", separator="\t")
    assert set(metrics["class"]) == {*classes, "all"}
    around = pl.read_csv(results / "neighbours/neighbours.tsv", separator="\t")
    assert set(around["class"]) == {*classes} - {CLASSES["neither"]}
    assert set(around["part"]) == {"test", "training", "b000"}


def test_no_name_is_markup_on_the_page_or_in_the_card(awkward):
    folder = awkward.folder / "results/report"
    for name, own in {"index.html": 1, "MODEL_CARD.md": 0}.items():
        text = (folder / name).read_text()
        assert "&lt;script>" in text.replace("&gt;", ">")
        assert text.count("<script") == own  # the page sorts its tables


def test_such_a_run_is_finished_and_can_be_moved(awkward, tmp_path):
    folder = tmp_path / "plain"
    assert not Run.copied(awkward.folder, folder).planned()
    usage = read_json(folder / "results/usage/train_batch/b000.json")
    assert usage["peak_mb"] > 0
