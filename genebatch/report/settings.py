"""Holds the settings that the page and the model card print."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from genebatch.config.settings import Evaluation, Folds, HoldOut, Learner, Table


@dataclass(frozen=True)
class PrintedSettings:
    """The parts of a configuration that the page and the model card print.

    The rule of the report passes these keys and no others: what is not printed remakes no page.
    """

    table: Table
    test: HoldOut
    strategy: str
    cv: Folds
    learner: Learner
    calibration: str
    combiner: str
    final: str
    evaluation: Evaluation

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Self:
        """Take the printed parts out of a resolved configuration, which may have others."""
        return cls(
            table=Table.build(config["dataset"]),
            test=HoldOut.build(config["test"]),
            strategy=config["batching"]["strategy"],
            cv=Folds.build(config["cv"]),
            learner=Learner.build(config["learner"]),
            calibration=config["calibration"]["method"],
            combiner=config["ensemble"]["combiner"],
            final=config["final"],
            evaluation=Evaluation.build(config["evaluation"]),
        )

    @property
    def fits_weighted(self) -> bool:
        """Whether the boosters were fitted with row weights."""
        return bool(self.table.labels.weight and self.learner.use_weights)

    @property
    def boosting(self) -> dict[str, Any]:
        """The keys of the section `learner`, without further parameters of XGBoost."""
        return {key: value for key, value in self.learner.plain().items() if key != "params"}

    @property
    def test_choice(self) -> str:
        """How the test groups were chosen."""
        if self.test.groups is not None:
            return "the groups named in test.groups"
        if self.test.column is not None:
            values = ", ".join(str(value) for value in self.test.values or ())
            return f"the groups whose {self.test.column} is one of {values}"
        share = f"{self.test.fraction:.0%} of the rows"
        return f"groups drawn with seed {self.test.seed} that hold {share}"
