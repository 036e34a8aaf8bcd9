"""Tests of features.positions: the spec, the columns, equal features for any stretch."""

import inspect
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebatch.features.base_scores import MARGIN
from genebatch.features.landscape import COLUMNS as LANDSCAPE
from genebatch.features.landscape import Landscape
from genebatch.features.positions import (
    FAMILIES,
    GeneWindow,
    Spec,
    WholeGene,
    position_features,
    window_features,
)
from genebatch.features.structure.columns import COLUMNS as STRUCTURE
from genebatch.features.structure.model import StructureModel
from genebatch.features.words import gc_share
from genebatch.genome.nucleotides import encode
from genebatch.io.files import InputError

EVERYTHING = Spec(FAMILIES, kmers=(2, 3), window=7, floor=1e-5)
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def made_gene(length=90, spec=EVERYTHING, seed=0, letters="ACGT"):
    """Text of a gene with its flanks, donor scores, acceptor scores: few are above the floor."""
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list(letters), length + 2 * spec.window))
    scores = rng.random((2, length)) ** 12 / 2
    scores[:, rng.random(length) < 0.1] = 0
    return text, *scores.astype(np.float32)


def whole_gene(text, donor, acceptor, spec=EVERYTHING):
    inside = encode(text)[spec.window : len(text) - spec.window]
    landscape = Landscape.collect([np.stack([donor, acceptor])], len(donor), spec.floor)
    return WholeGene.see(
        *(landscape, lambda start, stop: inside[start:stop], len(donor)),
        *(spec, StructureModel(), gc_share(inside)),
    )


def same(one, other):
    """Whether two frames have equal columns, dtypes and bytes."""
    return one.schema == other.schema and all(
        one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes() for name in one.columns
    )


def test_default_spec_makes_everything_but_the_span():
    spec = Spec()
    assert set(FAMILIES) - set(spec.families) == {"span"}
    made = 55 + 2 + len(LANDSCAPE) + len(STRUCTURE) + 1_088
    assert len(spec.columns) == len(set(spec.columns)) == made
    assert spec.columns[:3] == ("donor_score", "acceptor_score", "neither_score")
    assert spec.count_columns == spec.columns[-1_088:]


def test_families_are_kept_in_one_order_and_scores_are_always_there():
    spec = Spec(families=("kmers", "peak"), kmers=(5, 3, 3))
    assert spec.families == ("scores", "peak", "kmers")
    assert spec.kmers == (3, 5)
    assert spec == Spec(families=("peak", "scores", "kmers"))
    assert Spec(families=("peak",)).count_columns == ()


def test_spec_survives_json():
    spec = Spec(("context",), (4,), 30, 0.001)
    text = spec.plain()
    structure = {"coding": "none", "ends": "known", "lengths": None}
    chosen = {"families": ["scores", "context"], "kmers": [4], "window": 30, "floor": 0.001}
    assert text == chosen | {"structure": structure}
    assert Spec.build(text) == spec
    assert Spec.build({}) == Spec()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ["peaks"]}, r"features\.families: no family is named 'peaks'.*peak, cross"),
        ({"kmers": [3, 7]}, r"features\.kmers: wanted word lengths from 1 to 6 nt, got \[3, 7\]"),
        ({"kmers": ["3"]}, r"features\.kmers"),
        ({"window": 5001}, r"features\.window: wanted a whole number of nt from 3 to 5000"),
        ({"window": 2}, r"features\.window"),
        ({"floor": 1}, r"features\.floor: wanted a score from 0 to below 1, got 1"),
        ({"floor": float("nan")}, r"features\.floor"),
        ({"flor": 0}, r"features has no key 'flor'"),
    ],
)
def test_impossible_spec_names_the_key_and_the_known_values(change, message):
    with pytest.raises(InputError, match=message):
        Spec.build(change)


