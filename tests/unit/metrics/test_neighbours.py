"""Windows around sites, and where their maximum lies."""

import numpy as np
import polars as pl
import pytest

from genebatch.metrics.neighbours import (
    ABSENT,
    OFFSETS,
    OTHER,
    TEST,
    TRAINING,
    draw_sites,
    summarise,
)
from tests.builders.windows import CLASSES, MEASURED, made_windows, sites_of


def shares(table, system, part=TEST, name="donor"):
    lines = table.filter(part=part, system=system, **{"class": name})
    return dict(lines.select("offset", "peak_share").iter_rows())


def test_sites_are_drawn_evenly_from_classes_and_genes():
    counts = {"a": 50, "b": 3, "c": 1}
    sites = pl.concat([sites_of(counts), sites_of({"a": 40, "c": 9}, "acceptor")])
    drawn = draw_sites(sites, 20, seed=1)
    by_class = dict(drawn.group_by("class").len().iter_rows())
    assert by_class == {"donor": 10, "acceptor": 10}
    by_gene = drawn.group_by("class", "gene").len()
    assert {row[:2]: row[2] for row in by_gene.iter_rows()} == {
        ("donor", "a"): 6,
        ("donor", "b"): 3,
        ("donor", "c"): 1,
        ("acceptor", "a"): 5,
        ("acceptor", "c"): 5,
    }


def test_a_draw_depends_on_the_seed_alone():
    sites = sites_of({"a": 50, "b": 40})
    drawn = draw_sites(sites, 10, seed=1)
    assert draw_sites(sites.sample(fraction=1, shuffle=True, seed=5), 10, seed=1).equals(drawn)
    assert not draw_sites(sites, 10, seed=2).equals(drawn)


def test_a_class_with_few_sites_leaves_its_place_to_the_other():
    sites = pl.concat([sites_of({"a": 30}), sites_of({"a": 2}, "acceptor")])
    drawn = draw_sites(sites, 10, seed=1)
    assert dict(drawn.group_by("class").len().iter_rows()) == {"donor": 8, "acceptor": 2}
    assert draw_sites(sites, 100, seed=1).height == 32


@pytest.mark.parametrize("shift", [-1, 0, 1, 4])
def test_shifted_base_scores_show_the_shift(shift):
    table = summarise(made_windows(base_at=shift), CLASSES, MEASURED)
    assert shares(table, "base")[shift] == 1
    assert sum(shares(table, "base").values()) == 1
    assert shares(table, "model")[0] == 1


def test_every_part_class_system_and_offset_has_a_line():
    windows = pl.concat([made_windows(), made_windows(1, batch="b000"), made_windows(batch="b001")])
    table = summarise(windows, CLASSES, MEASURED)
    assert table.height == 4 * 2 * 2 * len(OFFSETS)
    assert table["part"].unique(maintain_order=True).to_list() == [TEST, TRAINING, "b000", "b001"]
    assert shares(table, "base", TRAINING)[1] == pytest.approx(0.5)
    assert shares(table, "base", "b000")[1] == 1
    assert table["reason"].null_count() == table.height


def test_positions_that_are_left_out_are_counted_and_have_no_score():
    left_out = ((-3, ABSENT), (2, OTHER))
    table = summarise(made_windows(left_out=left_out), CLASSES, MEASURED)
    lines = table.filter(part=TEST, system="base", **{"class": "donor"})
    counts = {row["offset"]: row for row in lines.iter_rows(named=True)}
    assert (counts[-3]["scored"], counts[-3]["absent"], counts[-3]["other_sites"]) == (0, 4, 0)
    assert (counts[2]["scored"], counts[2]["absent"], counts[2]["other_sites"]) == (0, 0, 4)
    assert counts[0]["sites"] == counts[0]["scored"] == 4
    assert counts[-3]["median"] is None
    assert counts[-3]["reason"] == "no position with this offset is scored"


def test_quantiles_are_those_of_the_scores_at_an_offset():
    rng = np.random.default_rng(0)
    windows = made_windows(sites=40)
    windows = windows.with_columns(pl.Series("model", rng.random(windows.height), pl.Float32))
    table = summarise(windows, CLASSES, MEASURED)
    line = table.filter(part=TEST, system="model", offset=3, **{"class": "acceptor"})
    values = windows.filter(offset=3, **{"class": "acceptor"})["model"].to_numpy()
    found = line.select("q05", "q25", "median", "q75", "q95").row(0)
    assert found == pytest.approx(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]), abs=1e-6)


def test_a_shared_maximum_counts_in_equal_shares_and_a_flat_site_not_at_all():
    windows = made_windows(sites=2).with_columns(
        pl.when(pl.col("position") == 0).then(pl.lit(0.5)).otherwise("base").alias("base")
    )
    windows = windows.with_columns(
        pl.when(pl.col("offset").is_in((0, 1)) & (pl.col("position") == 100))
        .then(pl.lit(0.9))
        .otherwise("base")
        .alias("base")
    )
    found = shares(summarise(windows, CLASSES, MEASURED), "base")
    assert found[0] == found[1] == 0.5


def test_what_cannot_be_measured_is_null_with_the_reason():
    reasons = {TEST: "there is no position", TRAINING: None}
    windows = made_windows(batch="b000").with_columns(pl.lit(None, pl.Float32).alias("base"))
    table = summarise(windows.filter(pl.col("class") == "donor"), CLASSES, reasons)
    found = table.group_by("part", "class", "system").agg(
        pl.col("reason").unique(), pl.col("peak_share").null_count() == len(OFFSETS)
    )
    known = {row[:3]: row[3:] for row in found.iter_rows()}
    assert known[TEST, "donor", "base"] == (["there is no position"], True)
    assert known[TRAINING, "donor", "base"] == (["no scores"], True)
    assert known[TRAINING, "acceptor", "model"] == (["no sites"], True)
    assert known[TRAINING, "donor", "model"] == ([None], False)


def test_sites_without_any_other_position_have_no_maximum():
    beside = [(offset, ABSENT) for offset in OFFSETS if offset]
    table = summarise(made_windows(left_out=beside), CLASSES, MEASURED)
    assert table["peaks"].sum() == 0
    reasons = table.filter(part=TEST)["reason"].unique().to_list()
    assert reasons == ["no site has positions beside it whose scores differ"]
