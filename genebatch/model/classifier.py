"""Gives a finished model the habits of a scikit-learn classifier."""

import html
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

from genebatch.io.files import InputError


class FinishedClassifier(ClassifierMixin):
    """What scikit-learn's tools ask of a classifier that is trained already.

    A subclass has `classes_`, `columns_in_` and `predict_proba`. The model cannot be fitted again.
    `sklearn.base.clone` gives the model itself, so tools that clone what they are given take it as
    they take `sklearn.frozen.FrozenEstimator`.
    """

    classes_: np.ndarray

    def predict(self, table: Any) -> np.ndarray:
        """Predict the most probable label of every row, (rows,)."""
        return self.classes_[self.predict_proba(table).argmax(axis=1)]

    def predict_log_proba(self, table: Any) -> np.ndarray:
        """Predict the natural logarithm of `predict_proba`, (rows, classes) float64."""
        return np.log(self.predict_proba(table))

    def fit(self, table: Any = None, labels: Any = None, **_: Any) -> Self:
        """Refuse: the model is finished.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "the model is finished and cannot be fitted again; train another by the workflow, or "
            "wrap this one in sklearn.frozen.FrozenEstimator where a tool wants to fit it"
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the parameters that a search could set: none, as the model is finished."""
        return {}

    def __sklearn_tags__(self) -> Tags:
        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(allow_nan=True),
            requires_fit=False,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{lines}</table>"

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}: {value}" for name, value in self._facts().items())
        return f"<{type(self).__name__} {facts}>"

    def _facts(self) -> dict[str, str]:
        """What the short description of the model says, by name."""
        raise NotImplementedError
