"""What is compared: the delivered model beside all that it could have been."""

from dataclasses import replace

import numpy as np
import pytest

from genebatch.evaluation.systems import FINAL, Compared
from genebatch.model.archive import load_model
from genebatch.model.ensemble import prune, used_at

PARAMETERS = {"weights": [[0.0, 0.9]] * 3, "intercept": [0.1, 0.0, -0.1]}
SHARES = {"neither": 0.9, "donor": 0.06, "acceptor": 0.04}


@pytest.mark.parametrize("name", ["stacked", "weighted", "selected", "hierarchical"])
def test_delivered_model_says_what_its_own_line_says(toy, toy_rows, name):
    """At another prevalence, and without the members that have no weight."""
    whole = load_model(toy.ensemble_files["ensemble"])
    first, second = whole.members
    members = (first._replace(class_weight=(9.0, 5.0, 1.0)), second)
    whole = replace(whole, members=members, combiner={"name": name, "parameters": PARAMETERS})
    final = used_at(prune(whole), SHARES)
    assert len(final.members) == 1
    # Its line is computed from the ensemble as its file has it, whatever combiner that has.
    ensemble = used_at(load_model(toy.ensemble_files["ensemble"]), SHARES)
    ensemble = replace(ensemble, members=members)
    probability, _ = Compared(final, ensemble, {name: PARAMETERS}, {}).predict(toy_rows)
    np.testing.assert_allclose(probability[FINAL], probability[name], rtol=1e-12)
