"""Tables that closing words are made from."""

import polars as pl


def comparison(groups, low, high):
    """Average precision of one class beside base scores, with the ends of its interval."""
    ends = {"difference_low": low, "difference_high": high}
    line = {
        "class": "donor",
        "metric": "average_precision",
        "weighted": False,
        "base": 0.5,
        "model": 0.75,
        "difference": 0.25,
        "groups": groups,
        **ends,
    }
    return pl.DataFrame([line], schema_overrides=dict.fromkeys(ends, pl.Float64))


def candidates(*names):
    """Candidates of 10, 20, ... trees and log loss 0.1, 0.2, ..., of which the last was chosen."""
    lines = [
        {
            "candidate": name,
            "log_loss": 0.1 * number,
            "trees": 10 * number,
            "chosen": name == names[-1],
            "reason": None,
        }
        for number, name in enumerate(names, 1)
    ]
    return pl.DataFrame(lines, schema_overrides={"reason": pl.String})
