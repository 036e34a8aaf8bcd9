"""A row file says everything about its rows; those of several batches come in one order."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genebatch.config.settings import Labels, Learner, Table
from genebatch.dataset import row_file, row_pass
from genebatch.dataset.profile import analyze
from genebatch.dataset.row_file import METADATA, Blocks, RowFile, known_rows, merged
from genebatch.io.files import InputError
from genebatch.model import boosting
from tests.builders.row_files import expected_rows, features_of, parts_of, rows_of, write_parts
from tests.builders.small_table import Analysed

NAMES = [f"g{number:02d}" for number in range(12)]
# Two groups are held by two batches, one of them by the first and the last.
DEALT = {"b000": NAMES[0:9:3], "b001": [*NAMES[1:9:3], "g00"], "b002": [*NAMES[2::3], "g04", "g06"]}
MIXED = {"shards": 3, "row_group_size": 7}


@pytest.fixture
def frame(table):
    """The small table, its rows in disorder."""
    return table().sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture
def analysed(frame, analyse):
    return analyse(frame, **MIXED)


@pytest.fixture
def parts(analysed):
    return parts_of(analysed, DEALT)


@pytest.fixture
def files(analysed, parts, tmp_path):
    return write_parts(analysed, parts, tmp_path / "rows")


def dense(block):
    return block.toarray() if sparse.issparse(block) else block


# ---- one file


def test_blocks_are_the_features_of_every_row_and_can_be_read_again(
    analysed, frame, parts, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(row_pass, "BATCH_ROWS", 17)
    (small,) = write_parts(analysed, parts[:1], tmp_path / "small")
    blocks = Blocks([small], size=1)
    assert [block.shape[0] for block in blocks] == [17, 13]
    _, features = expected_rows(frame, analysed, parts[0])
    wanted = dense(features_of(analysed).select(features))
    for _ in range(2):
        np.testing.assert_array_equal(np.vstack([dense(block) for block in blocks]), wanted)
    np.testing.assert_array_equal(np.vstack([dense(b) for b in Blocks(files[:1])]), wanted)


def test_matrix_of_small_record_batches_is_that_of_all_rows_at_once(
    analysed, frame, parts, tmp_path, monkeypatch, resolved
):
    monkeypatch.setattr(row_pass, "BATCH_ROWS", 17)
    (small,) = write_parts(analysed, parts[:1], tmp_path / "small")
    identity, features = expected_rows(frame, analysed, parts[0])
    learner: Learner = resolved().learner
    hits = (identity["label"] == "donor").to_numpy()
    boosters = [
        boosting.fit_trees(
            boosting.build_matrix(blocks, len(small.features.names), learner.max_bin, 1),
            hits,
            np.ones(len(hits)),
            None,
            5,
            learner,
        )
        for blocks in (Blocks([small]), [small.features.select(features)])
    ]
    assert boosting.to_bytes(boosters[0]) == boosting.to_bytes(boosters[1])


def test_groups_of_a_file_are_sorted_and_counted(files):
    assert files[1].groups.rows() == [(name, 10) for name in sorted(DEALT["b001"])]


@pytest.mark.parametrize("left", [0, 5, 1000, -1])
def test_a_cut_file_is_refused(files, left):
    path = files[0].path
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=r"b000\.arrow is missing or no whole file of rows; run"):
        RowFile.open(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"b000\.arrow is missing or no whole file of rows; run"):
        RowFile.open(tmp_path / "b000.arrow")


def as_arrow(path, metadata):
    """Write a file of Arrow with this metadata."""
    table = pa.table({"group": ["a"]}).replace_schema_metadata(metadata)
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)


@pytest.mark.parametrize(
    "metadata",
    [None, {"other": "1"}, {METADATA: b"{"}, {METADATA: b"\xff"}, {METADATA: b"{}"}],
)
def test_a_file_of_something_else_is_refused(tmp_path, metadata):
    as_arrow(tmp_path / "b000.arrow", metadata)
    with pytest.raises(InputError, match=r"b000\.arrow is missing or no whole file of rows"):
        RowFile.open(tmp_path / "b000.arrow")


@pytest.mark.parametrize("spoil", [{"format": 99}, {"labels": {"gruop": "a"}}, {"features": {}}])
def test_a_file_of_another_version_is_refused(files, spoil):
    with pa.OSFile(str(files[0].path)) as source:
        described = json.loads(pa.ipc.open_file(source).schema.metadata[METADATA])
    as_arrow(files[0].path, {METADATA: json.dumps(described | spoil).encode()})
    with pytest.raises(InputError, match=r"b000\.arrow is missing or no whole file of rows"):
        RowFile.open(files[0].path)


def test_a_file_that_lacks_a_column_is_refused(files):
    with pa.OSFile(str(files[0].path)) as source:
        metadata = pa.ipc.open_file(source).schema.metadata
    as_arrow(files[0].path, metadata)
    with pytest.raises(InputError, match=r"b000\.arrow cannot be read .*delete it and run"):
        list(RowFile.open(files[0].path).frames())


def test_a_file_with_other_rows_than_planned_is_refused(files):
    with pa.OSFile(str(files[0].path)) as source:
        table = pa.ipc.open_file(source).read_all()
    with pa.ipc.new_file(str(files[0].path), table.schema) as file:
        file.write_table(table[:-1])
    with pytest.raises(InputError, match=r"b000\.arrow has 29 rows but 30 were planned; delete"):
        _ = RowFile.open(files[0].path).identity


def test_damaged_text_is_refused_and_does_not_end_the_process(files):
    with pa.OSFile(str(files[0].path)) as source:
        table = pa.ipc.open_file(source).read_all().combine_chunks()
    names = table["group"].chunk(0)
    _, offsets, text = names.buffers()
    far = np.frombuffer(offsets, np.int64).copy()
    far[3] = 1 << 40
    wrong = pa.Array.from_buffers(names.type, len(names), [None, pa.py_buffer(far), text])
    place = table.schema.get_field_index("group")
    table = table.set_column(place, table.schema.field("group"), wrong)
    with pa.ipc.new_file(str(files[0].path), table.schema) as file:
        file.write_table(table)
    with pytest.raises(InputError, match=r"b000\.arrow cannot be read .*delete it and run"):
        list(RowFile.open(files[0].path).frames())


@pytest.mark.parametrize("seed", range(25))
def test_a_damaged_file_is_refused_or_has_its_planned_shape(files, seed):
    """No bit that is flipped ends the process, or makes other rows and columns."""
    rng = np.random.default_rng(seed)
    path = files[0].path
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    try:
        _, features = rows_of(RowFile.open(path).frames())
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert features.shape == (30, 3)


# ---- several files


def whole(frame, analysed, parts):
    """The rows of all parts in the order of the table, from the first part that holds them."""
    held = []
    for part in parts:
        first = part.groups.filter(~pl.col("group").is_in([n for p in held for n in p]))
        held.append(first["group"].to_list())
    owner = {name: number for number, names in enumerate(held) for name in names}
    folds = {
        name: parts[number].groups.filter(group=name)["fold"].item()
        for name, number in owner.items()
    }
    everything = parts[0]._replace(
        groups=pl.DataFrame(
            {"group": list(folds), "fold": pl.Series(folds.values(), dtype=pl.Int32)}
        )
    )
    identity, features = expected_rows(frame, analysed, everything)
    batch = [parts[owner[name]].name for name in identity["group"]]
    identity.insert_column(identity.width - 1, pl.Series("batch", batch))
    return identity, features


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_merged_rows_come_once_in_the_order_of_the_data_set_from_the_first_file(
    frame, analysed, parts, files, turn
):
    parts, files = parts[turn:] + parts[:turn], files[turn:] + files[:turn]
    identity, features = rows_of(merged(files))
    wanted = whole(frame, analysed, parts)
    assert identity.columns[-2:] == ["batch", "fold"]
    assert identity.equals(wanted[0])
    assert features.equals(wanted[1])
    assert identity.drop("batch", "fold", "label").n_unique() == identity.height == 100
    known = known_rows(files)
    in_order = np.argsort(known.places)
    assert known.identity[in_order].equals(identity.drop("batch"))
    np.testing.assert_array_equal(known.first, stored_first(files))


def stored_first(files):
    """Whether each stored row is the first of its place in the data set."""
    places = np.concatenate([file._whole(["place"])["place"].to_numpy() for file in files])
    return np.isin(np.arange(len(places)), np.unique(places, return_index=True)[1])


@pytest.mark.parametrize("size", [1, 16, 50, 100, 200])
def test_merged_rows_come_in_frames_of_one_size(
    frame, analysed, parts, tmp_path, monkeypatch, size
):
    monkeypatch.setattr(row_pass, "BATCH_ROWS", 13)
    files = write_parts(analysed, parts, tmp_path / "rows")
    monkeypatch.setattr(row_file, "BATCH_ROWS", size)
    frames = list(merged(files))
    heights = [rows.identity.height for rows in frames]
    assert heights == [rows.features.height for rows in frames]
    assert heights[:-1] == [size] * (100 // size - (100 % size == 0))
    assert sum(heights) == 100
    assert rows_of(frames)[0].equals(whole(frame, analysed, parts)[0])


@pytest.mark.parametrize("chosen", [["g05"], ["g00", "g04", "g11"], NAMES, ["elsewhere"]])
def test_merged_rows_of_some_groups_are_those_of_all_rows(
    frame, analysed, parts, tmp_path, monkeypatch, chosen
):
    monkeypatch.setattr(row_pass, "BATCH_ROWS", 13)
    files = write_parts(analysed, parts, tmp_path / "rows")
    groups = pl.Series(chosen)
    kept = pl.col("group").is_in(groups.implode())
    wanted = whole(frame, analysed, parts)[0].filter(kept)
    parts = list(merged(files, groups=groups))
    assert len(parts) == bool(wanted.height)  # no frame is empty
    if parts:
        identity, features = rows_of(parts)
        assert identity.equals(wanted)
        every = [
            rows.features.filter(rows.identity.select(kept)["group"]) for rows in merged(files)
        ]
        assert features.equals(pl.concat(every))


def test_record_batches_without_a_row_of_the_groups_are_not_read(files, monkeypatch):
    """But for the names of their groups."""
    read, columns = row_file._frame, []

    def counted(reader, number):
        frame = read(reader, number)
        columns.append(frame.width)
        return frame

    monkeypatch.setattr(row_file, "_frame", counted)
    assert not list(files[0].placed_frames(groups=pl.Series(["elsewhere"])))
    assert set(columns) == {1}


def test_rows_of_one_file_are_merged_as_they_are(files):
    identity, features = rows_of(merged(files[:1]))
    assert identity.drop("batch").equals(files[0].identity)
    assert identity["batch"].unique().to_list() == ["b000"]
    assert features.equals(rows_of(files[0].frames())[1])


# ---- any table

# Names of columns of our own, of the table of groups and of features as they are stored.
AWKWARD = ["fold", "place", "place_", "part", "batch", "label", "group", "score_donor", "score_a"]
AWKWARD += ["position", "weight", "row", "rows", "name", "chunks", "first", "feature:x", "x"]
AWKWARD += ["feature:feature:x", "feature:group", "two words", "ä", "a.b", "n_donor", "digest"]
CLASS_NAMES = {
    pl.String: ["a", "donor"],
    pl.Categorical: ["b", "a"],
    pl.Int16: ["1", "0"],
    pl.Boolean: ["true", "false"],
}
NUMBERS = [pl.Float32, pl.Float64, pl.UInt8, pl.Int32, pl.UInt64, pl.Boolean]


def as_names(codes, kind, names):
    """Names of some codes as a column of a kind."""
    text = pl.Series([names[code] for code in codes], dtype=pl.String)
    return text == "true" if kind is pl.Boolean else text.cast(kind)


@st.composite
def awkward_tables(draw):
    """A table whose columns have awkward names and types, and its keys of `dataset`."""
    names = draw(st.permutations(AWKWARD))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(8, 50))
    columns = {}

    def add(values):
        columns[names.pop()] = values
        return list(columns)[-1]

    def numbers(kind, low=0):
        if kind in (pl.Float32, pl.Float64):
            return pl.Series(rng.random(n_rows) + low, dtype=kind)
        return pl.Series((rng.integers(0, 9, n_rows) * (rng.random(n_rows) < 0.4)) + low).cast(kind)

    kind = draw(st.sampled_from(list(CLASS_NAMES)))
    groups = ["true", "false"] if kind is pl.Boolean else [str(n) for n in range(5)]
    keys = {"group": add(as_names(rng.integers(0, len(groups), n_rows), kind, groups))}
    kind = draw(st.sampled_from(list(CLASS_NAMES)))
    classes = CLASS_NAMES[kind]
    labels = as_names([0, 1, *rng.integers(0, 2, n_rows - 2)], kind, classes)
    keys |= {"classes": classes, "null_label": None, "rest_class": None, "scores": None}
    if draw(st.booleans()):
        keys["null_label"] = draw(st.sampled_from(classes))
        empty = pl.Series([False] * 2 + [True] * 2 + [False] * (n_rows - 4))
        labels = pl.select(pl.when(~empty).then(labels)).to_series()
    keys["label"] = add(labels)
    optional = {"weight": pl.Float32, "position": pl.UInt16}
    for key, kind in optional.items():
        values = numbers(kind, 1) if key == "weight" else pl.Series(rng.permutation(n_rows))
        keys[key] = add(values.cast(kind)) if draw(st.booleans()) else None
    if draw(st.booleans()):
        kind = draw(st.sampled_from([pl.Float32, pl.Float64]))
        keys["scores"] = {name: add(pl.Series(rng.random(n_rows), dtype=kind)) for name in classes}
    for kind in draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6)):
        add(numbers(kind))
    order = draw(st.permutations(list(columns)))
    return pl.DataFrame({name: columns[name] for name in order}), keys


@given(
    awkward=awkward_tables(),
    row_group_size=st.integers(3, 60),
    cut=st.integers(1, 7),
    lent=st.booleans(),
)
@settings(max_examples=40)
def test_rows_of_any_table_are_those_of_the_table(
    tmp_path_factory, awkward, row_group_size, cut, lent
):
    frame, keys = awkward
    folder = tmp_path_factory.mktemp("awkward")
    for number, rows in enumerate((frame[:cut], frame[cut:])):
        rows.write_parquet(folder / f"{number}.parquet", row_group_size=row_group_size)
    others = {"path": str(folder), "metadata": (), "exclude": (), "categorical": ()}
    others |= {"infinite": "error"}
    section = Table(labels=Labels.build(keys), **others)
    analysed = Analysed(section, *analyze(section, None))
    names = analysed.groups["group"].to_list()
    half = max(len(names) // 2, 1)
    dealt = {"b000": names[:half], "b001": names[half - lent :] or names}
    parts = parts_of(analysed, dealt)
    files = write_parts(analysed, parts, folder / "rows")
    for part, file in zip(parts, files, strict=True):
        wanted = expected_rows(frame, analysed, part)
        for rows, expected in zip(rows_of(file.frames()), wanted, strict=True):
            assert rows.equals(expected)
            assert rows.schema == expected.schema
        blocks = np.vstack([dense(block) for block in Blocks([file])])
        np.testing.assert_array_equal(blocks, dense(features_of(analysed).select(wanted[1])))
        assert file.labels == section.labels
    identity, features = whole(frame, analysed, parts)
    for rows, expected in zip(rows_of(merged(files)), (identity, features), strict=True):
        assert rows.equals(expected)
    known = known_rows(files)
    assert known.identity[np.argsort(known.places)].equals(identity.drop("batch"))


def test_places_of_two_to_the_63_are_told_apart():
    places = np.array([7, 2**63 + 1, 2**63, 7, 2**63 + 1], np.uint64)
    assert row_file._order(places).tolist() == [0, 2, 1]


def test_only_wanted_features_are_read(files, monkeypatch):
    names = list(files[0].features.names)
    wanted = [names[-1], names[0], "elsewhere"]
    asked = []
    read = RowFile._read
    monkeypatch.setattr(
        RowFile,
        "_read",
        lambda self, columns, groups=None: asked.append(columns) or read(self, columns, groups),
    )
    for frames in (files[0].frames(wanted), merged(files, wanted)):
        identity, features = rows_of(frames)
        assert features.columns == [names[0], names[-1]]
        assert identity.height == features.height
    stored = {name for columns in asked for name in columns if name.startswith("feature:")}
    scores = (files[0].labels.scores or {}).values()
    assert stored == {f"feature:{name}" for name in (names[0], names[-1], *scores)}
    everything = rows_of(merged(files))[1]
    assert rows_of(merged(files, wanted))[1].equals(everything.select(names[0], names[-1]))
