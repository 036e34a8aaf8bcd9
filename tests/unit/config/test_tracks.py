"""The key `sequence.tracks`."""

import pytest

from genebatch.config.schema import load, relative_paths, resolve
from genebatch.config.tracks import Tracks, guessed_kind, track_files
from genebatch.io.files import InputError


def config(**tracks):
    sequence = {"fasta": "g.fa", "genes": "g.gtf", "scorer": "light", "tracks": tracks}
    return {"sequence": sequence, "dataset": {}}


def test_tracks_of_both_kinds_with_their_defaults():
    section = resolve(
        config(
            a={"kind": "number", "file": "a.bw", "strands": "both"},
            b={"kind": "number", "strands": {"plus": "p.bw", "minus": "m.bw"}},
            c={"kind": "junctions", "file": "SJ.out.tab", "role": "ignore"},
        )
    )["sequence"]["tracks"]
    tracks = Tracks.build(section)
    assert [(t.name, t.kind, t.files, t.role) for t in tracks.all] == [
        ("a", "number", {"both": "a.bw"}, "feature"),
        ("b", "number", {"plus": "p.bw", "minus": "m.bw"}, "feature"),
        ("c", "junctions", {"both": "SJ.out.tab"}, "ignore"),
    ]
    assert [t.name for t in tracks.features.all] == ["a", "b"]
    assert [t.name for t in tracks.ignored.all] == ["c"]
    assert track_files(section) == ["a.bw", "p.bw", "m.bw", "SJ.out.tab"]


def test_files_of_tracks_are_paths_of_the_run():
    made = resolve(
        config(a={"kind": "number", "file": "/x/a.bw"}, b={"kind": "junctions", "file": "b"})
    )
    assert sorted(relative_paths(made)) == ["b", "g.fa", "g.gtf", "results/table/part-*.parquet"]


NUMBER = {"kind": "number", "file": "a.bw"}


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ({"a": {"file": "a.bw"}}, r"missing key 'sequence\.tracks\.a\.kind'"),
        ({"a": {"kind": "number"}}, r"'sequence\.tracks\.a\.file' is missing: name the file"),
        (
            {"a": NUMBER | {"kind": "x"}},
            r"'sequence\.tracks\.a\.kind' is 'x': wanted number or junctions",
        ),
        (
            {"a": NUMBER | {"role": "label"}},
            r"tracks\.a\.role' is 'label': wanted feature or ignore",
        ),
        (
            {"a": NUMBER | {"strand": "+"}},
            r"unknown key 'sequence\.tracks\.a\.strand': did you mean",
        ),
        ({"a": NUMBER | {"strands": "plus"}}, r"a\.strands' is 'plus'; wanted both, or \{plus"),
        ({"a-b": NUMBER}, r"'sequence\.tracks\.a-b' is the name of a track .*; wanted letters"),
        ({"": NUMBER}, r"is the name of a track"),
        (
            {"a": NUMBER | {"strands": {"plus": "p", "minus": "m"}}},
            r"a\.strands' needs plus and minus, a file each, and then sequence\.tracks\.a",
        ),
        (
            {"a": {"kind": "number", "strands": {"plus": "p"}}},
            r"'sequence\.tracks\.a\.strands' needs plus and minus",
        ),
        (
            {"a": {"kind": "number", "strands": {"plus": "p", "minus": "p"}}},
            r"a\.strands' names p twice; set sequence\.tracks\.a\.file to it",
        ),
        (
            {"a": {"kind": "junctions", "strands": {"plus": "p", "minus": "m"}}},
            r"junctions carry their strand in one file; set sequence\.tracks\.a\.file",
        ),
        (
            {"a": NUMBER | {"file": "{x}.bw"}},
            r"sequence\.tracks\.a\.file' is '\{x\}\.bw': Snakemake",
        ),
    ],
)
def test_wrong_tracks_are_refused_with_their_key(tracks, message):
    with pytest.raises(InputError, match=message):
        resolve(config(**tracks))


def test_name_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "sequence:\n  fasta: g.fa\n  genes: g.gtf\n  scorer: light\n  tracks:\n"
        "    a: {kind: number, file: a.bw}\n    a: {kind: number, file: b.bw}\n"
    )
    with pytest.raises(InputError, match=r"the key 'a' is there twice"):
        load(path)


def test_tracks_need_a_genome():
    with pytest.raises(InputError, match=r"'sequence\.tracks' is set but sequence\.fasta is not"):
        resolve(
            {
                "sequence": {"tracks": {"a": NUMBER}},
                "dataset": {"path": "x", "group": "g", "label": "l", "classes": ["a", "b"]},
            }
        )


def test_kind_is_guessed_from_the_name_of_the_file():
    assert guessed_kind("x/A.bigWig") == guessed_kind("a.bw") == "number"
    assert guessed_kind("SJ.out.tab") == guessed_kind("j.bed.gz") == "junctions"
