"""Content digests: every change is seen, and a file that stays is read once."""

import hashlib
import os
import shutil

import pytest

from genebatch.io import digests
from genebatch.io.digests import KeptDigests


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that were read, one for each time."""
    names = []

    def recorded(path, read=digests.content_digest):
        names.append(os.path.basename(path))
        return read(path)

    monkeypatch.setattr(digests, "content_digest", recorded)
    return names


@pytest.fixture
def settled(monkeypatch):
    """Changes count as long past."""
    monkeypatch.setattr(digests, "TICK_NS", -(10**12))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_the_digest_is_sha256_of_all_bytes(file):
    assert KeptDigests().of([file, str(file)]) == [sha(file)] * 2


def test_a_file_that_stays_is_read_once(file, tmp_path, reads, settled):
    kept = tmp_path / "kept/digests.json"
    assert [KeptDigests(kept).of([file]) for _ in range(3)] == [[sha(file)]] * 3
    assert reads == ["a.parquet"]


def test_a_file_of_the_last_moment_is_read_again(file, tmp_path, reads):
    """A second write within a tick of the clock may leave size and times as they were."""
    kept = tmp_path / "digests.json"
    for _ in range(2):
        assert KeptDigests(kept).of([file]) == [sha(file)]
    assert len(reads) == 2


def edit_in_place(path):
    with path.open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"other")


def copy_over(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, other)
    shutil.copy2(other, path)


def rename_over(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, other)
    other.replace(path)


def link_elsewhere(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, other)
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [edit_in_place, copy_over, rename_over, link_elsewhere])
def test_every_change_of_content_is_seen_at_the_same_size_and_time(file, tmp_path, change, settled):
    kept = tmp_path / "digests.json"
    before = KeptDigests(kept).of([file])
    times, size = file.stat(), file.stat().st_size
    change(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (times.st_mtime_ns, size)
    assert KeptDigests(kept).of([file]) == [sha(file)] != before


def test_a_touched_file_has_the_same_fingerprint_and_a_renamed_one_has_not(file, tmp_path, settled):
    kept = tmp_path / "digests.json"
    before = KeptDigests(kept).fingerprint([file])
    os.utime(file)
    assert KeptDigests(kept).fingerprint([file]) == before
    moved = file.rename(file.with_name("b.parquet"))
    assert KeptDigests(kept).fingerprint([moved]) != before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"x": 1}', '{"x": [[1, 2], "y"]}', '{"x": [null, "y"]}']
)
def test_damaged_kept_digests_are_made_again(file, tmp_path, text, settled):
    kept = tmp_path / "digests.json"
    kept.write_text(text)
    assert KeptDigests(kept).of([file]) == [sha(file)]
    assert str(file) in kept.read_text()


def test_a_folder_that_cannot_be_written_costs_reading_again(file, tmp_path, reads, settled):
    (tmp_path / "in_the_way").write_text("a file")
    for _ in range(2):
        assert KeptDigests(tmp_path / "in_the_way/digests.json").of([file]) == [sha(file)]
    assert len(reads) == 2
