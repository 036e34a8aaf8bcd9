"""What genebatch.config.wanted promises: each key says in words what it takes."""

import re

import pytest

from genebatch.config.schema import load_schema, resolve
from genebatch.config.wanted import SOME_WORDS, wanted
from genebatch.io.files import InputError

TABLE = {"path": "data", "group": "gene", "label": "type", "classes": ["no", "yes"]}
# What a validator says about a schema, in words that no user of a key knows.
JARGON = ("^", "is not of type", "does not match", "minimum", "non-unique", "None", "'string'")


def schemas(schema):
    """A schema and all below it."""
    yield schema
    below = [*schema.get("properties", {}).values()]
    below += [schema.get(name) for name in ("items", "additionalProperties", "propertyNames")]
    for each in below:
        if isinstance(each, dict):
            yield from schemas(each)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["integer", "string"], "pattern": "^auto$", "minimum": 2}, "from 2, or auto"),
        ({"type": ["string", "integer"], "pattern": "^auto$"}, "a whole number, or auto"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "a number above 0 and up to 1"),
        ({"type": ["boolean", "null"]}, "true or false, or null"),
        ({"enum": ["scores", None, True]}, "scores, null or true"),
        ({"type": ["string", "null"], "pattern": "^(light|spliceai)$"}, "light, spliceai or null"),
        ({"type": "string", "minLength": 1}, "text that is not empty"),
        ({"type": "array", "minItems": 2, "maxItems": 2}, "a list of 2 values"),
        ({"type": "array", "minItems": 1, "maxItems": 9}, "a list of 1 to 9 values"),
        (
            {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"type": "string"}},
            "a list of 2 or more values, all different, each text",
        ),
        (
            {"type": ["array", "null"], "items": {"type": ["string", "integer"]}},
            "a list of values, each a whole number, or text; or null",
        ),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "from names to text"),
        ({"type": "object", "properties": {"plus": {}, "minus": {}}}, "a map of plus and minus"),
        ({}, ""),
    ],
)
def test_a_schema_is_said_in_words(schema, words):
    assert wanted(schema).endswith(words)


def test_every_key_can_be_said_in_words():
    for schema in schemas(load_schema()):
        if "type" in schema or "enum" in schema:
            assert wanted(schema)
        if "pattern" in schema:
            assert "title" in schema or SOME_WORDS.fullmatch(schema["pattern"]), schema


@pytest.mark.parametrize(
    ("section", "given", "message"),
    [
        ("learner", {"select": {"top": "many"}}, "from 1, or auto"),
        ("learner", {"device": "gpu"}, "wanted cpu, cuda, or cuda:0 with the number of a GPU"),
        ("learner", {"max_depth": None}, "'learner.max_depth' is null: wanted a whole number"),
        ("cv", {"n_splits": 1}, "'cv.n_splits' is 1: wanted a whole number from 2, or auto"),
        ("dataset", TABLE | {"classes": ["yes", "yes"]}, "2 or more values, all different"),
        ("predict", {"tables": {"a b": "x"}}, "'predict.tables' has the name 'a b': wanted letter"),
        ("call", {"sets": {"test": "all"}}, "but not test"),
        ("call", {"bigwig": "maybe"}, "'call.bigwig' is 'maybe': wanted true or false"),
    ],
)
def test_an_error_says_what_is_wanted_and_not_how_it_was_checked(section, given, message):
    with pytest.raises(InputError) as caught:
        resolve({"dataset": TABLE, section: given})
    assert message in str(caught.value)
    assert not [word for word in JARGON if word in str(caught.value)]


def test_the_word_of_a_pattern_is_what_it_takes():
    for schema in schemas(load_schema()):
        words = SOME_WORDS.fullmatch(schema.get("pattern", ""))
        for word in words[1].split("|") if words else ():
            assert re.search(schema["pattern"], word)
