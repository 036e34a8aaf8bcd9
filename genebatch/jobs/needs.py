"""Lists what each rule needs: its memory, its time, and the size that both are computed from."""

from collections.abc import Callable
from typing import Any, NamedTuple

from genebatch.jobs import memory, minutes
from genebatch.jobs.limits import MB
from genebatch.jobs.sizes import DataSet, GenomeSize, Shape, TextSize, Whole


class Needs(NamedTuple):
    """What a rule needs.

    Attributes
    ----------
    memory
        Function of a size that gives peak resident memory in bytes, without a margin; for rules
        about the genome the margin is in its figures.
    seconds
        Function of the same size that gives CPU seconds. None: the rule declares no time.
    of
        What the size describes: "batch" (a `Shape`), "whole" (`Whole`, all batches), "data" (a
        `DataSet`), "text" (`TextSize`) or "genome" (`GenomeSize`).
    """

    memory: Callable[[Any], float]
    seconds: Callable[[Any], float] | None
    of: str


NEEDS: dict[str, Needs] = {
    "cross_validate_batch": Needs(
        memory.cross_validate_batch, minutes.cross_validate_batch, "batch"
    ),
    "train_batch": Needs(memory.train_batch, minutes.train_batch, "batch"),
    "calibrate_batch": Needs(memory.calibrate_batch, minutes.calibrate_batch, "batch"),
    "explain_batch": Needs(memory.explain_batch, minutes.explain_batch, "batch"),
    "diagnose_batch": Needs(memory.diagnose_batch, minutes.diagnose_batch, "batch"),
    "cross_batch_scores": Needs(memory.cross_batch_scores, minutes.cross_batch_scores, "whole"),
    "combine_batches": Needs(memory.combine_batches, minutes.combine_batches, "whole"),
    "cross_validate_single": Needs(
        memory.cross_validate_single, minutes.cross_validate_single, "whole"
    ),
    "train_single": Needs(memory.train_single, minutes.train_single, "whole"),
    "add_single": Needs(memory.add_single, minutes.add_single, "whole"),
    "distil": Needs(memory.distil, minutes.distil, "whole"),
    "consolidate": Needs(memory.consolidate, minutes.consolidate, "whole"),
    "estimate": Needs(memory.estimate, minutes.estimate, "whole"),
    "evaluate": Needs(memory.evaluate, minutes.evaluate, "whole"),
    "explain_final": Needs(memory.explain_final, minutes.explain_final, "whole"),
    "rank_groups": Needs(memory.rank_groups, minutes.rank_groups, "whole"),
    "predict": Needs(memory.predict, minutes.score_all_rows, "whole"),
    "neighbours": Needs(memory.neighbours, minutes.neighbours, "whole"),
    "write_report": Needs(memory.write_report, minutes.write_report, "whole"),
    "table_of_text": Needs(memory.table_of_text, None, "text"),
    "analyze_dataset": Needs(memory.analyze_dataset, None, "data"),
    "choose_test_groups": Needs(memory.choose_test_groups, None, "data"),
    "screen_features": Needs(memory.screen_features, None, "data"),
    "describe_groups": Needs(memory.describe_groups, None, "data"),
    "plan_batches": Needs(memory.plan_batches, None, "data"),
    # MB beside what the gene models take; see benchmarks/memory.md.
    "score_genes_light": Needs(memory.beside_annotation(600), None, "genome"),
    "score_genes_spliceai": Needs(memory.beside_annotation(2000), None, "genome"),
    "score_genes_command": Needs(memory.beside_annotation(1000), None, "genome"),
    "gene_sequences": Needs(memory.beside_annotation(600), None, "genome"),
    "build_dataset": Needs(memory.beside_annotation(1000), None, "genome"),
    "call_genes": Needs(memory.beside_annotation(1500), None, "genome"),
    "evaluate_tracks": Needs(memory.beside_annotation(1200), None, "genome"),
    # 414 MB with 720 fold trees and 1,150 features; more trees take up to 200 MB more.
    "neighbours_batch": Needs(memory.beside_annotation(800), None, "genome"),
}
BOOSTED = ("cross_validate_batch", "train_batch")  # rules of a batch whose threads boost
SINGLE_RULES = ("cross_validate_single", "train_single")


def rules_of(kind: str) -> tuple[str, ...]:
    """The rules whose needs are computed from one kind of size; see `Needs.of`."""
    return tuple(rule for rule, needs in NEEDS.items() if needs.of == kind)


def estimate_mb(
    rule: str, size: Shape | Whole | DataSet | TextSize | GenomeSize, threads: int = 1
) -> int:
    """Peak resident memory that a rule will need, in MB.

    Parameters
    ----------
    rule
        A key of `NEEDS`.
    size
        What the rule works on; see `Needs.of`.
    threads
        Threads that boost; they count for the rules in `BOOSTED`.

    Returns
    -------
    int
        Rounded up to 10 MB, with the margin, without `resources.mem_factor`.
    """
    needed = NEEDS[rule].memory(size)
    if NEEDS[rule].of == "genome":
        return int(needed // MB)
    further = (threads - 1) * memory.thread_mb(size) if rule in BOOSTED else 0
    return memory.rounded_mb(needed) + further


def least_mb(rule: str) -> int:
    """The estimate of a rule of a batch or about all batches that has hardly any data, in MB."""
    empty = Shape(*[0] * (len(Shape._fields) - 1))  # without a selection
    return estimate_mb(rule, empty if NEEDS[rule].of == "batch" else Whole(empty, 0, 0, 0, 0))


def largest_mb(shape: Shape, threads: int = 1) -> int:
    """The estimate of the rule of a batch that needs most, in MB."""
    return max(estimate_mb(rule, shape, threads) for rule in rules_of("batch"))


def estimate_core_hours(rule: str, size: Shape | Whole) -> float:
    """Hours of a core that a rule takes at most, without slack, to four digits.

    Raises as `estimate_minutes`.
    """
    return float(f"{_seconds(rule, size) / 3600:.4g}")


def estimate_seconds(rule: str, size: Shape | Whole) -> float:
    """Seconds of a core that a rule takes at most, without slack, to three digits.

    Raises as `estimate_minutes`.
    """
    return float(f"{_seconds(rule, size):.3g}")


def estimate_minutes(rule: str, size: Shape | Whole) -> int:
    """Minutes that a rule may take, whatever the round at which boosting stops.

    Raises
    ------
    ValueError
        If the rule declares no time.
    """
    return minutes.rounded_minutes(_seconds(rule, size))


def _seconds(rule: str, size: Shape | Whole) -> float:
    seconds = NEEDS[rule].seconds
    if seconds is None:
        raise ValueError(f"rule {rule} declares no time")
    return seconds(size)
