"""Refuses models that were trained on groups that would evaluate them."""

from collections.abc import Collection, Mapping

from genebatch.io.files import InputError
from genebatch.model.ensemble import EnsembleModel


def refuse_seen_groups(models: Mapping[str, EnsembleModel], test_groups: Collection[str]) -> None:
    """Raise if a member of a model was trained on a test group.

    Parameters
    ----------
    models
        Name of each model in the message, and the model.
    test_groups
        The groups that evaluate the models.

    Raises
    ------
    InputError
        Naming the model, the member and one of the groups.
    """
    for name, model in models.items():
        for member in model.members:
            seen = sorted(set(member.groups) & set(test_groups))
            if seen:
                raise InputError(
                    f"{name}: member {member.name} was trained on {len(seen)} of the test groups "
                    f"(for example '{seen[0]}'), so an evaluation on them would flatter the model"
                )
