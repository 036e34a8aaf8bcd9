"""Calls a step with the files and settings of its rule."""

from collections.abc import Callable
from inspect import signature
from typing import Any


def call_step(step: Callable[..., None], snakemake: Any) -> None:
    """Call a step with the inputs, outputs, parameters, resources and threads of a rule.

    A parameter of the step that is annotated with a section of the configuration is built from the
    dictionary that the rule gives. What the step has no parameter for is not passed: such
    parameters of a rule only tell Snakemake when to run it again.

    Parameters
    ----------
    step
        A function of `genebatch.steps`, whose parameters are all keywords.
    snakemake
        The object that Snakemake gives a script.

    Raises
    ------
    TypeError
        If the rule names nothing for a parameter without a default, or the section lacks a key.
    """
    known = dict(snakemake.resources.items()) | {"threads": snakemake.threads}
    for part in (snakemake.params, snakemake.input, snakemake.output):
        known |= dict(part.items())
    given = {}
    for name, parameter in signature(step).parameters.items():
        if name in known:
            build = getattr(parameter.annotation, "build", None)
            given[name] = build(known[name]) if build else _plain(known[name])
    step(**given)


def _plain(value: Any) -> Any:
    """Several files as a list of paths, and not as Snakemake's own kind of list."""
    return [str(path) for path in value] if type(value).__name__ == "Namedlist" else value
