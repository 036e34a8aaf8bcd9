"""Names from files never command a terminal."""

import logging
import pickle

import pytest

from genebatch.cli import main
from genebatch.io.files import InputError
from genebatch.io.terminal import PrintableFormatter, printable

HOSTILE = "a\x1b[31m\x07\r\x9b2J\u202eb\x7f\udc80"
SAFE = r"a\x1b[31m\x07\r\x9b2J\u202eb\x7f\udc80"


@pytest.mark.parametrize("text", ["", "plain", "grün 中 \u00a0 é", "two\nlines\tand a tab"])
def test_text_without_control_characters_stays(text):
    assert printable(text) == text


def test_control_characters_are_escaped():
    assert printable(HOSTILE) == SAFE


def test_every_input_error_is_safe_to_print():
    error = InputError(f"column {HOSTILE} is missing")
    assert str(error) == f"column {SAFE} is missing"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_logged_names_are_safe_to_print():
    record = logging.LogRecord("x", logging.WARNING, "p", 1, "gene %s", (HOSTILE,), None)
    assert PrintableFormatter("%(message)s").format(record) == f"gene {SAFE}"


def test_errors_of_the_system_are_safe_to_print(capsys):
    assert main(["inspect", "no\x1b[31mwhere"]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_names_in_genome_genes_and_scores_are_escaped(tmp_path, capsys):
    (tmp_path / "g.fa").write_text(">chr\x1b[31m1\nACGT\n")
    from genebatch.genome.fasta import Fasta

    with Fasta(tmp_path / "g.fa") as fasta, pytest.raises(InputError) as caught:
        fasta.name_of("chr\x072")
    assert r"'chr\x072'" in str(caught.value)
    assert "chr\\x1b[31m1" in str(caught.value)