@pytest.mark.parametrize(("window", "kind"), [(127, pl.UInt8), (128, pl.UInt16), (250, pl.UInt16)])
def test_any_window_fits_the_count_of_a_homopolymer(window, kind):
    spec = Spec(families=("composition", "kmers"), kmers=(1,), window=window)
    frame = position_features("A" * (2 * window + 11), np.zeros(11), np.zeros(11), spec=spec)
    assert frame["1mer_A"].unique().to_list() == [2 * window + 1]
    assert frame["sequence_complexity"].unique().to_list() == [0.0]
    assert frame.schema == spec.schema
    assert spec.schema["1mer_A"] == kind


def test_labels_and_annotation_are_not_arguments():
    wanted = ("sequence", "donor", "acceptor", "positions", "spec", "structure")
    assert tuple(inspect.signature(position_features).parameters) == wanted
    wanted = ("window", "positions", "whole", "spec", "words")
    assert tuple(inspect.signature(window_features).parameters) == wanted


def test_permuted_or_absent_labels_change_no_byte():
    text, donor, acceptor = made_gene()
    label = np.array(["donor", "acceptor", "neither"])[np.arange(90) % 3]
    table = pl.DataFrame(
        {"position": np.arange(90), "donor": donor, "acceptor": acceptor, "splice_type": label}
    )
    permuted = table.with_columns(pl.col("splice_type").shuffle(seed=1))
    assert not permuted.equals(table)
    frames = [
        position_features(text, rows["donor"], rows["acceptor"], rows["position"], EVERYTHING)
        for rows in (table, permuted, table.drop("splice_type"))
    ]
    assert same(frames[0], frames[1])
    assert same(frames[0], frames[2])


def test_columns_are_those_of_the_spec_with_uint8_counts_and_float32_else():
    text, donor, acceptor = made_gene()
    for spec in (EVERYTHING, Spec(("scores",), window=7), Spec(("landscape", "kmers"), (1,), 7)):
        frame = position_features(text, donor, acceptor, spec=spec)
        assert tuple(frame.columns) == spec.columns
        dtypes = {name: dtype for name, dtype in frame.schema.items()}
        counts = {name for name, dtype in dtypes.items() if dtype == pl.UInt8}
        assert counts == set(spec.count_columns)
        assert set(dtypes.values()) <= {pl.UInt8, pl.Float32}


def test_no_positions_give_no_rows_and_every_column():
    text, donor, acceptor = made_gene()
    none = position_features(text, donor, acceptor, np.array([], dtype=int), EVERYTHING)
    assert none.height == 0
    assert none.schema == position_features(text, donor, acceptor, spec=EVERYTHING).schema


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_some_positions_of_any_window_equal_those_of_the_whole_gene(data):
    length = data.draw(st.integers(1, 70))
    text, donor, acceptor = made_gene(length, seed=length, letters="ACGTN")
    whole = position_features(text, donor, acceptor, spec=EVERYTHING)
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    positions = np.array(data.draw(st.lists(st.integers(start, stop - 1), min_size=1)))
    first = data.draw(st.sampled_from([start - MARGIN, max(start - MARGIN, 0)]))
    last = data.draw(st.sampled_from([stop + MARGIN, min(stop + MARGIN, length)]))
    scores = np.zeros((2, last - first), np.float32)
    low, high = max(first, 0), min(last, length)
    scores[:, low - first : high - first] = np.stack([donor, acceptor])[:, low:high]
    codes = encode("N" * MARGIN + text + "N" * MARGIN)
    codes = codes[first + MARGIN : last + MARGIN + 2 * EVERYTHING.window]
    gene = whole_gene(text, donor, acceptor)
    part = window_features(GeneWindow(first, scores, codes), positions, gene, EVERYTHING)
    assert same(part, whole[positions])


