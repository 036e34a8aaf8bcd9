"""Tests of steps.sequence: scores, the built table, calls and tracks of small genomes."""

import json
import logging
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from genebatch.features import cross_fitting, training_table
from genebatch.features.positions import FEATURE_VERSION, Spec, position_features
from genebatch.features.sampling import Strata
from genebatch.features.structure.columns import COLUMNS as STRUCTURE
from genebatch.features.structure.model import StructureKeys
from genebatch.features.training_table import METADATA
from genebatch.genome.fasta import Fasta
from genebatch.genome.scores import spliceai
from genebatch.io.files import InputError
from genebatch.steps import sequence as steps
from genebatch.steps.sequence import build_dataset, score_genes_light, score_genes_spliceai
from tests.builders.annotations import READING
from tests.builders.held_genome import made_codes, made_gene, made_scores, write_genome, write_gtf

CONTIGS = {"c1": 3_000, "c2": 2_000}
# Name: contig, strand, exons of each transcript (0-based half-open).
#   alpha: nt 400 ends an exon of one transcript and begins an exon of the other.
#   omega overlaps alpha on its strand: its donor at 949 lies in alpha's last exon, and alpha's
#   acceptor at 900 lies in omega's first.
#   gamma and delta are alone on their strands; a given group joins them.
MODELS = {
    "alpha": (
        "c1",
        "+",
        [[(100, 200), (300, 401), (900, 1100)], [(150, 200), (400, 500), (900, 1050)]],
    ),
    "omega": ("c1", "+", [[(850, 950), (1400, 1500)]]),
    "gamma": ("c1", "-", [[(2000, 2100), (2500, 2600)]]),
    "delta": ("c2", "+", [[(0, 50), (1900, 2000)]]),
}
# The same genes with their sites elsewhere.
MOVED = {
    "alpha": ("c1", "+", [[(100, 180), (320, 421), (870, 1100)], [(150, 180), (421, 520)]]),
    "omega": ("c1", "+", [[(850, 960), (1350, 1500)]]),
    "gamma": ("c1", "-", [[(2000, 2150), (2450, 2600)]]),
    "delta": ("c2", "+", [[(0, 70), (1800, 2000)]]),
}
LENGTHS = {"alpha": 1_000, "omega": 650, "gamma": 600, "delta": 2_000}
SPEC = Spec(families=("scores", "landscape", "kmers"), kmers=(2,), window=10)
SAMPLING = {
    "candidates_above": 0.1,
    "rest": [{"above": 1e-6, "fraction": 0.3}, {"above": 0, "fraction": 0.05}],
    "seed": 7,
}


def gtf(models):
    lines = []
    for name, (chrom, strand, transcripts) in models.items():
        for number, exons in enumerate(transcripts):
            facts = f'gene_id "{name}"; transcript_id "{name}.{number}"; gene_type "coding";'
            lines += [
                f"{chrom}\tmade\texon\t{start + 1}\t{end}\t.\t{strand}\t.\t{facts}"
                for start, end in exons
            ]
    return "\n".join(lines) + "\n"


def entries(name, seed):
    """All scores of a gene as table rows."""
    donor, acceptor = made_scores(LENGTHS[name], seed)
    return pl.DataFrame(
        {"gene_id": name, "position": np.arange(len(donor)), "donor": donor, "acceptor": acceptor}
    )


# Base scores


THREE_GENES = {
    "B": ("chr1", "+", 30, 1_000),
    "A": ("chr1", "-", 900, 2_500),
    "C": ("chr1", "+", 10, 90),
}


def half_and_half(bases):
    """A network that gives every position the same scores."""
    return np.tile([0.5, 0.25, 0.25], (len(bases) - 2 * spliceai.FLANK, 1))


