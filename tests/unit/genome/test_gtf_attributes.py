"""Attributes of GTF lines, by a parser and not by searching."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genebatch.genome.genes import read_gene_models
from genebatch.genome.gtf_attributes import parse_attributes, with_values

NAMES = ("gene_id", "transcript_id", "note")
LINES = {
    'gene_id "A"; transcript_id "A.1";': ("A", "A.1", None),
    "gene_id A;transcript_id A.1": ("A", "A.1", None),
    'gene_id "PHT1;1"; transcript_id "PHT1;1-T";': ("PHT1;1", "PHT1;1-T", None),
    'note "old; gene_id B; x"; gene_id "A"; transcript_id "T";': ("A", "T", "old; gene_id B; x"),
    r'note "a \"b; gene_id Z\" c"; gene_id "A";': ("A", None, 'a "b; gene_id Z" c'),
    'gene_id "A"; gene_id "B"; note "n";': ("A", None, "n"),
    'ref_gene_id "R"; gene_id "A"; xtranscript_id "x";': ("A", None, None),
    'gene_id ""; transcript_id " ";': (None, None, None),
    'gene_id "A" ; note 5; # SO:1; transcript_id "T"': ("A", None, "5"),
    'note "5"-end of x"; gene_id "A";': ("A", None, '5"-end of x'),
    ";; gene_id A b ; transcript_id": ("A b", None, None),
    "g1": (None, None, None),
    ".": (None, None, None),
}


@pytest.mark.parametrize("text", LINES)
def test_values_are_those_between_quotes_or_semicolons(text):
    frame = pl.DataFrame({"line": [1], "attributes": [text]})
    assert with_values(frame, NAMES).select(NAMES).row(0) == LINES[text]


def test_lines_keep_their_order():
    frame = pl.DataFrame({"line": range(len(LINES)), "attributes": list(LINES)})
    assert with_values(frame, NAMES).select(NAMES).rows() == list(LINES.values())


TEXT = st.text(
    st.characters(codec="ascii", exclude_characters="\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"), max_size=8
)


@given(st.lists(st.tuples(st.sampled_from([*NAMES, "x"]), TEXT), max_size=5))
def test_any_quoted_value_is_found_again(fields):
    escaped = [(key, value.replace("\\", r"\\").replace('"', r"\"")) for key, value in fields]
    text = " ".join(f'{key} "{value}";' for key, value in escaped)
    frame = pl.DataFrame({"line": [1], "attributes": [text]})
    wanted = {}
    for key, value in fields:
        wanted.setdefault(key, value.strip())
    assert parse_attributes(text) == wanted
    found = with_values(frame, NAMES).row(0, named=True)
    # An empty value is none; of a repeated key the search takes the first that has a value.
    for name in NAMES:
        if wanted.get(name):
            assert found[name] == wanted[name]


def test_ids_with_semicolons_stay_apart(tmp_path):
    path = tmp_path / "genes.gtf"
    line = 's1\tx\texon\t{}\t{}\t.\t{}\t.\tgene_id "P;{}"; transcript_id "P;{}-T";\n'
    rows = [(201, 300, "+", 1), (501, 600, "+", 1), (1201, 1300, "-", 2), (1501, 1600, "-", 2)]
    path.write_text("".join(line.format(*row, row[-1]) for row in rows))
    assert [(gene.id, gene.strand) for gene in read_gene_models(path)] == [
        ("P;1", "+"),
        ("P;2", "-"),
    ]