def test_wanted_columns_are_those_of_all_columns():
    text, donor, acceptor = made_gene()
    window = GeneWindow(0, np.stack([donor, acceptor]), encode(text))
    positions = np.arange(len(donor))
    whole = position_features(text, donor, acceptor, spec=EVERYTHING)
    words = [name for name in EVERYTHING.count_columns if whole[name].sum()]
    for wanted in (words[1:4], [words[-1], "relative_position"], ["gc_content", words[0]], words):
        spec = EVERYTHING.only(wanted)
        gene = whole_gene(text, donor, acceptor, spec)
        found = window_features(window, positions, gene, spec, frozenset(wanted))
        assert set(wanted) <= set(found.columns)
        assert same(found, whole.select(found.columns))
        kept = set(found.columns) & set(EVERYTHING.count_columns)
        assert kept == set(wanted) & set(words)


@pytest.mark.parametrize(
    ("wanted", "families"),
    [
        (["3mer_AAA"], ("scores", "kmers")),
        (["gc_content"], ("scores", "composition")),
        (["donor_chain_five"], ("scores", "structure")),
        ([], ("scores",)),
    ],
)
def test_families_without_a_wanted_column_are_not_made(wanted, families):
    assert Spec().only(wanted).families == families


def test_window_without_the_neighbours_is_refused():
    text, donor, acceptor = made_gene()
    scores, codes = np.stack([donor, acceptor]), encode(text)
    gene = whole_gene(text, donor, acceptor)
    window = GeneWindow(20, scores[:, 20:50], codes[20 : 50 + 14])
    for position in (21, 48):
        with pytest.raises(ValueError, match="scores from 20 to 49 given"):
            window_features(window, np.array([position]), gene, EVERYTHING)


def test_soft_masked_text_gives_the_features_of_upper_case():
    text, donor, acceptor = made_gene()
    upper = position_features(text, donor, acceptor, spec=EVERYTHING)
    assert same(position_features(text.lower().encode(), donor, acceptor, spec=EVERYTHING), upper)
    assert same(position_features(encode(text), donor, acceptor, spec=EVERYTHING), upper)


def test_unknown_bases_change_composition_words_and_structure_only():
    text, donor, acceptor = made_gene()
    known = position_features(text, donor, acceptor, spec=EVERYTHING)
    masked = position_features("N" * len(text), donor, acceptor, spec=EVERYTHING)
    counted = {"gc_content", "sequence_complexity", "gene_gc_content", *EVERYTHING.count_columns}
    touched = {name for name in known.columns if not known[name].equals(masked[name])}
    assert touched <= counted | set(STRUCTURE)
    assert masked.select(counted).sum_horizontal().sum() == 0


def test_first_and_last_position_have_zero_scores_outside_the_gene():
    text, donor, acceptor = made_gene(length=5, spec=Spec(window=3))
    spec = Spec(("context",), window=3, floor=0)
    frame = position_features(text, donor, acceptor, spec=spec)
    assert frame["donor_score_m2"].to_list() == [0, 0, *donor[:3].tolist()]
    assert frame["acceptor_score_p1"].to_list() == [*acceptor[1:].tolist(), 0]


def test_window_of_words_is_centred_on_the_position():
    spec = Spec(("kmers", "composition"), (3,), window=3)
    frame = position_features("AAAACGTAAAA", *np.zeros((2, 5)), spec=spec)
    assert frame["3mer_CGT"].to_list() == [1, 1, 1, 1, 1]
    assert frame["3mer_AAA"].to_list() == [2, 1, 0, 1, 2]
    assert frame["gc_content"].to_list() == pytest.approx([2 / 7] * 5)


