"""Families of features, by what is given and by their names."""

from genebatch.dataset.families import built_families, families, unmatched


def test_families_go_by_prefix_and_single_names_stay_alone():
    found = families(["3mer_A", "5mer_A", "3mer_C", "entropy", "gc_share"], {})
    assert found == {
        "3mer_A": "3mer",
        "5mer_A": "5mer_A",
        "3mer_C": "3mer",
        "entropy": "entropy",
        "gc_share": "gc_share",
    }


def test_given_families_come_first_in_their_order():
    given = {"context": ["ctx_*", "score_c"], "scores": ["score_*"], "none": ["absent_*"]}
    names = ["score_a", "ctx_a", "score_c", "3mer_A", "score_b"]
    assert families(names, given) == {
        "score_a": "scores",
        "ctx_a": "context",
        "score_c": "context",
        "3mer_A": "3mer_A",
        "score_b": "scores",
    }


def test_each_track_is_a_family_of_its_own_columns():
    told = {"a": {"columns": ["track_a_x"]}, "a_b": {"columns": ["track_a_b_x", "track_a_b_y"]}}
    given = built_families({"sequence": {"tracks": told}})
    names = ["track_a_x", "track_a_b_x", "track_a_b_y"]
    assert list(families(names, given).values()) == ["track a", "track a_b", "track a_b"]
    assert built_families({"sequence": None}) == built_families({}) == {}


def test_each_further_base_model_is_a_family():
    further = {"human": ["scores_human_donor_score"], "fly": ["scores_fly_donor_score"]}
    given = built_families({"sequence": {"base_models": {"first": "mouse", "further": further}}})
    assert given == {
        "base model human": ("scores_human_donor_score",),
        "base model fly": ("scores_fly_donor_score",),
    }


def test_every_feature_has_a_family_in_the_order_of_the_features():
    names = [f"f{number % 3}_{number}" for number in range(20)]
    assert list(families(names, {"x": ["f1_*"]})) == names


def test_a_name_with_marks_of_patterns_is_a_name_in_a_family():
    given = {"far": ["dist to TSS [bp]"], "near": ["dist*"]}
    found = families(["dist to TSS [bp]", "dist to TSS b"], given)
    assert found == {"dist to TSS [bp]": "far", "dist to TSS b": "near"}


def test_names_of_families_that_match_no_feature_are_told():
    given = {"context": ["ctx_*", "ctz_*"], "scores": ["score_a", "score_b"], "ctx": ["ctx_a"]}
    assert unmatched(["score_a", "ctx_a"], given) == ["ctz_*", "score_b"]
    assert unmatched(["score_a", "score_b", "ctx_a", "ctz_z"], given) == []
