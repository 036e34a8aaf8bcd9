"""Tests of steps.neighbours: fold models that never saw a gene, and where scores are highest."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from genebatch.config.settings import Neighbours
from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_pass import Part, _metadata
from genebatch.io.files import InputError, write_parquet
from genebatch.io.tables import read_tsv
from genebatch.metrics.neighbours import OFFSETS, TEST
from genebatch.model.archive import load_model
from genebatch.model.calibration import identity, sigmoid
from genebatch.model.ensemble import EQUAL
from genebatch.model.origin import Origin
from genebatch.steps.neighbours import neighbours, neighbours_batch
from tests.builders import called_genome as made_calls
from tests.builders import complete_tracks as made_tracks
from tests.builders.annotations import READING
from tests.builders.held_genome import write_gtf
from tests.builders.small_table import resolved
from tests.builders.tables_and_figures import is_picture

SETTINGS = Neighbours(sites=100, seed=3)
FOLD = {"long": 0, "inner": 0, "across": 0, "other": 1}  # `other` lies on a chromosome of its own
MARGINS = [f"margin_{name}" for name in made_calls.CLASSES]


class Batch:
    """The files of a batch of the made genome, of which a group is a fold."""

    def __init__(self, folder, made):
        self.folder, self.made = folder, made
        origin = Origin("rows", {})
        # The members stand for fold models, whatever they were trained on.
        self.folds = [
            member._replace(
                name=f"fold{fold}",
                groups=tuple(name for name in FOLD if FOLD[name] != fold),
                facts=member.facts | {"fold": fold, **origin.facts()},
            )
            for fold, member in enumerate(reversed(made.model.members))
        ]
        rows = pl.concat(self.rows(name) for name in FOLD)
        write_parquet(folder / "out_of_fold.parquet", rows, origin.metadata())
        self.save("folds.gbm", self.folds)
        self.write_model(identity(np.zeros(1)))
        self.write_rows_file()
        table = pl.DataFrame({"gene_id": FOLD.keys(), "group": FOLD.keys()})
        table.write_csv(folder / "genes.tsv", separator="\t")

    def save(self, name, members):
        replace(self.made.model, members=tuple(members), combiner=EQUAL).save(self.folder / name)

    def write_rows_file(self):
        """A row file without rows; only what it says of the features counts."""
        groups = pl.DataFrame({"rows": pl.Series([], dtype=pl.Int64)})
        facts = {"sequence": {"features": made_calls.SPEC.plain()}}
        labels = resolved().table.labels
        metadata = _metadata(Part("b000", "key", groups, facts), "", Features((), 0), labels)
        with pa.ipc.new_file(self.folder / "rows.arrow", pa.schema([], metadata)):
            pass

    def write_model(self, calibrator):
        """The finished model of the batch."""
        whole = self.folds[0]._replace(
            name="b000", groups=tuple(FOLD), calibrators=(calibrator,) * 3
        )
        self.save("model.gbm", [whole])

    def margins(self, name):
        """Raw log-odds of the fold model that never saw a gene, at all its positions."""
        unseen = replace(self.made.model, members=(self.folds[FOLD[name]],), combiner=EQUAL)
        return unseen.frame_margins(self.made.features(self.made.gene(name)))[:, 0]

    def rows(self, name):
        gene = self.made.gene(name)
        columns = {"group": [name] * gene.length, "fold": [FOLD[name]] * gene.length}
        labels = np.array(made_calls.CLASSES)[made_calls._codes(gene)]
        margins = pl.DataFrame(self.margins(name), schema=MARGINS)
        return pl.DataFrame(columns | {"label": labels}).hstack(margins)

    def measure(self, **changes):
        _, fasta, genes, scores = self.made.files
        files = {
            "rows": "rows.arrow",
            "out_of_fold": "out_of_fold.parquet",
            "models": "folds.gbm",
            "model": "model.gbm",
        }
        paths = {key: self.folder / name for key, name in files.items()}
        given = paths | {"fasta": fasta, "genes": genes, "scores": scores}
        given |= {"table": self.folder / "genes.tsv", "windows": self.folder / "windows.parquet"}
        given |= {"batch": "b000", "reading": READING, "unscored": "error", "threads": 1}
        given |= {"use_weights": False, "neighbours": SETTINGS}
        neighbours_batch(**given | changes)
        return pl.read_parquet(given["windows"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return made_calls.make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def batch(made, tmp_path):
    return Batch(tmp_path, made)


def of_site_class(part, values):
    """The values, by position and class, of windows that are scored."""
    at = (part["position"] + part["offset"]).to_numpy()
    column = (part["class"] == "acceptor").to_numpy().astype(int)
    return values[at, 1 + column]


def test_every_gene_is_scored_by_the_fold_model_that_never_saw_it(batch):
    windows = batch.measure()
    assert windows["batch"].unique().to_list() == ["b000"]
    for (name,), part in windows.partition_by("gene", as_dict=True).items():
        kept = part.filter(pl.col("left_out").is_null())
        raw = 1 / (1 + np.exp(-batch.margins(name).astype(np.float64)))
        wanted = raw / raw.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(kept["model"], of_site_class(kept, wanted), rtol=1e-5)
    assert set(windows["gene"]) == set(FOLD)


def test_a_fold_model_that_was_trained_on_a_gene_is_refused(batch):
    swapped = [
        member._replace(groups=other.groups)
        for member, other in zip(batch.folds, reversed(batch.folds), strict=True)
    ]
    batch.save("folds.gbm", swapped)
    with pytest.raises(InputError, match="fold 0: member fold0 was trained on"):
        batch.measure()


def test_calibrators_are_fitted_on_the_other_folds(batch):
    rows = pl.read_parquet(batch.folder / "out_of_fold.parquet")
    y = (rows["label"] == "donor").to_numpy()
    batch.write_model(sigmoid(rows["margin_donor"].to_numpy(), y))
    before = batch.measure()
    other = pl.col("label").replace({"donor": "acceptor", "acceptor": "donor"})
    label = pl.when(pl.col("fold") == 1).then(other).otherwise("label").alias("label")
    changed = rows.with_columns(label)
    assert not changed["label"].equals(rows["label"])
    write_parquet(batch.folder / "out_of_fold.parquet", changed, Origin("rows", {}).metadata())
    after = batch.measure()
    same = pl.col("gene") == "other"  # the genes of fold 1
    assert before.filter(same).equals(after.filter(same))
    assert not before.filter(~same).equals(after.filter(~same))


def test_shifted_base_scores_show_the_shift_of_one(batch):
    scores = pl.read_csv(batch.made.files[3], separator="\t")
    moved = scores.with_columns(
        pl.col("donor", "acceptor").shift(1, fill_value=0.0).over("gene_id")
    )
    moved.write_csv(batch.folder / "moved.tsv", separator="\t")
    peaks = {}
    for name, path in (("given", batch.made.files[3]), ("moved", batch.folder / "moved.tsv")):
        windows = batch.measure(scores=path).filter(pl.col("left_out").is_null())
        highest = pl.col("base") == pl.col("base").max().over("gene", "class", "position")
        peaks[name] = windows.filter(highest)["offset"].mode().to_list()
    assert peaks == {"given": [0], "moved": [1]}


def outputs(folder):
    names = {"table": "table.tsv", "windows": "windows.parquet", "figure": "figure.png"}
    return {key: folder / name for key, name in names.items()}


def test_complete_tracks_and_batches_make_the_table_of_a_genome(batch, toy, tmp_path):
    batch.measure()
    made = made_tracks.make()
    made_tracks.positions(made.tested, made.scores).write_parquet(tmp_path / "positions.parquet")
    names = {gene.id: "unseen" for gene in made.tested}
    names |= {gene.id: names.get(gene.id, "trained") for gene in made.genes}
    table = pl.DataFrame({"gene_id": names.keys(), "group": names.values()})
    table.write_csv(tmp_path / "tested.tsv", separator="\t")
    pl.DataFrame({"group": ["unseen"]}).write_csv(tmp_path / "groups.tsv", separator="\t")
    files = outputs(tmp_path / "out")
    neighbours(
        labels=toy.settings.table.labels,
        neighbours=SETTINGS,
        batches=[tmp_path / "windows.parquet"],
        positions=tmp_path / "positions.parquet",
        genes=write_gtf(tmp_path / "tested.gtf", made.genes),
        gene_table=tmp_path / "tested.tsv",
        test_groups=tmp_path / "groups.tsv",
        reading=replace(READING, min_intron=1),
        **files,
    )
    found = read_tsv(files["table"])
    assert found["part"].unique(maintain_order=True).to_list() == [TEST, "training", "b000"]
    first = found.filter(part=TEST, system="model").sort("peak_share", descending=True)
    assert first["offset"].head(2).to_list() == [0, 0]
    assert is_picture(files["figure"])
    windows = pl.read_parquet(files["windows"])
    assert windows["batch"].unique().sort().to_list() == ["b000", TEST]


def finished_table(toy, folder, **keys):
    files = outputs(folder)
    neighbours(
        labels=replace(toy.settings.table.labels, **keys),
        neighbours=SETTINGS,
        reading=READING,
        batches=[],
        scores=toy.ensemble_files["scores"],
        predictions=toy.evaluate()["predictions"],
        **files,
    )
    return files


def test_a_finished_table_gives_the_rows_that_it_has(toy, tmp_path):
    files = finished_table(toy, tmp_path)
    table = read_tsv(files["table"])
    assert table["part"].unique(maintain_order=True).to_list() == [TEST, "training", "b000", "b001"]
    # The rows of the made data lie 3 nt apart.
    scored = table.filter(pl.col("scored") > 0)["offset"].unique().sort().to_list()
    assert scored == [-9, -6, -3, 0, 3, 6, 9]
    counts = table["scored"] + table["absent"] + table["other_sites"]
    assert counts.equals(table["sites"], check_names=False)
    assert is_picture(files["figure"])
    rows = pl.read_parquet(toy.ensemble_files["scores"])
    windows = pl.read_parquet(files["windows"]).filter(pl.col("batch") != TEST)
    assert set(windows["gene"]) <= set(rows["group"])


def test_a_table_without_positions_has_nulls_and_the_reason(toy, tmp_path):
    files = finished_table(toy, tmp_path, position=None)
    table = read_tsv(files["table"])
    assert table.height == 2 * 2 * 2 * len(OFFSETS)
    assert table["peak_share"].null_count() == table.height
    assert table["reason"].unique().to_list() == ["rows have no position; set dataset.position"]
    assert is_picture(files["figure"])


def test_the_file_of_fold_models_of_a_real_batch_has_their_folds(toy):
    folds = load_model(toy.paths("b000")["models"])
    assert [member.facts["fold"] for member in folds.members] == [0, 1, 2]