def test_scores_below_the_floor_cannot_be_told_from_absent_ones():
    text, donor, acceptor = made_gene()
    small = donor < 1e-5
    assert 0 < small.sum() < 90
    absent, noise = donor.copy(), donor.copy()
    absent[small], noise[small] = 0, np.linspace(0, 9e-6, small.sum())
    frames = [position_features(text, d, acceptor, spec=EVERYTHING) for d in (donor, absent, noise)]
    assert same(frames[0], frames[1])
    assert same(frames[0], frames[2])
    assert frames[0]["donor_score"].min() == np.float32(1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("floor", [0.0, 1e-5])
def test_scores_of_zero_and_one_leave_every_feature_finite(value, floor):
    spec = Spec(FAMILIES, kmers=(2,), window=7, floor=floor)
    frame = position_features(made_gene()[0], np.full(90, value), np.zeros(90), spec=spec)
    assert all(np.isfinite(frame[name].to_numpy()).all() for name in frame.columns)
    assert frame["neither_score"].unique().to_numpy() == pytest.approx(1 - value, abs=2.1e-5)


def test_gene_of_one_position_has_finite_features():
    frame = position_features("A" * 15, [0.5], [0.5], spec=EVERYTHING)
    assert frame.height == 1
    assert all(np.isfinite(frame.row(0)))
    assert frame["relative_position"].item() == 0


def test_other_strand_read_backwards_has_mirrored_features():
    text, donor, acceptor = made_gene()
    turned = text[::-1].translate(COMPLEMENT)
    forward = position_features(text, donor, acceptor, spec=EVERYTHING)
    backward = position_features(turned, donor[::-1], acceptor[::-1], spec=EVERYTHING).reverse()
    mirrored = {"donor_score_m2": "donor_score_p2", "acceptor_diff_p1": "acceptor_diff_m1"}
    mirrored |= {name: name for name in ("gc_content", "donor_weighted_context", "gene_length")}
    turn = {"upstream": "downstream", "downstream": "upstream"}
    for name in LANDSCAPE:
        mirrored[name] = re.sub("|".join(turn), lambda side: turn[side[0]], name)
    mirrored |= {"distance_to_start": "distance_to_end"}
    for name in EVERYTHING.count_columns:
        prefix, _, word = name.partition("_")
        mirrored[name] = f"{prefix}_{word[::-1].translate(COMPLEMENT)}"
    for name, other in mirrored.items():
        assert forward[name].to_numpy() == pytest.approx(backward[other].to_numpy(), rel=1e-6)


def test_span_tells_where_in_the_gene_a_position_is():
    text = "T" * 7 + "G" * 9 + "A" * 2 + "T" * 7
    spec = Spec(("span",), window=7)
    frame = position_features(text, *np.zeros((2, 11)), [0, 5, 10], spec)
    assert frame["distance_to_start"].to_list() == [0, 5, 10]
    assert frame["distance_to_end"].to_list() == [10, 5, 0]
    assert frame["relative_position"].to_list() == [0, 0.5, 1]
    assert frame["gene_length"].unique().to_list() == [11]
    assert frame["gene_gc_content"].unique().to_list() == pytest.approx([9 / 11])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": "ACGT"}, "the sequence has 4 nt, wanted 104: the 90 scored ones and 7"),
        ({"sequence": np.full(104, 5, np.uint8)}, "codes are uint8 from 0 to 4"),
        ({"sequence": np.zeros(104)}, "codes are uint8 from 0 to 4"),
        ({"donor": np.full(90, 1.5)}, "donor score 1.5 at position 0 is no probability"),
        ({"acceptor": np.full(90, np.nan)}, "acceptor score nan at position 0"),
        ({"donor": np.zeros(89)}, r"shapes \(89,\) and \(90,\)"),
        ({"positions": [3, 90]}, "positions 3 to 90 are not all inside the gene: wanted 0 to 89"),
        ({"positions": [-1]}, "not all inside the gene"),
    ],
)
def test_impossible_tracks_are_refused(change, message):
    text, donor, acceptor = made_gene()
    given = {"sequence": text, "donor": donor, "acceptor": acceptor, "spec": EVERYTHING}
    with pytest.raises(InputError, match=message):
        position_features(**given | change)
