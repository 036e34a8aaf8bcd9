"""Steps from the input table to the plan and the row files: files in, files out."""

import logging
import os
from pathlib import Path

import polars as pl
import pytest

from genebatch.dataset.feature_set import Features
from genebatch.dataset.profile import analyze
from genebatch.dataset.row_file import RowFile
from genebatch.dataset.screen import Analysed, screen
from genebatch.dataset.shards import described
from genebatch.dataset.similarity import describe
from genebatch.groups import hold_out, read_groups_list
from genebatch.io.files import InputError, read_json
from genebatch.plan.coverage import coverage, times_held
from genebatch.plan.planning import whole_needs
from genebatch.steps import dataset as steps
from tests.builders.plans import PLENTY, config, make_groups, planned
from tests.builders.small_table import CLASSES, make_table, resolved
from tests.builders.tables_and_figures import set_cells

PLANNED = ("manifest", "planned", "dataset", "memory", "coverage", "times_held")


class Files:
    """The files of the first rules under a folder, made by their steps from the small table."""

    def __init__(self, folder, **sections):
        batching = {"max_groups": 4, "min_groups": 2, "min_positives": 1}
        sections = {"cv": {"n_splits": 3}, "test": {"groups": ["g02", "g07"]}} | sections
        sections["batching"] = batching | sections.get("batching", {})
        self.folder = folder
        path = {"path": str(folder / "data")}
        self.settings = resolved(dataset=path, **sections)

    def __getitem__(self, name):
        return self.folder / name

    def of(self, names):
        """Paths by name, as a step takes them."""
        return {name: self[name] for name in names.split()}

    def write(self, frame, n_shards=3):
        self["data"].mkdir(exist_ok=True)
        size = -(-frame.height // n_shards)
        for number, rows in enumerate(frame.iter_slices(size)):
            rows.write_parquet(self["data"] / f"part-{number}.parquet", row_group_size=7)

    def analyze(self):
        table = self.settings.table
        steps.analyze_dataset(table=table, test_column=None, threads=1, **self.of("profile groups"))

    def choose(self):
        steps.choose_test_groups(
            test=self.settings.test,
            keep=self.settings.batching.keep,
            **self.of("groups test_groups"),
        )

    def screen(self):
        steps.screen_features(
            labels=self.settings.table.labels,
            screening=self.settings.screen,
            **self.of("profile groups test_groups features screened"),
        )

    def describe(self):
        steps.describe_groups(
            similar_by=self.settings.batching.similar_by,
            **self.of("profile groups test_groups features group_features similarity"),
        )

    def plan(self, **more):
        steps.plan_batches(
            batching=self.settings.batching,
            planning=self.settings.planning,
            budget_mb=PLENTY,
            batch_threads=2,
            rows=self["rows"],
            **self.of("profile groups test_groups features"),
            **self.of(" ".join(PLANNED)),
            **more,
        )

    def prepare(self, frame):
        """Everything before the plan."""
        self.write(frame)
        self.analyze()
        self.choose()
        self.screen()

    @property
    def groups(self):
        return pl.read_parquet(self["groups"])

    @property
    def training(self):
        return self.groups.filter(~pl.col("group").is_in(read_groups_list(self["test_groups"])))

    @property
    def manifest(self):
        return pl.read_csv(self["manifest"], separator="\t")

    def row_files(self):
        return {path.stem: RowFile.open(path) for path in sorted(self["rows"].glob("*.arrow"))}


@pytest.fixture
def files(tmp_path):
    """The small table, ready to be planned."""
    files = Files(tmp_path)
    files.prepare(make_table())
    return files


# ---- analyze_dataset


def test_the_files_hold_the_analysis(files):
    profile, groups = analyze(files.settings.table, None)
    assert read_json(files["profile"]) == profile
    assert files.groups.equals(groups)


@pytest.mark.parametrize("fault", ["a wrong cell", "a cut shard"])
def test_an_analysis_that_fails_writes_nothing(tmp_path, fault):
    files = Files(tmp_path)
    files.write(set_cells(make_table(), "splice_type", [5], "branch"))
    if fault == "a cut shard":
        path = files["data"] / "part-1.parquet"
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="branch" if fault == "a wrong cell" else "part-1"):
        files.analyze()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# ---- choose_test_groups