@pytest.fixture(params=["light", "spliceai"])
def score(request, tmp_path, monkeypatch):
    """Score genes of a contig of 3,000 nt by one of the scorers; gives the file."""
    model = spliceai.SpliceModel("toy", half_and_half)
    monkeypatch.setattr(spliceai, "published_model", lambda threads: model)

    def run(genes):
        letters = np.array(list("ACGTN"))[made_codes(3_000)]
        fasta, gtf = write_genome(tmp_path, {"chr1": "".join(letters)}, genes)
        files = {"fasta": fasta, "genes": gtf, "scores": tmp_path / "scores.parquet"}
        if request.param == "light":
            score_genes_light(**files, reading=READING)
        else:
            score_genes_spliceai(**files, reading=READING, threads=1)
        return files["scores"]

    run.path = tmp_path / "scores.parquet"
    return run


def test_scores_are_sorted_by_gene_id_and_position(score, caplog):
    caplog.set_level(logging.INFO)
    rows = pl.read_parquet(score(THREE_GENES)).with_columns(pl.col("gene_id").cast(pl.String))
    assert rows["gene_id"].unique(maintain_order=True).to_list() == ["A", "B", "C"]
    assert rows.equals(rows.sort("gene_id", "position"))
    assert rows.select("gene_id", "position").is_unique().all()
    # 970 + 1,600 + 80
    assert f"3 genes, 2,650 positions scored, {rows.height:,} entries in" in caplog.text


def test_gene_beyond_the_genome_is_refused_before_anything_is_written(score):
    with pytest.raises(InputError, match=r"'G' ends at 3,001 but chr1"):
        score({"G": ("chr1", "+", 0, 3_001)})
    assert not score.path.exists()


# The training table


@pytest.fixture
def genome(tmp_path):
    """Write the genome; gives the inputs and settings of `build_dataset`."""
    folder = tmp_path / "data"
    folder.mkdir()
    letters = np.array(list("ACGTN"))
    (folder / "genome.fa").write_text(
        "".join(
            f">{name}\n{''.join(letters[made_codes(length, seed)])}\n"
            for seed, (name, length) in enumerate(CONTIGS.items())
        )
    )
    (folder / "genes.gtf").write_text(gtf(MODELS))
    (folder / "groups.tsv").write_text("gene_id\tgroup\ngamma\tpair\ndelta\tpair\n")
    pl.concat(entries(name, seed) for seed, name in enumerate(sorted(LENGTHS))).write_parquet(
        folder / "scores.parquet"
    )
    return {
        "fasta": str(folder / "genome.fa"),
        "genes": str(folder / "genes.gtf"),
        "reading": READING,
        "groups": str(folder / "groups.tsv"),
        "scores": str(folder / "scores.parquet"),
        "unscored": "error",
        "features": SPEC,
        "sampling": Strata.build(SAMPLING),
    }


def build(genome, folder, n_shards=2):
    """The table of all shards with the shard's number, and the table of genes."""
    paths = [folder / f"part-{number:03d}.parquet" for number in range(n_shards)]
    build_dataset(**genome, n_shards=n_shards, shards=paths, table=folder / "genes.tsv")
    shards = [pl.read_parquet(path).with_columns(shard=pl.lit(n)) for n, path in enumerate(paths)]
    return pl.concat(shards), pl.read_csv(folder / "genes.tsv", separator="\t")


@pytest.fixture
def built(genome, tmp_path):
    return build(genome, tmp_path / "table")


def labelled(rows, gene):
    """Genomic position of every site row of a gene with its label."""
    sites = rows.filter(pl.col("gene_id") == gene, pl.col("splice_type") != "neither")
    return dict(sites.select("genomic_position", "splice_type").iter_rows())


def test_columns_are_metadata_then_features_in_their_order(built):
    rows, _ = built
    assert tuple(rows.columns) == (*METADATA, *SPEC.columns, "shard")
    assert tuple(METADATA) == (
        *("gene_id", "transcript_id", "chrom", "strand", "gene_type", "group", "row", "position"),
        *("genomic_position", "splice_type", "row_source", "sample_weight"),
    )
    counts = set(SPEC.count_columns)
    wanted = {name: pl.UInt8 if name in counts else pl.Float32 for name in SPEC.columns}
    assert {name: rows.schema[name] for name in SPEC.columns} == wanted
    assert rows.null_count().sum_horizontal().item() == 0


