"""Calls a step with the files and settings of its rule."""

from collections.abc import Callable
from inspect import signature
from typing import Any


def call_step(step: Callable[..., None], snakemake: Any) -> None:
    """Call a step with the inputs, outputs, params and threads of a rule, by their names.

    A parameter that is annotated with a section of the configuration is built from the dictionary
    that the rule gives. A parameter that no file or param of the rule names may be a wildcard or a
    resource. What the step has no parameter for is not passed: it only tells Snakemake when to run
    the rule again.

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
    values: dict[str, Any] = {}
    for part in ("wildcards", "resources", "params", "input", "output"):
        values |= dict(getattr(snakemake, part).items())
    values["threads"] = snakemake.threads
    arguments = {}
    for name, parameter in signature(step).parameters.items():
        if name in values:
            build = getattr(parameter.annotation, "build", None)
            arguments[name] = build(values[name]) if build else _plain(values[name])
    step(**arguments)


def _plain(value: Any) -> Any:
    """Turn several files into a list of paths; Snakemake has a kind of list of its own."""
    return [str(path) for path in value] if type(value).__name__ == "Namedlist" else value
