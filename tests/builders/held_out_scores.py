"""Held-out scores of members and combiners by hand, in the two files of a run."""

import numpy as np
import polars as pl
from scipy.special import logit

CLASSES = ["no", "yes"]


def held_out(rows, members, combined=None, weight=None, base=None, batch="b000"):
    """The tables of both files.

    Parameters
    ----------
    rows
        (group, label) of each row.
    members
        Member to the probability of "yes" of each row.
    combined
        That of the combiner `log_odds`; by default the mean of the log-odds.
    weight, base
        Weight, and base score of "yes", of each row.
    """
    identity = pl.DataFrame(rows, schema=["group", "label"], orient="row")
    first = identity
    if weight is not None:
        first = first.with_columns(pl.Series("weight", weight, dtype=pl.Float64))
    if base is not None:
        p = np.array(base, float)
        first = first.with_columns(pl.Series("score_no", 1 - p), pl.Series("score_yes", p))
    first = first.with_columns(pl.lit(batch).alias("batch"), pl.lit(0, pl.Int32).alias("fold"))
    margins = {name: logit(np.array(p, float)) for name, p in members.items()}
    for name, margin in margins.items():
        sides = {"no": -margin, "yes": margin}
        first = first.with_columns(
            pl.Series(f"{name}:{c}", z, dtype=pl.Float32) for c, z in sides.items()
        )
    if combined is None:
        combined = 1 / (1 + np.exp(-np.mean(list(margins.values()), axis=0)))
    p = np.array(combined, float)
    second = identity.with_columns(
        pl.Series(f"{combiner}:{c}", q, dtype=pl.Float32)
        for combiner, yes in (("voting", np.full(len(p), 0.5)), ("log_odds", p))
        for c, q in (("no", 1 - yes), ("yes", yes))
    )
    return first, second


def write(folder, tables, row_group_size=None):
    """Write both tables where a run has them, and give their paths."""
    (folder / "ensemble").mkdir(parents=True, exist_ok=True)
    paths = {name: folder / "ensemble" / f"{name}.parquet" for name in ("cross_batch", "combined")}
    tables[0].write_parquet(paths["cross_batch"], row_group_size=row_group_size)
    tables[1].write_parquet(paths["combined"])
    return paths


# Two members and three genes. Of "split" both members are sure, of different classes; of "wrong"
# both are sure and wrong; of "easy" both are right.
ROWS = [("split", "yes"), ("split", "no"), ("wrong", "yes"), ("easy", "yes"), ("easy", "no")]
MEMBERS = {"b000": [0.9, 0.1, 0.1, 0.9, 0.2], "b001": [0.1, 0.1, 0.1, 0.9, 0.2]}
BASE = [0.6, 0.6, 0.6, 0.4, 0.1]
WEIGHT = [1, 4, 1, 1, 0]
