"""Pages of the documentation are written in short sentences."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.builders import REPOSITORY

LONG = 25  # words
MOST_LONG = 0.03  # of the sentences of a page, or two
NEVER = 40  # words
MARKDOWN = MarkdownIt("commonmark").enable("table")
PAGES = sorted(
    path.relative_to(REPOSITORY)
    for pattern in ("README.md", "config/README.md", "docs/**/*.md")
    for path in REPOSITORY.glob(pattern)
)


def sentences(text: str) -> Iterator[str]:
    """Sentences of paragraphs, list items, cells and headings. A piece of code is one word.

    In a cell of a table the items of a list stand between semicolons.
    """
    tokens = MARKDOWN.parse(text)
    for before, token in itertools.pairwise(tokens):
        if token.type == "inline":
            ends = r"(?<=[.?!;])\s+" if before.type == "td_open" else r"(?<=[.?!])\s+"
            yield from re.split(ends, " ".join(words_of(token)))


def words_of(token) -> Iterator[str]:
    """The text of an inline token, piece by piece."""
    for part in token.children:
        yield "code" if part.type == "code_inline" else part.content


def length(sentence: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def test_sentences_are_counted_as_a_reader_does():
    text = "# Two words\n\nA `code with words` and [a link](b.md). Next one!\n\n"
    text += "| a | b; c d |\n|---|---|\n| e | f; g h |\n"
    assert [length(each) for each in sentences(text)] == [2, 5, 2, 1, 3, 1, 1, 2]
    assert list(sentences("```\nno sentence\n```\n")) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_sentences_of_a_page_are_short(page: Path):
    lengths = {each: length(each) for each in sentences((REPOSITORY / page).read_text())}
    long = [each for each, words in lengths.items() if words > LONG]
    assert [each for each in long if lengths[each] > NEVER] == []
    assert len(long) <= max(2, MOST_LONG * len(lengths)), "\n".join(long)
