"""Says in words what the evaluation does not show."""

from collections.abc import Iterator, Mapping
from typing import Any

from genebatch.model.ensemble import EnsembleModel


def limits(facts: Mapping[str, Any]) -> Iterator[str]:
    """Give a sentence or two for each limit of the results of a run.

    Parameters
    ----------
    facts
        The other facts of the page.
    """
    settings, has_base = facts["settings"], facts["has_base"]
    other = " or about scores of another base model" * has_base
    yield (
        f"Test groups come from the same table as the training groups ({settings.test_choice}), so "
        f"the results say nothing about data of another origin{other}."
    )
    if facts["tracks"]:
        yield (
            "Scores exist only between the annotated ends of genes, and the features of the "
            "landscape show where these ends are. The gain near them holds for genes whose ends "
            "are known as well as those of the test genes."
        )
    yield (
        "Intervals come from resampling the test groups. They do not include how the model varies "
        "with other training groups or seeds."
    )
    if not has_base:
        yield (
            "There are no base scores, so the results do not say whether a simpler model would do "
            "as well."
        )
    if facts["weighted"]:
        yield (
            f"In weighted metrics each row counts by its {settings.table.labels.weight}. In "
            "metrics by rows all rows of the table count the same."
        )
    else:
        yield (
            "There are no row weights, so all metrics hold for classes as frequent as in the table."
        )
    if facts["model"].prevalence:
        yield (
            "Probabilities are shifted to a given prevalence, and the test rows have another one. "
            "So log loss, Brier score and calibration are measured at a prevalence that the "
            "probabilities are not made for."
        )
    most = settings.learner.n_estimators
    names = _at_most_trees(facts["model"], most)
    if names:
        yield (
            f"Boosters of {', '.join(names)} have as many trees as learner.n_estimators allows "
            f"({most:,}). More may lower the loss."
        )
    lines = [line for line in facts["verdicts"] if line.weighted == facts["weighted"]]
    yield f"Test rows of each class: {', '.join(f'{line.name} {line.n:,}' for line in lines)}."


def _at_most_trees(model: EnsembleModel, most: int) -> list[str]:
    """The classes of which a booster of the model has as many trees as it may have."""
    by_class = zip(*(member.boosters for member in model.members), strict=True)
    return [
        name
        for name, boosters in zip(model.classes, by_class, strict=True)
        if any(booster.num_boosted_rounds() == most for booster in boosters)
    ]