def chosen(folder, groups, test, keep=None):
    """The groups that are set aside."""
    groups.write_parquet(folder / "groups")
    steps.choose_test_groups(
        groups=folder / "groups", test=test, keep=keep, test_groups=folder / "test_groups"
    )
    return read_groups_list(folder / "test_groups")


def test_test_groups_come_from_the_config(tmp_path):
    groups = make_groups()
    test = config(test={"column": "chrom", "values": ["chr2"]}).test
    wanted = groups.filter(pl.col("fact.chrom") == "chr2")["group"].to_list()
    assert chosen(tmp_path, groups, test) == wanted
    share = config(test={"fraction": 0.3}).test
    wanted = groups.filter(hold_out(groups, share))["group"].to_list()
    assert chosen(tmp_path, groups, share) == wanted


def test_group_names_that_look_like_numbers_stay_text(tmp_path):
    numbered = make_groups().with_columns(pl.format("0{}", pl.int_range(pl.len())).alias("group"))
    test = config(test={"groups": ["01", "07"]}).test
    assert chosen(tmp_path, numbered, test) == ["01", "07"]


@pytest.fixture
def kept(tmp_path):
    """The file of an earlier plan with two test groups."""
    path = tmp_path / "kept.parquet"
    planned(make_groups(), ["g03", "g11"], config()).groups.write_parquet(path)
    return str(path)


def test_a_kept_plan_of_other_groups_is_refused(kept, tmp_path):
    other = make_groups().with_columns(pl.format("other_{}", "group").alias("group"))
    message = r"batching\.keep: none of the 40 groups of .*kept\.parquet is in the data: g00, g01"
    for test in ({"fraction": 0.25}, {"groups": ["other_g03"]}):
        with pytest.raises(InputError, match=f"{message}.*the data has other_g00, .*keep: null"):
            chosen(tmp_path, other, config(test=test).test, kept)