def test_donor_is_the_last_nt_of_an_exon_and_acceptor_the_first_on_both_strands(built):
    rows, _ = built
    assert labelled(rows, "alpha") == {
        **dict.fromkeys((199, 499), "donor"),
        **dict.fromkeys((300, 900), "acceptor"),
    }
    assert labelled(rows, "gamma") == {2500: "donor", 2099: "acceptor"}
    assert rows.filter(gene_id="gamma", splice_type="donor")["position"].to_list() == [99]


def test_position_that_is_donor_and_acceptor_is_left_out_and_counted(built):
    rows, genes = built
    assert rows.filter(pl.col("gene_id") == "alpha", pl.col("genomic_position") == 400).is_empty()
    assert dict(genes.select("gene_id", "ambiguous").iter_rows()) == {
        **dict.fromkeys(("omega", "gamma", "delta"), 0),
        "alpha": 1,
    }


def test_site_of_another_gene_is_no_row_of_this_one_and_counted(built):
    rows, genes = built
    here = {
        name: set(rows.filter(pl.col("gene_id") == name)["genomic_position"])
        for name in ("alpha", "omega")
    }
    assert 949 in here["omega"]
    assert 949 not in here["alpha"]
    assert 900 in here["alpha"]
    assert 900 not in here["omega"]
    counts = dict(genes.select("gene_id", "foreign").iter_rows())
    assert counts == {"alpha": 1, "omega": 1, "gamma": 0, "delta": 0}


def test_weights_of_a_gene_sum_to_its_length_less_what_is_left_out(built):
    rows, genes = built
    summed = dict(rows.group_by("gene_id").agg(pl.sum("sample_weight")).iter_rows())
    for gene in genes.iter_rows(named=True):
        kept = gene["length"] - gene["foreign"] - gene["ambiguous"]
        assert summed[gene["gene_id"]] == pytest.approx(kept, rel=1e-12)


def test_every_candidate_is_a_row(built):
    rows, _ = built
    for seed, name in enumerate(sorted(LENGTHS)):
        strong = np.flatnonzero(made_scores(LENGTHS[name], seed).max(axis=0) >= np.float32(0.1))
        kept = rows.filter(pl.col("gene_id") == name, pl.col("sample_weight") == 1)["position"]
        assert len(set(strong) - set(kept)) <= 2  # at most the foreign and the ambiguous one
        assert len(strong) > 20


def test_overlapping_genes_and_given_groups_stay_in_one_shard(built):
    rows, genes = built
    shard = dict(genes.select("gene_id", "shard").iter_rows())
    assert shard["alpha"] == shard["omega"] != shard["gamma"] == shard["delta"]
    assert dict(rows.select("gene_id", "shard").unique().iter_rows()) == shard
    assert rows.select("gene_id", "group").n_unique() == 4
    assert rows["group"].n_unique() == 2


def test_rows_are_sorted_and_numbered_inside_their_group(built):
    rows, _ = built
    assert rows.equals(rows.sort("shard", "group", "gene_id", "position"))
    assert not rows.select("group", "row").is_duplicated().any()
    first = {"alpha": 0, "omega": LENGTHS["alpha"], "delta": 0, "gamma": LENGTHS["delta"]}
    offset = rows["gene_id"].replace_strict(first, return_dtype=pl.Int64)
    assert (rows["row"] == rows["position"] + offset).all()


