"""Holds the sections of a checked configuration as frozen dataclasses.

Each section is built once, by `Section.build`; a missing or an unknown key fails there. Defaults
belong to the schema alone. `plain` gives the dictionary that a section was built from, which is
what rules pass on: Snakemake compares parameters by their text and ignores objects.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

# Groups whose held-out scores tell the single model from the ensemble as well as those of all
# groups do, and teach calibrators of three classes; see benchmarks/ensemble.md.
ENOUGH_GROUPS = 300
MANY_ROWS = 200_000  # from which what is auto in cv and learner is the faster choice
FEW_ROWS = 100_000  # below which no features are picked: to boost on all of them takes minutes
FEW_FOLDS, USUAL_FOLDS = 3, 5  # of a batch, where cv.n_splits is auto


@dataclass(frozen=True)
class Section:
    """A part of the configuration."""

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build a section from its keys.

        Raises
        ------
        TypeError
            Naming a key that is missing or unknown.
        """
        return cls(**{key: _frozen(value) for key, value in section.items()})

    def plain(self) -> dict[str, Any]:
        """The keys of the section and their values, in the order of the schema."""
        return {key: _thawed(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Labels(Section):
    """What the rows of a table are: their group, class, weight, position and base scores.

    Attributes
    ----------
    group, label, weight, position
        Names of columns; `weight` and `position` may be None.
    classes
        Labels, in the order of probability columns.
    null_label
        The label that an empty cell stands for, or None.
    rest_class
        The class of what is none of the others, or None.
    scores
        Class to the column of its base score, or None.
    """

    group: str
    label: str
    classes: tuple[str, ...]
    null_label: str | None
    rest_class: str | None
    scores: dict[str, str] | None
    weight: str | None
    position: str | None

    @property
    def rest(self) -> int | None:
        """Place of `rest_class` among the classes, or None where there is none."""
        return None if self.rest_class is None else self.classes.index(self.rest_class)


@dataclass(frozen=True)
class Table(Section):
    """The input table: its files, what its rows are, which columns are no features."""

    path: str
    labels: Labels
    metadata: tuple[str, ...]
    exclude: tuple[str, ...]
    infinite: str
    categorical: tuple[str, ...]

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build the section `dataset`, in which the keys of the labels stand beside the others."""
        names = {part.name for part in fields(Labels)}
        labels = {key: value for key, value in section.items() if key in names}
        others = {key: value for key, value in section.items() if key not in names}
        return super().build({"labels": Labels.build(labels), **others})

    def plain(self) -> dict[str, Any]:
        """The section as `build` takes it."""
        others = super().plain()
        del others["labels"]
        return others | self.labels.plain()


@dataclass(frozen=True)
class HoldOut(Section):
    """Which groups are set aside for the evaluation."""

    fraction: float
    groups: tuple[str, ...] | None
    column: str | None
    values: tuple[str | int, ...] | None
    seed: int


@dataclass(frozen=True)
class Screening(Section):
    """How columns are screened before they become features."""

    max_rows: int
    max_auc: float
    max_missing_auc: float
    max_categories: int
    keep: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Batching(Section):
    """How training groups are dealt into batches."""

    strategy: str
    similar_by: tuple[str, ...] | None
    max_groups: int
    max_rows: int | None
    min_groups: int
    min_positives: int
    overlap: float
    keep: str | None
    seed: int


@dataclass(frozen=True)
class Selection(Section):
    """How the features of a booster are picked by a pilot."""

    top: int | str
    share: float
    max_rows: int
    rounds: int

    def most(self, n_rows: int) -> int | None:
        """Most features of a booster in a model of so many rows; None: all of them.

        The fewer the rows, the more features lower the loss, and the less time they cost. See
        benchmarks/selection.md.
        """
        if self.top != "auto":
            return int(self.top)
        if n_rows < FEW_ROWS:
            return None
        return 75 if n_rows >= MANY_ROWS else 150

    def for_rows(self, n_rows: int) -> Self | None:
        """The selection of a model of so many rows, with a number; None: all features."""
        most = self.most(n_rows)
        return None if most is None else replace(self, top=most)


@dataclass(frozen=True)
class Planning(Section):
    """What a plan depends on beside `Batching`: folds, and what decides memory and time.

    Attributes
    ----------
    labels
        What the rows are.
    n_splits, seed
        Of the folds.
    max_bin, max_depth, n_estimators, select
        Of the learner.
    explain_rows
        Rows of the sample that is explained.
    score_rows
        About how many rows all members score; None: all.
    uncertainty
        Whether the delivered model may keep the models of its folds.
    weighted
        Whether boosters are trained with weights of rows.
    """

    labels: Labels
    n_splits: int | str
    seed: int
    max_bin: int
    max_depth: int
    n_estimators: int
    select: Selection | None
    explain_rows: int
    score_rows: int | None
    uncertainty: bool
    weighted: bool

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build what `Settings.planning` gives as a dictionary."""
        select = section["select"]
        built = {
            "labels": Labels.build(section["labels"]),
            "select": None if select is None else Selection.build(select),
        }
        return cls(**dict(section) | built)

    def n_folds(self, n_groups: int, n_rows: int) -> int:
        """Tell how many folds the batches have, of which the smallest has so many groups and rows.

        All batches have as many, because the single model is judged on whole folds of all of them.
        With many rows three folds take half the time of five, and the batch's model is as good
        within chance. See benchmarks/folds.md.
        """
        if self.n_splits != "auto":
            return int(self.n_splits)
        many = n_rows >= MANY_ROWS and n_groups >= ENOUGH_GROUPS
        return FEW_FOLDS if many else USUAL_FOLDS


@dataclass(frozen=True)
class Folds(Section):
    """Cross-validation inside a batch. The plan knows how many folds `auto` means."""

    n_splits: int | str
    stop_fraction: float
    seed: int


@dataclass(frozen=True)
class Learner(Section):
    """The boosters, one per class.

    `threads` changes no model, so `plain` leaves it out and it counts for nothing in comparisons.
    """

    n_estimators: int
    learning_rate: float | str
    max_depth: int
    min_child_weight: float
    reg_lambda: float
    subsample: float
    colsample_bytree: float
    max_bin: int | str
    early_stopping_rounds: int
    select: Selection | None
    start_from: str
    use_weights: bool
    device: str
    params: dict[str, Any]
    seed: int
    threads: int = field(default=1, compare=False)

    @classmethod
    def build(cls, section: Mapping[str, Any]) -> Self:
        """Build the section `learner`; its key `lambda` is no name in Python."""
        renamed = {"reg_lambda" if key == "lambda" else key: section[key] for key in section}
        if renamed.get("select") is not None:
            renamed["select"] = Selection.build(renamed["select"])
        return super().build(renamed)

    def from_scores(self, labels: Labels) -> bool:
        """Tell whether boosters start from the base scores of such a table."""
        return self.start_from == "scores" or (
            self.start_from == "auto" and labels.scores is not None
        )

    def for_rows(self, n_rows: int) -> Self:
        """The learner of a model of so many rows: `auto` gives way to numbers.

        With many rows larger steps and fewer bins halve the time, and the loss is the same within
        chance; with few rows it is a percent higher. See benchmarks/selection.md.
        """
        rate, bins = (0.1, 64) if n_rows >= MANY_ROWS else (0.05, 256)
        return replace(
            self,
            select=None if self.select is None else self.select.for_rows(n_rows),
            learning_rate=rate if self.learning_rate == "auto" else self.learning_rate,
            max_bin=bins if self.max_bin == "auto" else self.max_bin,
        )

    def with_threads(self, threads: int) -> Self:
        """The same learner with other threads, which change no model."""
        return replace(self, threads=threads)

    def plain(self) -> dict[str, Any]:
        """The section as `build` takes it, without the threads."""
        keys = super().plain()
        del keys["threads"]
        return {"lambda" if key == "reg_lambda" else key: value for key, value in keys.items()}


@dataclass(frozen=True)
class Calibration(Section):
    """From log-odds to probabilities."""

    method: str
    prevalence: dict[str, float] | str | None


@dataclass(frozen=True)
class Combining(Section):
    """How the models of the batches become one."""

    combiner: str
    top_k: int | None
    score_rows: int | None
    rivals: tuple[str, ...]
    with_single: bool | None
    distil_mix: tuple[float, ...]
    uncertainty: bool
    allow_missing: bool


@dataclass(frozen=True)
class SingleModel(Section):
    """How the single model of all training rows is judged, and how long it may take at most."""

    n_splits: str | int
    max_hours: float | None

    def folds(self, n_groups: int, n_splits: int, uncertainty: bool) -> int:
        """Tell how many of the folds of so many training groups are held out in turn.

        One is enough to judge the model; its `uncertainty` needs the models of several.
        """
        if self.n_splits != "auto":
            return int(self.n_splits)
        enough = n_groups >= ENOUGH_GROUPS * n_splits and not uncertainty
        return 1 if enough else n_splits


@dataclass(frozen=True)
class Explaining(Section):
    """SHAP values and importances."""

    rows: int
    families: dict[str, tuple[str, ...]]
    seed: int


@dataclass(frozen=True)
class Neighbours(Section):
    """The sample of annotated sites whose neighbours are scored: their number, and the seed."""

    sites: int
    seed: int


@dataclass(frozen=True)
class Evaluation(Section):
    """The judgement on test groups."""

    n_replicates: int
    seed: int


@dataclass(frozen=True)
class Reading(Section):
    """How gene models are read: keys of `sequence`; see `genome.genes.read_gene_models`."""

    transcripts: str
    biotypes: tuple[str, ...] | None
    min_intron: int
    max_refused: float


@dataclass(frozen=True)
class Sequence(Section):
    """The genome, its genes, their base scores and evidence along the genome."""

    fasta: str | None
    genes: str | None
    transcripts: str
    biotypes: tuple[str, ...] | None
    min_intron: int
    max_refused: float
    groups: str | None
    scores: Any
    scorer: Any
    unscored: str
    tracks: dict[str, Any]
    n_shards: int

    @property
    def reading(self) -> Reading:
        """How the gene models are read."""
        return Reading(*(getattr(self, part.name) for part in fields(Reading)))


@dataclass(frozen=True)
class Calls(Section):
    """How every position of whole genes is called."""

    sets: dict[str, str]
    mode: str
    band: tuple[float, float]
    target_share: float | None
    misaligned: str
    bigwig: bool
    transcripts: bool
    bgzip: str
    hub: dict[str, str] | None


@dataclass(frozen=True)
class Resources(Section):
    """Memory and time that jobs may take."""

    memory_mb: int | None
    mem_factor: float
    runtime_factor: float


@dataclass(frozen=True)
class Settings:
    """A whole configuration, as `schema.resolve` gives it.

    `features` and `sampling` stay dictionaries: `features.positions.Spec` and
    `features.sampling.Strata` are their types, and know what their keys mean.
    """

    results: str
    table: Table
    test: HoldOut
    screen: Screening
    batching: Batching
    cv: Folds
    learner: Learner
    calibration: Calibration
    ensemble: Combining
    single: SingleModel
    final: str
    explain: Explaining
    neighbours: Neighbours
    evaluation: Evaluation
    predict: dict[str, str]
    sequence: Sequence
    features: dict[str, Any]
    sampling: dict[str, Any]
    call: Calls
    resources: Resources

    @classmethod
    def build(cls, config: Mapping[str, Any]) -> Self:
        """Build every section of a resolved configuration."""
        explain = dict(config["explain"])
        sites = explain.pop("neighbour_sites")
        sections = {
            "table": Table.build(config["dataset"]),
            "test": HoldOut.build(config["test"]),
            "screen": Screening.build(config["screen"]),
            "batching": Batching.build(config["batching"]),
            "cv": Folds.build(config["cv"]),
            "learner": Learner.build(config["learner"]),
            "calibration": Calibration.build(config["calibration"]),
            "ensemble": Combining.build(config["ensemble"]),
            "single": SingleModel.build(config["single"]),
            "explain": Explaining.build(explain),
            "neighbours": Neighbours(sites, explain["seed"]),
            "evaluation": Evaluation.build(config["evaluation"]),
            "predict": config["predict"]["tables"],
            "sequence": Sequence.build(config["sequence"]),
            "call": Calls.build(config["call"]),
            "resources": Resources.build(config["resources"]),
        }
        others = {key: value for key, value in config.items() if key not in sections}
        del others["dataset"]
        return cls(**sections, **others)

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of the candidates that a run makes beside the ensemble, sorted.

        Where the single model is trained anyway, the ensemble with it costs a minute more.
        """
        wanted = {*self.ensemble.rivals, self.final} - {"ensemble", "best"}
        joined = self.ensemble.with_single
        if joined is None:
            joined = "single" in wanted and self.ensemble.combiner != "routed"
        if joined or "both" in wanted:
            wanted |= {"single", "both"}
        return tuple(sorted(wanted))

    @property
    def score_rows(self) -> int | None:
        """About how many rows all members score; None: all, by which a student is taught."""
        return None if "distilled" in self.beside else self.ensemble.score_rows

    @property
    def planning(self) -> Planning:
        """What a plan depends on beside `batching`."""
        learner = self.learner.for_rows(0)  # with few rows there are most bins
        return Planning(
            self.table.labels,
            self.cv.n_splits,
            self.cv.seed,
            int(learner.max_bin),
            learner.max_depth,
            learner.n_estimators,
            self.learner.select,
            self.explain.rows,
            self.ensemble.score_rows,
            self.ensemble.uncertainty,
            learner.use_weights and self.table.labels.weight is not None,
        )


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value