def test_groups_of_a_kept_plan_are_counted_and_missing_ones_named(kept, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    chosen(tmp_path, make_groups(45), config(test={"fraction": 0.25}).test, kept)
    assert "40 of 40 groups of the kept plan are in the data, which has 5 new ones" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    chosen(tmp_path, make_groups(38), config(test={"fraction": 0.25}).test, kept)
    (warning,) = (r.message for r in caplog.records if r.levelno > logging.INFO)
    assert "2 of 40 groups of the kept plan are not in the data: g38, g39" in warning


def test_kept_test_groups_stay_and_new_ones_join_by_fraction(kept, tmp_path):
    groups = chosen(tmp_path, make_groups(60), config(test={"fraction": 0.1}).test, kept)
    assert set(groups) & set(make_groups()["group"]) == {"g03", "g11"}
    assert len(groups) == 6  # a tenth of 60


def test_named_test_groups_are_taken_whatever_an_earlier_plan_says(kept, tmp_path):
    test = config(test={"groups": ["g05"]}).test
    assert chosen(tmp_path, make_groups(), test, kept) == ["g05"]


def test_lost_test_groups_of_an_earlier_plan_are_told_and_the_remedies_work(kept, tmp_path):
    groups = make_groups().filter(~pl.col("group").is_in(["g03", "g11"]))
    share = config(test={"fraction": 0.2}).test
    with pytest.raises(InputError, match=r"batching\.keep sets aside 0 of 38 groups"):
        chosen(tmp_path, groups, share, kept)
    assert not (tmp_path / "test_groups").exists()
    assert chosen(tmp_path, groups, config(test={"groups": ["g05"]}).test, kept) == ["g05"]
    column = config(test={"column": "chrom", "values": ["chr2"]}).test
    assert len(chosen(tmp_path, groups, column, kept)) == 10
    assert chosen(tmp_path, groups, share, keep=None)


# ---- screen_features


def test_the_files_hold_the_screen_of_training_groups(tmp_path):
    files = Files(tmp_path)
    donor = (pl.col("splice_type") == "donor").cast(pl.Float64)
    leak = pl.when(pl.col("gene_id") == "g07").then(1 - donor).otherwise(donor)
    files.prepare(make_table().with_columns(leak.alias("leak"), same=pl.lit(2)))
    profile, groups = analyze(files.settings.table, None)
    data = Analysed(*described(profile), profile["columns"])
    training = groups.filter(~pl.col("group").is_in(["g02", "g07"]))
    settings = files.settings
    wanted = screen(data, training, settings.table.labels, settings.screen)
    assert read_json(files["features"]) == wanted.features
    assert wanted.features["names"] == ["noise", "ties", "kmer"]
    lines = pl.read_csv(files["screened"], separator="\t")
    assert lines.columns == wanted.table.columns
    assert lines["reason"].equals(wanted.table["reason"])
    assert lines.filter(column="leak")["reason"].item().startswith("leak: alone it has AUC 1.0000")


# ---- describe_groups


def test_the_files_hold_what_training_groups_are_like(files):
    files.settings = Files(
        files.folder, batching={"strategy": "similarity", "similar_by": ["noi*", "ties"]}
    ).settings
    files.describe()
    _, shards = described(read_json(files["profile"]))
    names = read_json(files["features"])["names"]
    wanted = describe(shards, files.training, "gene_id", names, ["noi*", "ties"])
    groups = pl.read_parquet(files["group_features"])
    assert groups.equals(wanted.groups)
    assert groups.columns == ["group", "noise", "ties"]
    assert not {"g02", "g07"} & set(groups["group"])
    assert read_json(files["similarity"]) == wanted.similarity


# ---- plan_batches


def test_the_files_hold_the_plan(files):
    files.plan()
    features = read_json(files["features"])
    plan = planned(files.groups, ["g02", "g07"], files.settings, features=features)
    assert pl.read_parquet(files["planned"]).equals(plan.groups)
    assert files.manifest.equals(plan.manifest)
    assert read_json(files["memory"]) == whole_needs(plan, features, files.settings.planning)
    covered = pl.read_csv(files["coverage"], separator="\t")
    assert covered.equals(coverage(plan.groups, CLASSES))
    times = pl.read_csv(files["times_held"], separator="\t")
    assert times.equals(times_held(plan.groups))


def test_what_later_rules_tell_of_the_data_set_names_no_shard(files):
    files.plan()
    told, profile = read_json(files["dataset"]), read_json(files["profile"])
    size = sum(path.stat().st_size for path in files["data"].iterdir())
    assert (told.pop("files"), told.pop("bytes")) == (3, size)
    assert told == {key: value for key, value in profile.items() if key != "shards"}
    assert str(files["data"]) not in files["dataset"].read_text()


def test_each_batch_and_the_test_groups_have_their_rows_in_a_file(files):
    files.plan()
    rows = files.row_files()
    plan = pl.read_parquet(files["planned"])
    assert list(rows) == [*files.manifest["batch"], "test"] == ["b000", "b001", "b002", "test"]
    keys = dict(files.manifest.select("batch", "key").iter_rows())
    folds = plan.select("group", "fold")
    for name, file in rows.items():
        test = pl.col("test") if name == "test" else pl.col("batch") == name
        groups = plan.filter(test)["group"].to_list()
        wanted = make_table().filter(pl.col("gene_id").is_in(groups))
        assert file.key == keys.get(name, file.key)
        assert file.features == Features.from_json(read_json(files["features"]))
        identity = file.identity
        assert identity["group"].equals(wanted["gene_id"], check_names=False)
        assert identity["position"].equals(wanted["position"])
        fold = wanted.join(
            folds, left_on="gene_id", right_on="group", how="left", maintain_order="left"
        )
        assert identity["fold"].equals(fold["fold"])
    assert set(rows["test"].identity["group"]) == {"g02", "g07"}


def test_similar_groups_are_planned_by_their_features(tmp_path):
    batching = {"strategy": "similarity", "similar_by": ["kind"]}
    files = Files(tmp_path, batching=batching, test={"groups": ["g00", "g01", "g02"]})
    kind = pl.col("gene_id").str.slice(1).cast(pl.Int32) % 3
    noise = (pl.col("noise") / 100).cast(pl.Float64)
    files.prepare(make_table().with_columns((kind + noise).alias("kind")))
    files.describe()
    files.plan(group_features=files["group_features"])
    plan = pl.read_parquet(files["planned"]).drop_nulls("batch")
    kinds = plan.with_columns(kind=pl.col("group").str.slice(1).cast(pl.Int32) % 3)
    assert kinds.group_by("batch").agg(pl.col("kind").n_unique())["kind"].to_list() == [1, 1, 1]


def stamps(files):
    return {path.stem: path.stat().st_mtime_ns for path in files["rows"].glob("*.arrow")}


def test_the_plan_of_the_same_data_writes_no_rows_again(files):
    files.plan()
    before = stamps(files)
    for path in files["data"].iterdir():
        os.utime(path)
    files.analyze()
    files.plan()
    assert stamps(files) == before


def test_a_changed_group_writes_every_batch_of_its_shard_again_but_changes_one_key(files):
    files.plan()
    before, manifest = stamps(files), files.manifest
    files.write(set_cells(make_table(), "noise", [55], 0.25))  # of g05, in the second shard
    files.analyze()
    files.plan()
    (batch,) = pl.read_parquet(files["planned"]).filter(group="g05")["batch"]
    changed = files.manifest.filter(files.manifest["key"] != manifest["key"])["batch"]
    assert changed.to_list() == [batch]
    rows = files.row_files()[batch]
    assert rows.key == files.manifest.filter(batch=batch)["key"].item()
    again = {name for name, stamp in stamps(files).items() if stamp != before[name]}
    second = {f"g{number:02d}" for number in range(4, 8)}
    holding = {
        name for name, file in files.row_files().items() if second & set(file.groups["group"])
    }
    assert again == holding
    assert batch in again


def test_a_group_in_another_order_changes_the_key_of_its_batch_alone(files):
    files.plan()
    manifest = files.manifest
    order = list(range(120))
    order[55], order[56] = 56, 55
    files.write(make_table()[order])
    files.analyze()
    files.plan()
    (batch,) = pl.read_parquet(files["planned"]).filter(group="g05")["batch"]
    changed = files.manifest.filter(files.manifest["key"] != manifest["key"])["batch"]
    assert changed.to_list() == [batch]


def test_a_shard_in_front_changes_no_key_of_a_kept_plan(files, tmp_path):
    files.plan()
    manifest = files.manifest
    kept = str(tmp_path / "kept.parquet")
    Path(kept).write_bytes(files["planned"].read_bytes())
    files.settings = Files(
        files.folder, batching={"keep": kept}, test={"groups": ["g02", "g07", "new"]}
    ).settings
    new = make_table()[:10].with_columns(pl.lit("new").alias("gene_id"))
    new.write_parquet(files["data"] / "a-first.parquet")
    files.analyze()
    files.choose()
    files.plan()
    assert files.manifest.equals(manifest)
    assert set(files.row_files()["test"].identity["group"]) == {"g02", "g07", "new"}


def test_a_shard_that_changed_since_the_analysis_leaves_no_plan(files):
    files.write(make_table(n_groups=11))
    with pytest.raises(InputError, match="run the workflow again"):
        files.plan()
    assert not any(files[name].exists() for name in PLANNED)
    assert not any(files["rows"].iterdir())