def test_features_at_the_rows_are_those_of_the_whole_gene(built, genome):
    rows, genes = built
    with Fasta(genome["fasta"]) as fasta:
        for seed, name in enumerate(sorted(LENGTHS)):
            gene = genes.row(by_predicate=pl.col("gene_id") == name, named=True)
            codes = fasta.fetch(gene["chrom"], gene["start"] - 10, gene["end"] + 10, gene["strand"])
            scores = made_scores(LENGTHS[name], seed)
            mine = rows.filter(pl.col("gene_id") == name)
            wanted = position_features(codes, *scores, mine["position"].to_numpy(), SPEC)
            assert mine.select(SPEC.columns).equals(wanted)


def test_number_of_shards_changes_no_row(built, genome, tmp_path):
    rows, _ = built
    one, _ = build(genome, tmp_path / "one", n_shards=1)
    order = ["group", "row"]
    assert one.drop("shard").sort(order).equals(rows.drop("shard").sort(order))


def test_rows_made_at_a_time_change_no_row(built, genome, tmp_path, monkeypatch):
    rows, _ = built
    monkeypatch.setattr(training_table, "BLOCK", 330)
    monkeypatch.setattr(training_table, "ROW_GROUP", 70)
    small, _ = build(genome, tmp_path / "small")
    assert small.equals(rows)
    groups = pq.ParquetFile(tmp_path / "small/part-000.parquet").metadata
    assert max(groups.row_group(i).num_rows for i in range(groups.num_row_groups)) == 70


def test_further_genes_change_no_row_of_a_gene(built, genome, tmp_path):
    rows, _ = built
    (tmp_path / "data/fewer.gtf").write_text(gtf({"gamma": MODELS["gamma"]}))
    alone = genome | {"genes": str(tmp_path / "data/fewer.gtf"), "groups": None}
    fewer, _ = build(alone, tmp_path / "fewer", n_shards=1)
    here = rows.filter(pl.col("gene_id") == "gamma")
    free = ["shard", "group", "row"]
    assert fewer.drop(free).equals(here.drop(free))


def test_longest_transcript_alone_gives_the_labels(genome, tmp_path):
    rows, genes = build(
        genome | {"reading": replace(READING, transcripts="longest")}, tmp_path / "longest"
    )
    # 400 is a donor here, but an acceptor of the other transcript.
    assert labelled(rows, "alpha") == {199: "donor", 300: "acceptor", 900: "acceptor"}
    assert rows.filter(gene_id="alpha")["transcript_id"].unique().to_list() == ["alpha.0"]
    assert genes["transcripts"].to_list() == [1] * 4
    counts = genes.row(by_predicate=pl.col("gene_id") == "alpha", named=True)
    assert (counts["ambiguous"], counts["other"]) == (1, 1)  # 400; 499 of the other transcript
    assert rows.filter(gene_id="alpha", genomic_position=499).is_empty()
    kept = counts["length"] - counts["foreign"] - counts["ambiguous"] - counts["other"]
    assert rows.filter(gene_id="alpha")["sample_weight"].sum() == pytest.approx(kept, rel=1e-12)


