"""The list of what rules need."""

import pytest

from genebatch.jobs.needs import BOOSTED, NEEDS, estimate_mb, estimate_minutes, largest_mb, rules_of
from genebatch.jobs.sizes import DataSet, GenomeSize, Shape, TextSize, Whole
from tests.unit.jobs.test_memory import DATA, SHAPE, WHOLE

SIZES: dict[str, Shape | Whole | DataSet | TextSize | GenomeSize] = {
    "batch": SHAPE,
    "whole": WHOLE,
    "data": DATA,
    "text": TextSize(80, 100.0),
    "genome": GenomeSize(100),
}


def test_every_rule_needs_memory_for_a_size_of_its_kind():
    assert {needs.of for needs in NEEDS.values()} == set(SIZES)
    for rule, needs in NEEDS.items():
        assert 0 < estimate_mb(rule, SIZES[needs.of]) < 100_000, rule


def test_estimates_are_rounded_up_to_ten():
    for kind in ("batch", "whole", "data", "text"):
        assert all(estimate_mb(rule, SIZES[kind]) % 10 == 0 for rule in rules_of(kind))


def test_the_rule_of_a_batch_that_needs_most_counts():
    assert largest_mb(SHAPE) == max(estimate_mb(rule, SHAPE) for rule in rules_of("batch"))
    assert largest_mb(SHAPE, 3) == max(estimate_mb(rule, SHAPE, 3) for rule in BOOSTED)


def test_rules_of_batches_and_of_all_batches_declare_a_time_and_the_others_none():
    for rule, needs in NEEDS.items():
        assert (needs.seconds is not None) == (needs.of in ("batch", "whole")), rule
    assert estimate_minutes("train_batch", SHAPE) > 0
    with pytest.raises(ValueError, match="rule plan_batches declares no time"):
        estimate_minutes("plan_batches", DATA)
