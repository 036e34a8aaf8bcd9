"""Sizes of a data set and of gene models."""

import gzip

import polars as pl
import pyarrow.parquet as pq

from genebatch.jobs.sizes import annotation_mb, data_size, groups_of, junctions_mb, text_size


def test_rows_and_cells_of_all_shards_are_counted(tmp_path):
    columns = {"gene": pl.String, "flag": pl.Boolean, "count": pl.UInt8, "score": pl.Float32}
    shards = []
    for number, rows in enumerate((5, 0, 7)):
        values = {"gene": ["g"] * rows, "flag": [True] * rows, "count": [1] * rows}
        frame = pl.DataFrame(values | {"score": [0.5] * rows}, schema=columns)
        shards.append(tmp_path / f"part-{number}.parquet")
        frame.write_parquet(shards[-1])
    size = data_size(shards)
    # Text counts 24 bytes, the others 1, 1 and 4.
    assert (size.rows, size.columns, size.row_bytes) == (12, 4, 30)


def test_the_largest_row_group_and_footer_count(tmp_path):
    frame = pl.DataFrame({"position": range(1000)})
    shards = [tmp_path / name for name in ("large.parquet", "small.parquet")]
    frame.write_parquet(shards[0], row_group_size=600)
    frame.write_parquet(shards[1], row_group_size=100)
    large, small = (pq.ParquetFile(path).metadata for path in shards)
    size = data_size(shards)
    assert size.row_group_bytes == large.row_group(0).total_byte_size
    assert size.row_group_bytes > small.row_group(0).total_byte_size
    assert size.footer_bytes == small.serialized_size > large.serialized_size


def test_a_table_of_text_has_the_most_columns_and_the_largest_file_that_can_be_read(tmp_path):
    texts = {"a.csv": b"a,b,c\n1,2,3\n", "b.csv": b"a,b\n" + b"1,2\n" * 2**18}
    texts |= {"c.csv.gz": gzip.compress(texts["a.csv"], mtime=0), "d.csv": b"PK\x03\x04" * 2**20}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    columns, text_mb = text_size([tmp_path / name for name in texts])
    assert columns == 3
    assert text_mb == (4 + 4 * 2**18) / 2**20
    packed = text_size([tmp_path / "c.csv.gz"]).text_mb
    assert packed == 10 * (tmp_path / "c.csv.gz").stat().st_size / 2**20


def test_groups_are_the_rows_of_the_per_group_table(tmp_path):
    groups = pl.DataFrame({"group": [f"g{number}" for number in range(7)]})
    groups.write_parquet(tmp_path / "groups.parquet")
    assert groups_of(tmp_path / "groups.parquet") == 7


def test_annotation_needs_memory_by_the_size_of_its_text(tmp_path):
    text = b"chr1\tmade\texon\t1\t9\t.\t+\t.\t" * 40_000
    (tmp_path / "genes.gtf").write_bytes(text)
    plain = annotation_mb(tmp_path / "genes.gtf")
    assert 1.6 <= plain / (len(text) / 2**20) <= 3.5
    with gzip.open(tmp_path / "genes.gtf.gz", "wb") as stream:
        stream.write(text)
    packed = (tmp_path / "genes.gtf.gz").stat().st_size / 2**20
    assert annotation_mb(tmp_path / "genes.gtf.gz") >= 25 * packed
    assert annotation_mb(tmp_path / "absent.gtf") == 0


def test_junctions_take_twenty_times_their_text(tmp_path):
    plain, packed = tmp_path / "SJ.out.tab", tmp_path / "SJ.out.tab.gz"
    text = b"x" * 2**21  # 2 MB
    plain.write_bytes(text)
    packed.write_bytes(b"\x1f\x8b" + text)
    assert junctions_mb(plain) == 40
    assert junctions_mb(packed) > 6 * 40
    assert junctions_mb(tmp_path / "absent") == 0