def test_genes_of_other_biotypes_are_no_rows_and_their_sites_none_of_other_genes(genome, tmp_path):
    path = tmp_path / "genes.gtf"
    lines = [
        f'{line} gene_biotype "{"lncRNA" if "omega" in line else "protein_coding"}";'
        for line in gtf(MODELS).splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")
    coding = replace(READING, biotypes=("protein_coding",))
    given = genome | {"genes": str(path), "reading": coding}
    rows, genes = build(given, tmp_path / "coding")
    assert set(genes["gene_id"]) == {"alpha", "gamma", "delta"}
    # A site of omega, which lies in alpha too.
    assert rows.filter(gene_id="alpha", genomic_position=949).is_empty()
    assert dict(genes.select("gene_id", "foreign").iter_rows())["alpha"] == 1
    schema = pq.read_schema(tmp_path / "coding/part-000.parquet")
    facts = json.loads(schema.metadata[b"genebatch.sequence"])
    assert facts["biotypes"] == ["protein_coding"]


def test_moved_sites_change_no_structure_of_a_gene(genome, tmp_path, monkeypatch):
    """Labels reach neither the chains nor what is learned of codons."""
    monkeypatch.setattr(cross_fitting, "FEWEST_PAIRS", 0)
    learning = Spec(
        families=("scores", "structure"), structure=StructureKeys(coding="learned"), window=10
    )
    made = []
    for number, models in enumerate((MODELS, MOVED)):
        path = tmp_path / f"data/moved-{number}.gtf"
        path.write_text(gtf(models))
        here = genome | {"genes": str(path), "features": learning}
        made.append(build(here, tmp_path / f"moved-{number}")[0])
    assert not made[0]["splice_type"].equals(made[1]["splice_type"])
    keys = ["gene_id", "position"]
    one, other = (rows.sort(keys) for rows in made)
    one = one.join(other, on=keys, how="semi")
    other = other.join(one, on=keys, how="semi")
    assert one.height > 50
    for name in STRUCTURE:
        assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


def test_shards_say_what_they_were_made_with(built, genome, tmp_path):
    rows, genes = built
    schema = pq.read_schema(tmp_path / "table/part-001.parquet")
    facts = json.loads(schema.metadata[b"genebatch.sequence"])
    assert Spec.build(facts["features"]) == SPEC
    assert facts["sampling"] == SAMPLING
    assert facts["transcripts"] == "all"
    sources = dict(rows.group_by("row_source").len().iter_rows())
    assert facts["counts"]["rows"] == sources
    assert facts["counts"]["genes"] == 4
    assert facts["counts"]["positions"] == sum(LENGTHS.values())
    assert facts["counts"]["foreign"] == genes["foreign"].sum() == 2


def facts_of(path):
    return json.loads(pq.read_schema(path).metadata[b"genebatch.sequence"])


def test_shards_tell_feature_version_and_least_score(built, tmp_path):
    larger = np.concatenate(
        [made_scores(LENGTHS[name], seed).max(axis=0) for seed, name in enumerate(sorted(LENGTHS))]
    )
    facts = facts_of(tmp_path / "table/part-000.parquet")
    assert facts["feature_version"] == FEATURE_VERSION
    assert facts["least_score"] == float(larger[larger > 0].min())


def test_least_score_is_null_where_no_gene_has_any(genome, tmp_path):
    zero = pl.read_parquet(genome["scores"]).with_columns(donor=0.0, acceptor=0.0)
    zero.write_parquet(genome["scores"])
    build(genome, tmp_path / "table")
    assert facts_of(tmp_path / "table/part-000.parquet")["least_score"] is None


def test_shards_tell_how_sequence_and_scores_fit_the_sites(built, tmp_path):
    facts = facts_of(tmp_path / "table/part-000.parquet")["alignment"]
    assert facts["offsets"] == [-2, -1, 0, 1, 2]
    # gamma is the one gene of the minus strand; its donor is at gene position 99.
    donor = facts["minus"]["donor"]
    track = made_scores(LENGTHS["gamma"], sorted(LENGTHS).index("gamma"))[0]
    assert donor["sites"] == 1
    assert donor["motif_share"] in (0, 1)
    assert donor["scores"] == pytest.approx(track[97:102], abs=1e-6)
    assert facts["plus"]["acceptor"]["sites"] == 5


@pytest.fixture
def spliced(genome, tmp_path):
    """A genome of one gene whose 20 introns begin with GT and end with AG; gives its config."""
    folder = tmp_path / "data"
    exons = [(100 * n, 100 * n + 40) for n in range(1, 22)]
    text = ["A"] * 3_000
    for _, end in exons[:-1]:
        text[end : end + 2], text[end + 58 : end + 60] = "GT", "AG"
    (folder / "genome.fa").write_text(f">c1\n{''.join(text)}\n")
    write_gtf(folder / "genes.gtf", [made_gene(100, 2_140, "+", "alpha", "c1", [exons])])
    table = pl.DataFrame(
        {
            "gene_id": "alpha",
            "position": sorted(end - 101 for _, end in exons[:-1]),
            "donor": 0.9,
            "acceptor": 0.0,
        }
    )
    table.write_parquet(folder / "scores.parquet")
    return genome | {"groups": None}


def test_scores_one_position_beside_the_sites_are_refused(spliced, tmp_path):
    build(spliced, tmp_path / "table", n_shards=1)
    table = pl.read_parquet(spliced["scores"])
    table.with_columns(pl.col("position") + 1).write_parquet(spliced["scores"])
    with pytest.raises(InputError, match=r"shifted by \+1 .*set sequence\.scores"):
        build(spliced, tmp_path / "other", n_shards=1)
    assert not (tmp_path / "other").exists()


def test_genes_of_another_assembly_are_refused_before_scores_are_read(spliced, tmp_path):
    (tmp_path / "data/genome.fa").write_text(f">c1\n{'A' * 3_000}\n")
    with pytest.raises(InputError, match=r"different assemblies.*set sequence\.fasta"):
        build(spliced | {"scores": "nowhere.parquet"}, tmp_path / "table", n_shards=1)


def test_what_an_earlier_build_left_goes_from_the_folder_of_the_shards_alone(genome, tmp_path):
    folder, beside = tmp_path / "table", tmp_path / "beside"
    for place in (folder, beside, folder / "part-of-it"):
        place.mkdir()
        for name in ("part-007.parquet", ".x1y2.part.parquet", ".x1y2.part.tsv", "mine.parquet"):
            (place / name).write_text("old")
    rows, _ = build(genome, folder)
    assert {path.name for path in folder.iterdir()} == {
        *("part-000.parquet", "part-001.parquet", "genes.tsv"),
        *(".x1y2.part.tsv", "mine.parquet", "part-of-it"),
    }
    assert len(list(beside.iterdir())) == len(list((folder / "part-of-it").iterdir())) == 4
    assert pl.read_parquet(folder / "part-*.parquet").height == rows.height


def test_build_with_fewer_shards_leaves_none_of_the_earlier(genome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, _ = build(genome, tmp_path / "table", n_shards=2)
    files = {"shards": ["table/part-000.parquet"], "table": "table/genes.tsv"}
    build_dataset(**genome, n_shards=1, **files)
    assert pl.read_parquet(tmp_path / "table/part-*.parquet").height == rows.height


def test_failed_build_removes_no_shard(genome, tmp_path):
    build(genome, tmp_path / "table")
    with pytest.raises(InputError):
        build_dataset(
            **genome | {"genes": "nowhere.gtf"},
            n_shards=1,
            shards=[tmp_path / "table/part-000.parquet"],
            table="genes.tsv",
        )
    assert (tmp_path / "table/part-001.parquet").exists()


def test_genes_table_counts_sites_and_rows_of_each_source(built):
    rows, genes = built
    alpha = genes.row(by_predicate=pl.col("gene_id") == "alpha", named=True)
    place = ("c1", "+", 100, 1_100, 1_000)
    assert tuple(alpha[name] for name in ("chrom", "strand", "start", "end", "length")) == place
    assert (alpha["transcripts"], alpha["donors"], alpha["acceptors"]) == (2, 2, 2)
    for source in ("site", "candidate", "rest_1e-06", "rest_0"):
        found = rows.filter(gene_id="alpha", row_source=source).height
        assert alpha[f"rows_{source}"] == found


def test_nothing_is_left_behind_where_a_shard_fails(genome, tmp_path, monkeypatch):
    folder = tmp_path / "table"
    build(genome, folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    write = steps.write_shard

    def fail_on_the_second(path, genome, members, strata, facts):
        if members[0].gene.id != "alpha":
            raise OSError("disk full")
        write(path, genome, members, strata, facts)

    monkeypatch.setattr(steps, "write_shard", fail_on_the_second)
    genome["sampling"] = replace(genome["sampling"], seed=8)
    with pytest.raises(OSError, match="disk full"):
        build(genome, folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (("c9", "+", [[(0, 50)]]), "genes on chromosomes that .* lacks: 'odd' on 'c9'"),
        (("c1", "+", [[(2_900, 3_001)]]), "'odd' ends at 3,001 but c1"),
        (("c1", "+", [[(2_900, 2_904)]]), "1 genes shorter than 5 nt, which have no features: odd"),
    ],
)
def test_gene_without_features_is_left_out_by_name(genome, tmp_path, caplog, model, message):
    (tmp_path / "data/genes.gtf").write_text(gtf(MODELS | {"odd": model}))
    _, genes = build(genome | {"unscored": "zero"}, tmp_path / "table")
    assert "odd" not in genes["gene_id"].to_list()
    assert re.search(message, caplog.text)


def test_genes_that_are_all_without_features_are_refused(genome, tmp_path):
    (tmp_path / "data/genes.gtf").write_text(gtf({"odd": ("c1", "+", [[(2_900, 2_904)]])}))
    with pytest.raises(InputError, match=r"all 1 genes are shorter than 5 nt .*\(odd\)"):
        build(genome | {"unscored": "zero"}, tmp_path / "table")


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        (("gamma.1", "delta.7"), "its ids have other versions: 'gamma.1' there, 'gamma' in the"),
        (("G. of gamma", "G. of delta"), "its ids look like gene names: 'G. of gamma' is gene 'ga"),
        (("x1", "x2"), "wanted the ids of these genes; set sequence.groups"),
    ],
)
def test_given_groups_of_no_gene_are_refused(genome, tmp_path, ids, hint):
    named = re.sub('gene_id "(.*?)";', r'\g<0> gene_name "G. of \1";', gtf(MODELS))
    (tmp_path / "data/genes.gtf").write_text(named)
    lines = "".join(f"{name}\tpair\n" for name in ids)
    (tmp_path / "data/groups.tsv").write_text("gene_id\tgroup\n" + lines)
    fact = "groups.tsv: none of its 2 gene ids is in "
    with pytest.raises(InputError, match=f"{fact}.*genes.gtf: .*{re.escape(hint)}"):
        build(genome, tmp_path / "table", n_shards=1)
    assert not (tmp_path / "table").exists()


