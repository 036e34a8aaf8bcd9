"""Tests of calls.evaluation.tiers: what the annotation says of a call, by hand."""

import numpy as np
import pytest

from genebatch.calls.evaluation.counts import TIERS, TrackCounter
from genebatch.calls.evaluation.tables import corrections
from genebatch.calls.evaluation.tiers import canonical_by, tier_codes, tier_table
from genebatch.features.gene_rows import label_sites
from genebatch.genome.choice import choose_transcripts
from genebatch.genome.genes import Gene, Transcript, sites_on_strand, unlabelled

LENGTH = 100
# Two transcripts, of which the shorter one is tagged; on the plus strand the first has the donors 9
# and 29 and the acceptors 20 and 60, the second the donors 9 and 49 and the acceptors 40 and 60.
TAGGED = Transcript("a", ((0, 10), (20, 30), (60, 100)), "MANE_Select")
LONGER = Transcript("b", ((0, 10), (40, 50), (60, 100)), "basic")
# Of another gene on the strand: the donor 69 and the acceptor 75.
GUEST = (Transcript("c", ((62, 70), (75, 80))),)


def genes(which, strand="+", tagged=True):
    own = (TAGGED, LONGER) if tagged else (TAGGED._replace(tag=""), LONGER._replace(tag=""))
    host = Gene("H", "H", "chr1", strand, 0, LENGTH, "", own, unsure=((85, 87),))
    guest = Gene("G", "G", "chr1", strand, 62, 80, "", GUEST)
    every = [host, guest]
    return choose_transcripts("genes.gtf", every, which, "error", every)


def mirrored(places, strand):
    return sorted(places if strand == "+" else (LENGTH - 1 - place for place in places))


def codes(made):
    host = made[0]
    on_strand = sites_on_strand(made)[host.id]
    labels = label_sites(host, unlabelled(host, on_strand))
    return labels, tier_codes(host, labels, on_strand)


def places(row, tier):
    return np.flatnonzero(row == TIERS.index(tier)).tolist()


@pytest.mark.parametrize("which", ["all", "canonical"])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_every_position_has_one_tier_for_each_class(which, strand):
    labels, (donors, acceptors) = codes(genes(which, strand))
    # On the minus strand the ends of exons change their parts.
    lasts, firsts = (donors, acceptors) if strand == "+" else (acceptors, donors)
    assert places(lasts, "canonical") == mirrored([9, 29], strand)
    assert places(firsts, "canonical") == mirrored([20, 60], strand)
    assert places(lasts, "other") == mirrored([49], strand)
    assert places(firsts, "other") == mirrored([40], strand)
    assert places(lasts, "other_gene") == mirrored([69], strand)
    assert places(firsts, "other_gene") == mirrored([75], strand)
    # Without a label: the unsure stretch, sites of the guest as the other class, and, where they
    # are no labels, those of the other transcript.
    more = [40] if which == "canonical" else []
    assert places(lasts, "unknown") == mirrored([75, 85, 86, *more], strand)
    assert labels.other.tolist() == ([] if which == "all" else mirrored([40, 49], strand))


def test_the_longest_transcript_is_the_canonical_one_where_nothing_is_tagged():
    # a has 60 exonic nt and b as many: the first id.
    _, (donors, _) = codes(genes("longest", tagged=False))
    assert places(donors, "canonical") == [9, 29]


def counted(made, model):
    labels, tiers = codes(made)
    scores = np.zeros((2, 2, LENGTH), np.float32)
    scores[1, 0, model] = 0.9
    scores[0, 0, [9, 49]] = 0.45
    limits, base = (dict.fromkeys(("donor", "acceptor"), value) for value in (0.6, 0.4))
    counter = TrackCounter(1, limits, 1e-5, base)
    counter.add(0, labels, tiers, scores)
    return counter.finish()


def line(table, tier, name="donor", at="default"):
    rows = [r for r in table.iter_rows(named=True) if (r["class"], r["tier"]) == (name, tier)]
    return next(row for row in rows if row["base_at"] == at)


CALLED = [9, 29, 49, 69, 85, 20, 95]  # two canonical, other, guest, unsure, an acceptor, nothing


def test_calls_are_counted_by_tier_and_recall_is_that_of_the_sites():
    table = tier_table(counted(genes("canonical"), CALLED))
    assert table.height == 2 * 3 * len(TIERS)
    canonical, other = line(table, "canonical"), line(table, "other")
    assert (canonical["positions"], canonical["left_out"]) == (2, 0)
    assert (canonical["model_called"], canonical["model_recall"]) == (2, 1.0)
    assert (canonical["base_called"], canonical["base_recall"]) == (0, 0.0)
    assert line(table, "canonical", at="best_f1")["base_recall"] == 0.5
    # The donor of the other transcript is no label, so its call is neither right nor false.
    assert (other["positions"], other["left_out"], other["model_left_out"]) == (1, 1, 1)
    assert other["model_recall"] == 1.0
    guest = line(table, "other_gene")
    assert (guest["positions"], guest["model_called"], guest["model_recall"]) == (1, 1, None)
    assert line(table, "unknown")["model_called"] == 1
    # Of the calls, only the one at an acceptor and the one at nothing are false.
    assert line(table, "none")["model_called"] == 2
    assert sum(line(table, tier)["positions"] for tier in TIERS) == LENGTH
    both = line(table, "other", "all")
    assert (both["positions"], both["model_called"], both["model_recall"]) == (2, 1, 0.5)


@pytest.mark.parametrize(("which", "sites"), [("all", 3), ("canonical", 2)])
def test_errors_are_those_of_the_labels(which, sites):
    tracks = counted(genes(which), CALLED)
    donor = corrections(tracks).row(0, named=True)
    assert (donor["n"], donor["model_missed"], donor["model_false"]) == (sites, 0, 2)
    table = tier_table(tracks)
    judged = sum(line(table, tier)["positions"] - line(table, tier)["left_out"] for tier in TIERS)
    assert judged == tracks.positions.sum()


def test_a_tier_without_sites_has_no_recall():
    host = Gene("H", "H", "chr1", "+", 0, LENGTH, "", (TAGGED,))
    labels = label_sites(host, np.empty(0, np.int64))
    counter = TrackCounter(1, dict.fromkeys(("donor", "acceptor"), 0.6), 1e-5)
    tiers = tier_codes(host, labels, sites_on_strand([host])["H"])
    counter.add(0, labels, tiers, np.zeros((2, 2, LENGTH), np.float32))
    row = line(tier_table(counter.finish()), "other")
    assert (row["positions"], row["base_recall"], row["model_recall"]) == (0, None, None)


def test_canonical_transcripts_are_counted_by_what_tells_them():
    bare = Gene("B", "B", "chr2", "+", 0, 9, "", (Transcript("x", ((0, 9),)),))
    assert canonical_by([*genes("canonical"), bare]) == {"MANE_Select": 1, "longest": 2}
