"""Row files of small tables, and what they should hold."""

import json

import polars as pl
import pyarrow as pa

from genebatch.dataset.feature_set import Features
from genebatch.dataset.row_file import FEATURE, METADATA, RowFile
from genebatch.dataset.row_pass import Part, write_row_files
from genebatch.plan.planning import batch_key


def features_of(analysed):
    """Every column of an analysed table that may become a feature."""
    names = analysed.roles.candidates
    return Features.order({name: analysed.profile["columns"][name]["kind"] for name in names})


def parts_of(analysed, dealt):
    """What each file holds, by the names of its groups; a group may be in several files.

    The groups of a file take the three folds in turn.
    """
    features, labels = features_of(analysed), analysed.table.labels
    parts = []
    for number, (name, names) in enumerate(dealt.items()):
        fold = ((pl.int_range(pl.len()) + number) % 3).cast(pl.Int32).alias("fold")
        groups = analysed.groups.filter(pl.col("group").is_in(names)).with_columns(fold)
        parts.append(Part(name, batch_key(groups, features.digest, labels), groups))
    return parts


def write_parts(analysed, parts, folder):
    """Write the row files, and open them."""
    write_row_files(analysed.shards, parts, features_of(analysed), analysed.table.labels, folder)
    return [RowFile.open(folder / f"{part.name}.arrow") for part in parts]


def expected_rows(frame, analysed, part):
    """Identity and features that the file of a part should hold, from the whole table."""
    labels = analysed.table.labels
    group, label = (frame[name].cast(pl.String) for name in (labels.group, labels.label))
    if labels.null_label is not None:
        label = label.fill_null(labels.null_label)
    columns = {"group": group, "label": label}
    if labels.position:
        columns["position"] = frame[labels.position]
    if labels.weight:
        columns["weight"] = frame[labels.weight].cast(pl.Float64)
    columns |= {f"score_{name}": frame[column] for name, column in (labels.scores or {}).items()}
    folds = dict(part.groups.select("group", "fold").iter_rows())
    columns["fold"] = pl.Series([folds.get(name) for name in group], dtype=pl.Int32)
    features = pl.DataFrame({name: frame[name] for name in features_of(analysed).names})
    held = group.is_in(list(folds))
    return pl.DataFrame(columns).filter(held), features.filter(held)


def rows_of(frames):
    """Identity and features of frames, put together."""
    identity, features = zip(*frames, strict=True)
    return pl.concat(identity), pl.concat(features)


def with_feature(file, path, name, values):
    """A copy of a row file in which other values, under a name of their own, are a feature."""
    names = list(file.features.names)
    old = next(own for own in names if own not in (file.labels.scores or {}).values())
    with pa.OSFile(str(file.path)) as source:
        table = pa.ipc.open_file(source).read_all()
    place = table.schema.names.index(FEATURE + old)
    table = table.set_column(place, FEATURE + name, values.to_arrow())
    described = json.loads(table.schema.metadata[METADATA])
    described["features"]["names"] = [name if own == old else own for own in names]
    metadata = table.schema.metadata | {METADATA: json.dumps(described).encode()}
    table = table.replace_schema_metadata(metadata)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return RowFile.open(path)
