"""What genebatch.config promises."""

import copy

import pytest
import yaml

from genebatch.config import schema as config
from genebatch.io.data_files import find_shards
from genebatch.io.files import InputError
from genebatch.model.calibration import CALIBRATORS
from genebatch.model.combiners import COMBINERS
from genebatch.plan.strategies import STRATEGIES
from tests.builders import REPOSITORY

ROOT = REPOSITORY
MINIMAL = {
    "dataset": {"path": "data", "group": "gene", "label": "type", "classes": ["no", "yes"]},
    "learner": {"start_from": "none"},
}


def with_keys(**changes):
    """The minimal configuration with dotted keys, written with __, set."""
    given = copy.deepcopy(MINIMAL)
    for name, value in changes.items():
        *sections, key = name.split("__")
        part = given
        for section in sections:
            part = part.setdefault(section, {})
        part[key] = value
    return given


def leaves(schema, required=False, path=""):
    for name, child in schema["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        wanted = name in schema.get("required", [])
        if "properties" in child and "default" not in child:
            yield from leaves(child, wanted, here)
        else:
            yield here, child, wanted


GENOME = {"sequence": {"fasta": "g.fa", "genes": "g.gtf", "scorer": "light"}}


def genome_with(**changes):
    """A configuration that begins with a genome, with dotted keys, written with __, set."""
    given = copy.deepcopy(GENOME)
    for name, value in changes.items():
        section, key = name.split("__")
        given.setdefault(section, {})[key] = value
    return given


def at(filled, path):
    """The value at a dotted path."""
    for name in path.split("."):
        filled = filled[name]
    return filled


def enum(section, key):
    return config.load_schema()["properties"][section]["properties"][key]["enum"]


def test_the_reference_configuration_is_the_rendered_schema():
    found = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
    assert found == config.render(example=True)


def test_the_printed_configuration_holds_the_defaults():
    printed = yaml.safe_load(config.render())
    for path, child, required in leaves(config.load_schema()):
        wanted = child["examples"][0] if required else child["default"]
        assert at(printed, path) == wanted, path


def test_later_files_are_merged_over_earlier_ones(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(yaml.safe_dump(MINIMAL))
    second.write_text("cv: {seed: 3}\ndataset: {weight: w}\n")
    merged = config.load(first, second)
    assert merged["cv"] == {**config.load(first)["cv"], "seed": 3}
    assert merged["dataset"] == {**config.load(first)["dataset"], "weight": "w"}


def test_the_reference_configuration_has_every_key_and_is_valid():
    reference = yaml.safe_load(config.render(example=True))
    assert config.resolve(reference) == reference
    for path, _, _ in leaves(config.load_schema()):
        at(reference, path)


def test_every_key_has_a_description_and_a_default_or_is_required():
    for path, child, required in leaves(config.load_schema()):
        assert child.get("description", "").endswith("."), path
        assert ("default" in child) != required, path
        assert "type" in child or "enum" in child, path


def test_no_section_takes_unknown_keys():
    schema = config.load_schema()
    assert schema["additionalProperties"] is False
    for name, section in schema["properties"].items():
        assert "properties" not in section or section["additionalProperties"] is False, name


@pytest.mark.parametrize(
    ("section", "key", "known"),
    [
        ("batching", "strategy", STRATEGIES),
        ("ensemble", "combiner", COMBINERS),
        ("calibration", "method", ["auto", *CALIBRATORS]),
    ],
)
def test_the_schema_offers_what_the_library_has(section, key, known):
    assert set(enum(section, key)) == set(known)


def test_defaults_come_from_the_schema_alone():
    filled = config.resolve(MINIMAL)
    for path, child, required in leaves(config.load_schema()):
        if not required and path != "learner.start_from":
            assert at(filled, path) == child["default"], path


def test_resolving_leaves_its_input_alone_and_shares_no_default():
    given = copy.deepcopy(MINIMAL)
    filled = config.resolve(given)
    filled["dataset"]["metadata"].append("chrom")
    filled["dataset"]["classes"].append("maybe")
    assert given == MINIMAL
    assert config.resolve(given)["dataset"]["metadata"] == []


def test_resolving_twice_changes_nothing():
    assert config.resolve(config.resolve(MINIMAL)) == config.resolve(MINIMAL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence__genes": "g.gtf"}, "'sequence.genes' is set but sequence.fasta is not"),
        ({"bathcing__max_groups": 5}, "unknown key 'bathcing': did you mean 'batching'?"),
        ({"batching__max_gene": 5}, "unknown key 'batching.max_gene': did you mean 'max_groups'?"),
        ({"cv__zzz": 5}, "unknown key 'cv.zzz': known keys: n_splits, stop_fraction, seed"),
        ({"cv__n_splits": "five"}, "'cv.n_splits' is 'five'"),
        ({"cv__n_splits": 1}, "'cv.n_splits' is 1"),
        ({"test__fraction": 1.0}, "'test.fraction' is 1.0"),
        ({"dataset__classes": ["yes"]}, "'dataset.classes' is"),
        ({"dataset__classes": ["yes", "yes"]}, "'dataset.classes' is"),
        ({"dataset__classes": ["yes", "a\tb"]}, "'dataset.classes' has 'a\\tb', which is empty or"),
        ({"dataset__classes": ["yes", ""]}, "'dataset.classes' has '', which is empty or has"),
        ({"dataset__classes": ["yes", "all"]}, "'dataset.classes' has 'all', which means every"),
        ({"dataset__path": "da{t}a"}, "'dataset.path' is 'da{t}a': Snakemake takes braces"),
        ({"predict__tables": {"new": "a}"}}, "'predict.tables.new' is 'a}': Snakemake takes"),
        ({"results": "r{1}"}, "'results' is 'r{1}'"),
        ({"results": "./"}, "'results' is '.', and this folder lies in it"),
        ({"results": "../.."}, "'results' is '../..', and this folder lies in it"),
        ({"dataset": "data"}, "'dataset' is 'data'"),
        ({"batching__strategy": "random"}, "'batching.strategy' is 'random'"),
        (
            {"sampling__rest": [{"above": n / 300, "fraction": 1} for n in range(300)]},
            "wanted a list of 1 to 250 values",
        ),
        ({"learner__device": "gpu"}, "'learner.device' is 'gpu'"),
        ({"predict__tables": {"a/b": "data"}}, "'predict.tables' has the name 'a/b'"),
        ({"learner__start_from": "scores"}, "dataset.scores is null"),
        ({"learner__params": {"objective": "rank:map"}}, "'learner.params' may not set objective"),
        (
            {"learner__params": {"max_cached_hist_node": 9}},
            "'learner.params' may not set max_cached_hist_node: it is fixed",
        ),
        ({"learner__params": {"base_score": 0.5}}, "base_score: set learner.start_from"),
        ({"learner__params": {"nthread": 8}}, "nthread: set learner.threads"),
        ({"learner__params": {"tree_method": "exact"}}, "set learner.device or learner.max_bin"),
        ({"learner__params": {"disable_default_eval_metric": 0}}, "learner.early_stopping_rounds"),
        ({"learner__params": {"max_depth": 9}}, "max_depth: set learner.max_depth"),
        ({"learner__params": {"eta": 0.1}}, "eta: set learner.learning_rate"),
        (
            {"learner__params": {"monotone_constraints": "(1,-1)"}},
            "may not set monotone_constraints: it goes by the places of columns, and each booster",
        ),
        ({"learner__params": {"monotone_constraints": {"x": 1}}}, "would need opposite signs"),
        (
            {"learner__params": {"interaction_constraints": [[0, 1], [2]]}},
            "and each booster picks its own; learner.max_depth: 1 lets no features interact",
        ),
        ({"learner__params": {"feature_weights": [1, 2]}}, "feature_weights: it is of a matrix"),
        ({"learner__params": {"feature_types": ["c"]}}, "set dataset.categorical"),
        ({"dataset__scores": {"yes": "p"}}, "'dataset.scores' needs one column for each"),
        ({"dataset__null_label": "maybe"}, "'dataset.null_label' is 'maybe'"),
        ({"dataset__weight": "type"}, "names column 'type' for several roles"),
        ({"dataset__scores": {"yes": "p", "no": "p"}}, "names column 'p' for several roles"),
        ({"test__column": "chrom"}, "'test.column' and 'test.values' are set together"),
        ({"test__values": ["chr1"]}, "'test.column' and 'test.values' are set together"),
        (
            {"test__column": "chrom", "test__values": ["1"], "test__groups": ["a"]},
            "'test.groups' and 'test.column' exclude each other",
        ),
        (
            {"batching__min_groups": 30, "batching__max_groups": 20},
            "'batching.min_groups' is larger than batching.max_groups",
        ),
        ({"calibration__prevalence": {"yes": 0.2, "no": 0.7}}, "sums to 0.9, wanted 1"),
        ({"calibration__prevalence": {"yes": 0.5}}, "needs one share for each"),
        ({"calibration__prevalence": "weights"}, "'weights' but dataset.weight is null"),
        ({"calibration__prevalence": "genome"}, "'calibration.prevalence' is 'genome'"),
        ({"calibration__prevalence": {"yes": 1.5, "no": 0.5}}, "'calibration.prevalence.yes'"),
        (
            {"ensemble__combiner": "routed"},
            "'ensemble.combiner' is 'routed' but batching.strategy is",
        ),
        (
            {
                "ensemble__combiner": "routed",
                "batching__strategy": "similarity",
                "ensemble__with_single": True,
            },
            "'ensemble.combiner' is 'routed', which weighs members by how near their groups are",
        ),
        (
            {
                "ensemble__combiner": "routed",
                "batching__strategy": "similarity",
                "final": "both",
            },
            "'ensemble.combiner' is 'routed', which weighs members by how near their groups are",
        ),
        (
            {"ensemble__with_single": False, "final": "both"},
            "'final' is 'both' but ensemble.with_single is false",
        ),
        (
            {"cv__n_splits": 3, "single__n_splits": 4},
            "'single.n_splits' is 4, more than the 3 folds of cv.n_splits",
        ),
        (
            {"single__n_splits": 4},  # auto may mean three folds
            "'single.n_splits' is 4, so set 'cv.n_splits' to 4 or more too",
        ),
        ({"ensemble__combiner": "oracle"}, "'ensemble.combiner' is 'oracle'"),
        ({"ensemble__top_k": 3}, "'ensemble.top_k' needs ensemble.combiner: selected"),
        ({"ensemble__combiner": "selected", "ensemble__top_k": 0}, "'ensemble.top_k' is 0"),
        ({"ensemble__rivals": ["double"]}, "'ensemble.rivals.0' is 'double'"),
        ({"ensemble__distil_mix": [0.0]}, "'ensemble.distil_mix.0' is 0.0"),
        ({"final": "worst"}, "'final' is 'worst'"),
    ],
)
def test_a_mistake_is_named_by_its_key(changes, message):
    with pytest.raises(InputError) as caught:
        config.resolve(with_keys(**changes))
    assert message in str(caught.value)


def test_a_missing_key_comes_with_what_it_means():
    given = with_keys()
    del given["dataset"]["group"]
    with pytest.raises(InputError, match=r"missing key 'dataset.group': The column of the group"):
        config.resolve(given)
    with pytest.raises(InputError, match=r"missing key 'dataset': The input table"):
        config.resolve({})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        config.resolve(with_keys(cv__n_splits=0, test__fraction=2, learner__depth=3))
    for key in ("cv.n_splits", "test.fraction", "learner.depth"):
        assert key in str(caught.value)


def test_keys_that_yaml_reads_as_something_else_are_named_too():
    with pytest.raises(InputError) as caught:
        config.resolve(with_keys() | {True: 1, "extra": 2})
    assert "unknown key 'True'" in str(caught.value)
    assert "unknown key 'extra'" in str(caught.value)


def test_top_k_goes_with_selected():
    filled = config.resolve(with_keys(ensemble__combiner="selected", ensemble__top_k=3))
    assert filled["ensemble"]["top_k"] == 3


def test_a_prevalence_that_sums_to_one_is_taken():
    filled = config.resolve(with_keys(calibration__prevalence={"yes": 0.1, "no": 0.9}))
    assert filled["calibration"]["prevalence"] == {"yes": 0.1, "no": 0.9}


def test_the_prevalence_of_the_weights_needs_no_numbers():
    changes = {"calibration__prevalence": "weights", "dataset__weight": "w"}
    assert config.resolve(with_keys(**changes))["calibration"]["prevalence"] == "weights"


def test_a_file_is_read_and_resolved(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    assert config.load(path) == config.resolve(MINIMAL)


@pytest.mark.parametrize("text", ["[1, 2]", "dataset: [", "just words"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml"):
        config.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml"):
        config.load(tmp_path / "absent.yaml")


def test_the_results_folder_is_written_in_one_way_and_holds_the_built_table():
    filled = config.resolve(GENOME | {"results": "./my//results/"})
    assert filled["results"] == "my/results"
    assert filled["dataset"]["path"] == "my/results/table/part-*.parquet"
    usual = config.resolve(GENOME)
    assert config.resolve(usual | {"results": "my/results"}) == filled
    assert config.resolve(filled) == filled


@pytest.mark.parametrize("name", ["run[1]", "run*", "run?", "[1]/r"])
def test_the_built_table_is_that_of_these_results_whatever_their_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in ("run1", "runs", "1/r", name):
        (tmp_path / folder / "table").mkdir(parents=True)
        (tmp_path / folder / "table" / "part-000.parquet").touch()
    filled = config.resolve(GENOME | {"results": name})
    shards = find_shards(filled["dataset"]["path"])
    assert list(map(str, shards)) == [f"{name}/table/part-000.parquet"]
    assert config.resolve(filled) == filled
    for old in (f"{name}/table/part-*.parquet", f"{name}/table", "results/table"):
        earlier = filled | {"dataset": filled["dataset"] | {"path": old}}
        assert config.resolve(earlier) == filled


AMONG = [
    (".", "results"),
    ("data", "data/r"),
    ("data", "data"),
    ("data", "data/deep/r"),
    ("data[1]", "data[1]/r"),
    ("link", "data/r"),
    ("data/*", "data/r"),
    ("data/**", "data/r"),
    ("data/**/*.parquet", "data/r"),
    ("data/**/part-*", "data/deep/r"),
    ("data/*/*/*.parquet", "data/r"),
    ("*/*/*.tsv", "results"),
    ("*", "results"),
    ("[dr]*", "results"),
    ("_*/**", "_d/_r"),
]
APART = [
    ("data", "results"),
    ("data", "data2/r"),
    ("data", "data/_r"),
    ("data", "data/.r"),
    ("_d/**", "_d/_r"),
    ("data/a.csv", "data/r"),
    ("data/*.parquet", "data/r"),
    ("data/*/*.parquet", "data/r"),
    ("*/a/*.parquet", "data/r"),
    ("*.csv", "results"),
    ("**/*.csv", "results"),
    ("**/*.tsv.gz", "results"),
    ("data/[ab]*", "data/r"),
    ("data/r/table/part-*.parquet", "data/r"),
    ("data/r/table", "data/r"),
]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folder of a run with a folder of data."""
    monkeypatch.chdir(tmp_path)
    for name in ("data/deep", "data[1]", "data2", "_d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "a.csv").touch()
    (tmp_path / "link").symlink_to("data")


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(("path", "results"), AMONG)
@pytest.mark.parametrize("key", ["dataset.path", "predict.tables.new"])
def test_results_among_the_data_are_refused_with_a_glob_that_leaves_them_out(path, results, key):
    def resolve(path):
        of_data, new = (path, "n.csv") if key == "dataset.path" else ("d.csv", path)
        keys = {"dataset__path": of_data, "predict__tables": {"new": new}, "results": results}
        return config.resolve(with_keys(**keys))

    with pytest.raises(InputError) as raised:
        resolve(path)
    said = f"'{key}' is {path!r}, and the folder of 'results' ({results!r}) lies in it"
    assert said in str(raised.value)
    resolve(str(raised.value).rpartition("such as ")[2])


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize(("path", "results"), APART)
def test_results_beside_the_data_are_not_refused(path, results):
    config.resolve(with_keys(dataset__path=path, predict__tables={"new": path}, results=results))


@pytest.mark.usefixtures("folders")
def test_the_built_table_lies_in_the_results():
    filled = config.resolve(GENOME | {"results": "data/r"})
    table = {"dataset": MINIMAL["dataset"] | {"path": filled["dataset"]["path"]}}
    assert config.resolve(MINIMAL | table | {"results": "data/r"})["results"] == "data/r"


def test_a_genome_needs_no_words_about_its_table():
    filled = config.resolve(GENOME)
    assert filled["dataset"] | config.built_table("results") == filled["dataset"]
    assert filled["dataset"]["exclude"] == []
    assert config.resolve(filled) == filled


def test_columns_of_a_built_table_can_be_left_out():
    filled = config.resolve(genome_with(dataset__exclude=["5mer_*"]))
    assert filled["dataset"]["exclude"] == ["5mer_*"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence__genes": None}, "'sequence.genes' is missing"),
        ({"sequence__scorer": None}, "exactly one of them"),
        (
            {"sequence__scorer": {"command": "run {fasta}"}},
            "'sequence.scorer.command' lacks {scores}",
        ),
        ({"sequence__scorer": {"env": "a.yaml"}}, "missing key 'sequence.scorer.command'"),
        (
            {"sequence__scorer": {"command": "run {fasta} {scores}", "envs": "a.yaml"}},
            "unknown key 'sequence.scorer.envs': did you mean 'env'?",
        ),
        ({"sequence__scorer": "spliceia"}, "'sequence.scorer' is 'spliceia'"),
        ({"sequence__scores": "scores.tsv"}, "exactly one of them"),
        ({"dataset__path": "data"}, "'dataset.path' is 'data' but sequence.fasta builds the table"),
        ({"dataset__metadata": ["chrom"]}, "'dataset.metadata' is ['chrom']"),
        ({"sequence__fasta": "{chrom}.fa"}, "'sequence.fasta' is '{chrom}.fa': Snakemake takes"),
        ({"call__sets": {"few": "{x}.txt"}}, "'call.sets.few' is '{x}.txt': Snakemake takes"),
        ({"call__band": [0.5, 0.1]}, "'call.band' needs two rising numbers"),
        ({"call__sets": {"test": "all"}}, "'call.sets' has the name 'test'"),
        ({"features__families": ["colour"]}, "'features.families.0' is 'colour'"),
        ({"sampling__rest": [{"above": 0.1, "fraction": 1}]}, "one of them 0"),
        ({"sampling__rest": [{"above": 0, "fraction": 1}] * 2}, "different values of above"),
    ],
)
def test_a_mistake_about_the_genome_is_named_by_its_key(changes, message):
    with pytest.raises(InputError) as caught:
        config.resolve(genome_with(**changes))
    assert message in str(caught.value)


def test_braces_in_the_path_of_a_track_are_named():
    tracks = {s: {"donor": f"{s}_d.bw", "acceptor": f"{s}_a.bw"} for s in ("plus", "minus")}
    tracks["minus"]["donor"] = "{d}.bw"
    with pytest.raises(InputError, match=r"'sequence\.scores\.minus\.donor' is '\{d\}\.bw'"):
        config.resolve(genome_with(sequence__scores=tracks, sequence__scorer=None))


def test_bigwig_scores_need_both_strands():
    tracks = {"plus": {"donor": "d.bw", "acceptor": "a.bw"}}
    with pytest.raises(InputError, match="needs plus and minus"):
        config.resolve(genome_with(sequence__scores=tracks, sequence__scorer=None))


def test_calls_need_a_genome():
    with pytest.raises(InputError, match=r"'call\.sets' needs sequence\.fasta"):
        config.resolve(with_keys(call__sets={"more": "all"}))


def test_the_order_of_keys_in_a_file_means_nothing():
    given = with_keys(learner__max_depth=3, learner__seed=1)
    turned = {key: given[key] for key in reversed(given)}
    turned["learner"] = dict(reversed(given["learner"].items()))
    assert repr(config.resolve(turned)) == repr(config.resolve(given))


@pytest.mark.parametrize(("old", "new"), [("max_genes", "max_groups"), ("min_genes", "min_groups")])
def test_a_name_of_an_earlier_version_means_its_present_key(old, new):
    given = {"batching": {old: 60, "seed": 3}}
    found = config.resolve(MINIMAL | given)
    assert found == config.resolve(MINIMAL | {"batching": {new: 60, "seed": 3}})
    assert found["batching"][new] == 60
    assert old not in found["batching"]
    assert given == {"batching": {old: 60, "seed": 3}}


def test_a_key_under_an_earlier_and_its_present_name_is_refused():
    message = (
        r"'batching\.max_genes' is an earlier name of batching\.max_groups, and both are set; "
        "leave one of them out"
    )
    with pytest.raises(InputError, match=message):
        config.resolve(with_keys(batching__max_genes=12, batching__max_groups=12))


def test_a_mistake_under_an_earlier_name_is_named_by_the_present_one():
    with pytest.raises(InputError, match=r"'batching\.max_groups' is 'many'"):
        config.resolve(with_keys(batching__max_genes="many"))


def test_files_with_earlier_names_are_merged(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(yaml.safe_dump(with_keys(batching__max_genes=12)))
    second.write_text("batching: {min_genes: 3}\n")
    batching = config.load(first, second)["batching"]
    assert (batching["max_groups"], batching["min_groups"]) == (12, 3)


def test_bigwig_scores_without_a_site_are_named():
    sequence = {"fasta": "g.fa", "genes": "g.gtf", "scores": {"plus": {"donor": "d.bw"}}}
    with pytest.raises(InputError, match=r"missing key 'sequence\.scores\.plus\.acceptor'"):
        config.resolve({"sequence": sequence, "dataset": {}})


@pytest.mark.parametrize("key", ["group", "position"])
@pytest.mark.parametrize("name", ["prediction", "probability_donor", "std_donor"])
def test_columns_that_predictions_add_cannot_be_columns_that_they_copy(key, name):
    dataset = {"path": "data", "group": "gene", "label": "type", "classes": ["donor", "rest"]}
    given = {"dataset": dataset | {key: name}, "learner": {"start_from": "none"}}
    with pytest.raises(InputError, match=rf"'dataset\.{key}' is '{name}', but predictions have"):
        config.resolve(given)
    config.resolve({**given, "dataset": dataset | {key: f"{name}_"}})


def test_a_class_that_is_a_column_of_results_is_refused():
    dataset = {"path": "data", "group": "gene", "label": "type", "classes": ["per_group", "rest"]}
    with pytest.raises(InputError, match=r"'dataset\.classes' has 'per_group'"):
        config.resolve({"dataset": dataset, "learner": {"start_from": "none"}})