def test_given_groups_are_counted_and_unknown_ids_are_named(genome, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    models = MODELS | {"beyond": ("c9", "+", [[(0, 50)]])}
    other = gtf({"other": ("c2", "-", [[(0, 50)]])}).replace("coding", "rna")
    (tmp_path / "data/genes.gtf").write_text(gtf(models) + other)
    ids = ["gamma", "delta", "beyond", "other", *(f"x{number}" for number in range(6))]
    lines = "".join(f"{name}\tpair\n" for name in ids)
    (tmp_path / "data/groups.tsv").write_text("gene_id\tgroup\n" + lines)
    genome["reading"] = replace(READING, biotypes=("coding",))
    _, genes = build(genome, tmp_path / "table", n_shards=1)
    assert genes.filter(pl.col("gene_id").is_in(["gamma", "delta"]))["group"].n_unique() == 1
    assert "groups.tsv: 2 of 10 gene ids are genes of the table, 2 are of genes left out" in (
        caplog.text
    )
    (warning,) = (r.message for r in caplog.records if "groups.tsv" in r.message and r.levelno > 20)
    assert "6 of 10 gene ids are not in" in warning
    assert "they join nothing: x0, x1, x2, x3, ..." in warning


def test_more_shards_than_groups_are_refused(genome, tmp_path):
    with pytest.raises(InputError, match=r"set sequence\.n_shards to at most 2"):
        build(genome, tmp_path / "table", n_shards=3)
    assert not (tmp_path / "table").exists()
