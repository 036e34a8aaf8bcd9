"""Steps from the input table to the plan and the row files of its batches.

Functions import the libraries of their own rule: no job pays for those of another.
"""

import logging
from pathlib import Path

import polars as pl

from genebatch.config.settings import Batching, HoldOut, Labels, Planning, Screening, Table
from genebatch.groups import hold_out, read_group_of, read_groups_list
from genebatch.io.files import read_json, read_parquet, write_json, write_parquet, write_tsv

log = logging.getLogger(__name__)


def table_of_text(*, text: list[str], table: Table, shards: list[str]) -> None:
    """Write a table of text as Parquet shards; see `dataset.from_text.shards_of_text`.

    `table.path` is that of the text. Shards of earlier runs are removed.
    """
    from genebatch.dataset.from_text import shards_of_text
    from genebatch.io.data_files import remove_other_shards

    shards_of_text(text, table, shards)
    remove_other_shards(shards)


def analyze_dataset(
    *,
    table: Table,
    test_column: str | None,
    profile: str,
    groups: str,
    threads: int,
    kept_digests: str | None = None,
) -> None:
    """Check the data set; write its profile (JSON) and its table of groups (Parquet).

    Nothing is written if the data set breaks the contract. See `dataset.profile.analyze`; a file of
    `kept_digests` spares it reading all bytes for their digest.
    """
    from genebatch.dataset.profile import analyze
    from genebatch.io.digests import KeptDigests

    analysis = analyze(table, test_column, threads, KeptDigests(kept_digests))
    write_json(profile, analysis.profile)
    write_parquet(groups, analysis.groups)


def choose_test_groups(*, groups: str, test: HoldOut, keep: str | None, test_groups: str) -> None:
    """Write the test groups (TSV, column `group`), before anything else looks at the data.

    Groups of an earlier plan (`keep`) keep their role, unless `test` names the test groups.
    """
    from genebatch.plan.kept_plan import check_kept, extended_test_groups, read_plan

    table = read_parquet(groups)
    earlier = read_plan(keep)
    if earlier is not None:
        check_kept(keep, earlier, table["group"])
    if earlier is not None and test.groups is None and test.column is None:
        chosen = extended_test_groups(table, earlier, test)
    else:
        chosen = hold_out(table, test)
    write_tsv(test_groups, table.filter(chosen).select("group"))
    rows = int(table.filter(chosen)["rows"].sum())
    counts = (f"{count:,}" for count in (chosen.sum(), len(chosen), rows))
    log.info("%s of %s groups (%s rows) are test groups", *counts)


def screen_features(
    *,
    profile: str,
    groups: str,
    test_groups: str,
    labels: Labels,
    screening: Screening,
    features: str,
    screened: str,
) -> None:
    """Screen the columns on training groups.

    Writes the ordered feature set (JSON) and a line for each column of the data set (TSV).
    """
    from genebatch.dataset.screen import Analysed, say_tracks, screen
    from genebatch.dataset.shards import described

    facts = read_json(profile)
    data = Analysed(*described(facts), facts["columns"])
    result = screen(data, _training(groups, test_groups), labels, screening)
    tracks = (facts.get("sequence") or {}).get("tracks", {})
    for line in say_tracks(result.table, tracks, labels.classes):
        log.info("%s", line)
    write_json(features, result.features)
    write_tsv(screened, result.table)


def describe_groups(
    *,
    profile: str,
    groups: str,
    test_groups: str,
    features: str,
    similar_by: list[str] | None,
    group_features: str,
    similarity: str,
) -> None:
    """Write what training groups are like (Parquet), and how it was standardised (JSON).

    See `dataset.similarity.describe`.
    """
    from genebatch.dataset.feature_set import Features
    from genebatch.dataset.shards import described
    from genebatch.dataset.similarity import describe

    roles, shards = described(read_json(profile))
    chosen = Features.from_json(read_json(features))
    names = [name for name in chosen.names if name not in chosen.categories]
    result = describe(shards, _training(groups, test_groups), roles.group, names, similar_by)
    write_parquet(group_features, result.groups)
    write_json(similarity, result.similarity)


def plan_batches(
    *,
    profile: str,
    groups: str,
    test_groups: str,
    features: str,
    batching: Batching,
    planning: Planning,
    budget_mb: int,
    batch_threads: int,
    rows: str,
    manifest: str,
    planned: str,
    dataset: str,
    memory: str,
    coverage: str,
    times_held: str,
    group_features: str | None = None,
    table: str | None = None,
) -> None:
    """Plan the batches, and write their rows in one pass over the data set.

    Parameters
    ----------
    profile, groups, test_groups, features, group_features
        Files of the earlier rules; the last for the strategy `similarity` alone.
    table
        The genes of a built table, from which models know the genes they were trained on.
    batching, planning
        Settings.
    budget_mb
        What the largest rule of a batch may need, in MB: the memory limit divided by
        `resources.mem_factor`.
    batch_threads
        Threads of a batch job.
    rows
        Folder of the row files `{batch}.arrow` and `test.arrow`; see `dataset.row_pass`.
    manifest
        TSV, a line per batch.
    planned
        Parquet, the role of every group.
    dataset
        JSON, what later rules tell of the data set: digest, number and bytes of its files, rows,
        groups, and so on.
    memory
        JSON, what the rules about all batches need; see `plan.planning.whole_needs`.
    coverage, times_held
        TSV, what the plan covers.
    """
    from genebatch.dataset.feature_set import Features
    from genebatch.dataset.row_file import TABLE_FACTS
    from genebatch.dataset.row_pass import write_row_files
    from genebatch.dataset.shards import described
    from genebatch.jobs.needs import rules_of
    from genebatch.plan.coverage import coverage as tell_coverage
    from genebatch.plan.coverage import times_held as count_times_held
    from genebatch.plan.kept_plan import read_plan
    from genebatch.plan.planning import Data, Limits, make_plan, row_parts, whole_needs

    facts, chosen = read_json(profile), read_json(features)
    described_groups = None if group_features is None else read_parquet(group_features)
    data = Data(
        read_parquet(groups),
        read_groups_list(test_groups),
        chosen,
        described_groups,
        read_plan(batching.keep),
    )
    plan = make_plan(data, batching, planning, Limits(budget_mb, batch_threads))
    for row in plan.manifest.iter_rows(named=True):
        need = max(row[f"mem_mb_{rule}"] for rule in rules_of("batch"))
        counts = (f"{count:,}" for count in (row["groups"], row["rows"], need))
        log.info("%s: %s groups, %s rows, %s MB", row["batch"], *counts)
    _, shards = described(facts)
    kept = {name: facts[name] for name in TABLE_FACTS if facts.get(name) is not None}
    group_of = None if table is None else read_group_of(table)
    parts = row_parts(plan, chosen["digest"], planning.labels, kept, group_of)
    write_row_files(shards, parts, Features.from_json(chosen), planning.labels, Path(rows))
    write_parquet(planned, plan.groups)
    told = {key: value for key, value in facts.items() if key != "shards"}
    told |= {"files": len(shards), "bytes": sum(shard.state.size for shard in shards)}
    write_json(dataset, told)
    write_tsv(coverage, tell_coverage(plan.groups, planning.labels.classes))
    write_tsv(times_held, count_times_held(plan.groups))
    write_json(memory, whole_needs(plan, chosen, planning))
    write_tsv(manifest, plan.manifest)


def _training(groups: str, test_groups: str) -> pl.DataFrame:
    """The table of groups without the test groups."""
    aside = read_groups_list(test_groups)
    return read_parquet(groups).filter(~pl.col("group").is_in(aside))
