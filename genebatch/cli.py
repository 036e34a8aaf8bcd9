"""Runs the command line: `genebatch run | call | predict | rank-genes | inspect | verify | ...`.

A command imports what it needs when it runs, so that the others start fast.
"""

import argparse
import glob
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genebatch import __version__
from genebatch.io.files import InputError
from genebatch.io.terminal import PrintableFormatter, printable

if TYPE_CHECKING:
    import polars as pl

    from genebatch.config.settings import Settings
    from genebatch.config.tracks import Tracks
    from genebatch.genome.scores.tracks import ScoreSource

GENES = 200  # of the examples
ROWS_PER_GENE = 100  # of the example that is a table
BUILD = ("--until", "build_dataset")  # tells Snakemake to end with the table of a genome
SITES = ("donor", "acceptor")
STRANDS = ("plus", "minus")
SCORES_WANTED = (
    "wanted a table, or "
    + " ".join(f"{strand}.{site}=FILE" for strand in STRANDS for site in SITES)
    + "; with several base models NAME=TABLE or NAME.plus.donor=FILE and so on for each"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. An error of input or system goes to standard error, with exit status 1.

    Warnings go to standard error too; they change neither output nor status.
    """
    options = command_parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        options.run(options)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
    except (InputError, OSError) as error:  # such as a full disk
        print(f"genebatch {options.command}: {printable(error)}", file=sys.stderr)
        return 1
    return 0


def run_workflow(options: argparse.Namespace) -> None:
    """Run the workflow by Snakemake: analyse, plan, train every batch, consolidate, evaluate."""
    from genebatch.launch import start

    start(options)


def init(options: argparse.Namespace) -> None:
    """Propose a configuration for a table of your own, and say why."""
    from genebatch.config.record import free_name
    from genebatch.dataset.proposal import propose
    from genebatch.io.files import write_text

    output = Path(options.output)
    if output.exists():
        raise InputError(f"{output} is there already; remove it, or name another (--output)")
    proposal = propose(options.table, options.label, options.group)
    proposal.config = {"results": free_name(f"{output.stem}_results")} | proposal.config
    write_text(output, proposal.text())
    for note in proposal.notes:
        print(f"- {printable(note)}")
    print(f"{output}: read it, then")
    print(f"genebatch run --configfile {shlex.quote(str(output))}")


def predict(options: argparse.Namespace) -> None:
    """Predict a table of any size."""
    from genebatch.model.archive import holds_model
    from genebatch.model.prediction import predict_file

    model = Path(options.model)
    if model.exists() and holds_model(options.table) and not holds_model(model):
        swapped = shlex.join([options.table, options.model, "-o", options.output])
        raise InputError(
            f"{options.table} holds a model and {model} does not; the model comes first: "
            f"genebatch predict {swapped}"
        )
    rows = predict_file(options.model, options.table, options.output, options.threads)
    print(f"{rows:,} rows predicted into {options.output}")


def call(options: argparse.Namespace) -> None:
    """Call every position of whole genes from sequence and base scores."""
    from genebatch.calls.calling import call as write
    from genebatch.calls.ucsc import Hub

    thresholds = options.threshold and dict(zip(SITES, options.threshold, strict=True))
    coverage = write(
        options.model,
        options.fasta,
        options.genes,
        _score_source(options.scores),
        options.output,
        tracks=_tracks(options.tracks or ()),
        wanted=_gene_ids(options.only) if options.only else None,
        mode=options.mode,
        band=tuple(options.band),
        target_share=options.target_share,
        thresholds=thresholds,
        unscored=options.unscored,
        biotypes=options.biotypes,
        max_refused=options.max_refused,
        misaligned=options.misaligned,
        bigwig=options.bigwig,
        transcripts=options.transcripts,
        least_posterior=options.least_posterior,
        bgzip=options.bgzip,
        hub=options.hub and Hub(*options.hub),
        threads=options.threads,
    )
    print(
        f"{coverage.positions:,} positions of {coverage.table.height:,} genes, "
        f"{coverage.rescored:,} of them re-scored, in {options.output}"
    )


def rank_genes(options: argparse.Namespace) -> None:
    """Rank groups by what more groups like them may gain, on held-out rows of a finished run."""
    from genebatch.evaluation.group_sums import existing
    from genebatch.steps.evaluation import rank_groups

    folder = Path(options.results)
    scores, combined = (
        str(existing(folder / "ensemble" / f"{name}.parquet"))
        for name in ("cross_batch", "combined")
    )
    features = folder / "dataset" / "group_features.parquet"
    planned = folder / "batches" / "groups.parquet"
    ranks = rank_groups(
        scores=scores,
        combined=combined,
        combiner=options.combiner or _combiner_of(folder),
        planned=str(planned) if planned.is_file() else None,
        ranks=options.output,
        figure=options.figure,
        group_features=str(features) if features.is_file() else None,
        by=options.by,
        top=options.top,
    )
    _print_ranks(ranks.table, ranks.by, options.top)
    print(f"{ranks.counted} groups by {ranks.by}, {ranks.n_members} members")
    for path in filter(None, (options.output, options.figure)):
        print(path)


def inspect(options: argparse.Namespace) -> None:
    """Describe the model in a model file."""
    from genebatch.model.archive import load_model
    from genebatch.report.model_text import model_lines

    for line in model_lines(load_model(options.model)):
        print(printable(line))


def verify(options: argparse.Namespace) -> None:
    """Check every digest of a model file."""
    from genebatch.model.archive import load_model

    model = load_model(options.model)
    print(f"{options.model}: {len(model.members)} members, every digest as saved")


def simulate(options: argparse.Namespace) -> None:
    """Write made-up data: a genome with gene models, a finished table, or one of full size."""
    unused = "genes" if options.like else "share"
    if getattr(options, unused) is not None:
        raise InputError(
            f"--{unused} has no meaning here: --share goes with --like, and --genes with "
            "anything else"
        )
    if options.tracks and (options.like or options.table):
        raise InputError("--tracks goes with a genome; leave out --table and --like")
    print(f"example data in {_simulated(options)}")


def _simulated(options: argparse.Namespace) -> Path:
    """Write the data set that the options name, and give its folder."""
    if options.like:
        from genebatch.simulation.full_size import simulate_document

        share = 1.0 if options.share is None else options.share
        return simulate_document(options.out, share=share, seed=options.seed)
    genes = GENES if options.genes is None else options.genes
    if options.table:
        from genebatch.simulation.table import simulate as write

        rows = ROWS_PER_GENE * genes
        return write(options.out, n_genes=genes, n_rows=rows, seed=options.seed)
    from genebatch.simulation.genome import simulate_genome

    chromosomes = max(1, min(5, genes // 2))
    return simulate_genome(
        options.out,
        n_genes=genes,
        n_chromosomes=chromosomes,
        seed=options.seed,
        tracks=options.tracks,
    )


def plan(options: argparse.Namespace) -> None:
    """Print the batches that a config would give, without training and without writing."""
    from genebatch.config import schema
    from genebatch.config.places import program
    from genebatch.config.settings import Settings
    from genebatch.io.globs import root_of
    from genebatch.steps.trial_plan import trial_manifest

    settings = Settings.build(schema.load(*options.config))
    if settings.sequence.fasta and not glob.glob(settings.table.path):
        raise InputError(
            f"the table of sequence.fasta is not in {root_of(settings.table.path)} yet; build it "
            "first: "
            + shlex.join([program(), "run", "--configfile", *options.config, "--", *BUILD])
        )
    memory, source = _memory_limit(options.memory, settings)
    budget = int(memory / settings.resources.mem_factor)
    manifest = trial_manifest(settings, budget, min(options.cores, 2))
    _print_plan(manifest, settings, memory, source, options.cores)


def _memory_limit(given: str | None, settings: "Settings") -> tuple[int, str]:
    """The memory of a run in MB, and what limits it."""
    from genebatch.jobs.limits import process_limit_mb
    from genebatch.launch import memory_mb

    of_run = None if given is None else memory_mb(given)
    limits = {"--memory": of_run, "resources.memory_mb": settings.resources.memory_mb}
    limits = {name: value for name, value in limits.items() if value is not None}
    if not limits:
        limit, name = process_limit_mb()
        limits = {f"90 % of {name}": int(0.9 * limit)}
    source = min(limits, key=limits.__getitem__)
    return limits[source], source


def _print_plan(
    manifest: "pl.DataFrame", settings: "Settings", memory: int, source: str, cores: int
) -> None:
    """Print the batches with their memory, and how many of them run at the same time."""
    import polars as pl

    from genebatch.plan.planning import side_by_side

    factor, threads = settings.resources.mem_factor, settings.learner.threads
    more = pl.col("thread_mb") * (threads - 1)
    needs = (pl.max_horizontal(pl.col("^mem_mb_.*$")) + more) * factor
    shown = ("batch", "groups", "rows", pl.col("^rows_.*$"), needs.alias("mem_mb"))
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True):
        print(printable(manifest.select(*shown)))
    scaled = manifest.with_columns(pl.col("^mem_mb_.*$", "thread_mb") * factor)
    running, used = side_by_side(scaled, memory, cores, threads)
    print(
        f"{memory:,} MB ({source}), {cores} cores: {running} batches run side by side, "
        f"expected peak {used:,.0f} MB"
    )


def structure_lengths(options: argparse.Namespace) -> None:
    """Fit lengths of exons and introns to gene models, for features.structure.lengths."""
    from genebatch.config.settings import Reading
    from genebatch.genome.genes import MIN_INTRON
    from genebatch.genome.left_out import MAX_REFUSED
    from genebatch.steps.structure import structure_lengths as fit

    reading = Reading(options.transcripts, options.biotypes, MIN_INTRON, MAX_REFUSED)
    lengths = fit(genes=options.genes, reading=reading, output=options.output)
    print(
        f"introns of {lengths.shortest_intron:,} to {lengths.longest_intron:,} nt, exons of up to "
        f"{lengths.longest_exon:,} nt: {options.output}"
    )


def group_genes(options: argparse.Namespace) -> None:
    """Group genes with similar spliced sequences, for sequence.groups."""
    from genebatch.steps.families import group_genes as write

    found = write(
        fasta=options.fasta,
        genes=options.genes,
        biotypes=options.biotypes,
        cover=options.cover,
        identity=options.identity,
        max_refused=options.max_refused,
        output=options.output,
    )
    print(
        f"{found.genes:,} genes in {found.families:,} families, the largest has {found.largest:,}: "
        f"{options.output}"
    )


def codon_pairs(options: argparse.Namespace) -> None:
    """Write the codon pairs that a model was trained with, for features.structure.coding."""
    from genebatch.steps.structure import codon_pairs as write

    write(model=options.model, output=options.output)
    print(options.output)


def write_config(options: argparse.Namespace) -> None:
    """Print a configuration with every key explained."""
    from genebatch.config.schema import render

    print(render(options.example), end="")


def _print_ranks(table: "pl.DataFrame", by: str, top: int) -> None:
    """Print the first groups with their main columns, those of weighted rows if `by` is one."""
    import polars as pl

    from genebatch.evaluation.group_sums import WEIGHTED

    prefix = WEIGHTED if by.startswith(WEIGHTED) else ""
    names = ("log_loss", "ambiguity", "gain", "corrected", "made")
    shown = list(dict.fromkeys([by, *(f"{prefix}{name}" for name in names)]))
    settings = {"tbl_rows": -1, "tbl_cols": -1, "tbl_hide_dataframe_shape": True}
    settings |= {"tbl_hide_column_data_types": True, "fmt_str_lengths": 40, "tbl_width_chars": 200}
    with pl.Config(**settings):
        print(printable(table.head(top).select("rank", "group", "rows", *shown)))


def _combiner_of(results: Path) -> str:
    """Name of the combiner of the ensemble in a results folder."""
    from genebatch.model.archive import load_model

    return load_model(results / "ensemble" / "model.gbm").combiner["name"]


def _gene_ids(values: Sequence[str]) -> list[str]:
    """Gene ids; a value that names a file stands for the ids in it."""
    from genebatch.calls.calling import read_ids

    parts = [read_ids(value) if Path(value).is_file() else [value] for value in values]
    return [name for part in parts for name in part]


def _score_source(values: Sequence[str]) -> "ScoreSource":
    """The base scores: a table, or the four bigWig files given as `plus.donor=FILE` and so on.

    Those of several base models have their names in front: `NAME=TABLE`, `NAME.plus.donor=FILE`.
    """
    if len(values) == 1 and "=" not in values[0]:
        return values[0]
    named: dict[str, Any] = {}
    for value in values:
        where, _, path = value.partition("=")
        # plus.donor has no name in front of it.
        name, _, inner = ("", "", where) if where.count(".") == 1 else where.partition(".")
        of_name = named.setdefault(name, {})
        if not path or inner in of_name:
            raise InputError(f"--scores {value}: {SCORES_WANTED}")
        of_name[inner] = path
    sources = {name: _one_source(files, values) for name, files in named.items()}
    if "" in sources and len(sources) > 1:
        raise InputError(f"--scores {' '.join(values)}: {SCORES_WANTED}")
    return sources.get("", sources)


def _one_source(files: dict[str, str], values: Sequence[str]) -> Any:
    """The scores of one base model: its table under "", or bigWig files by strand and site."""
    if set(files) == {""}:
        return files[""]
    if sorted(files) != sorted(f"{strand}.{site}" for strand in STRANDS for site in SITES):
        raise InputError(f"--scores {' '.join(values)}: {SCORES_WANTED}")
    return {strand: {site: files[f"{strand}.{site}"] for site in SITES} for strand in STRANDS}


def _tracks(values: Sequence[str]) -> "Tracks":
    """Tracks of evidence, given as `NAME=FILE`, or as `NAME.plus=FILE` and `NAME.minus=FILE`.

    Their kinds are guessed from the names of the files. Those that the model does not need are only
    carried into the calls.
    """
    from genebatch.config.tracks import Tracks, guessed_kind

    given: dict[str, dict[str, str]] = {}
    for value in values:
        name, _, path = value.partition("=")
        name, _, side = name.partition(".")
        if not path or side not in ("", *STRANDS):
            raise InputError(
                f"--tracks {value}: wanted NAME=FILE, or NAME.plus=FILE and NAME.minus=FILE"
            )
        files = given.setdefault(name, {})
        if side in files:
            raise InputError(f"--tracks {value}: the track {name!r} is there twice; leave one out")
        files[side] = path
    section = {}
    for name, files in given.items():
        keys = {"kind": guessed_kind(next(iter(files.values()))), "role": "ignore"}
        paths = {"file": files.pop("")} if "" in files else {}
        section[name] = keys | paths | ({"strands": files} if files else {})
    return Tracks.build(section)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"wanted a share from 0 to 1, got {text}")
    return value


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 on")
    return int(text)


def command_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        "genebatch", description="Train a model from batches of groups, and use it."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        added.set_defaults(run=run)
        return added

    _add_init_options(command("init", init))
    _add_run_options(command("run", run_workflow))
    _add_call_options(command("call", call))
    _add_predict_options(command("predict", predict))
    _add_rank_options(command("rank-genes", rank_genes))
    for name, run in (("inspect", inspect), ("verify", verify)):
        command(name, run).add_argument("model", help="model file or results folder")
    _add_simulate_options(command("simulate", simulate))
    _add_plan_options(command("plan", plan))
    _add_lengths_options(command("structure-lengths", structure_lengths))
    _add_group_options(command("group-genes", group_genes))
    pairs = command("codon-pairs", codon_pairs)
    pairs.add_argument("model", help="model file or results folder")
    pairs.add_argument("-o", "--output", required=True, help="TSV to write")
    command("config", write_config).add_argument(
        "--example", action="store_true", help="the built-in example's values, not the defaults"
    )
    return parser


def _add_init_options(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "table", help="file, folder or glob of Parquet or of text (.csv, .tsv, also .gz)"
    )
    added.add_argument("--label", required=True, help="column of the class")
    added.add_argument("--group", required=True, help="column of what must stay together")
    added.add_argument("-o", "--output", required=True, help="configuration to write, YAML")


def _add_run_options(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--configfile",
        nargs="+",
        metavar="FILE",
        help="configuration, later files over earlier ones; default: config/config.yaml",
    )
    added.add_argument(
        "--cores", type=_positive, help="cores that jobs share; default: all that may be used"
    )
    added.add_argument(
        "--memory",
        help="memory that jobs share, such as 32G; default: 90 %% of what may be used",
    )
    added.add_argument("--directory", help="folder of the run, with results/; default: this one")
    added.add_argument("--dry-run", action="store_true", help="say what would run, and run nothing")
    added.add_argument(
        "--verbose", action="store_true", help="show what Snakemake says of every job as well"
    )
    added.add_argument(
        "snakemake",
        nargs=argparse.REMAINDER,
        help="further arguments for Snakemake, after --",
    )


def _add_lengths_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("genes", help="gene models, GTF or GFF3, plain or gzip")
    added.add_argument("-o", "--output", required=True, help="YAML file to write")
    added.add_argument(
        "--transcripts",
        choices=("all", "longest", "canonical"),
        default="all",
        help="which transcripts of a gene count; default: all",
    )
    _add_biotypes(added)


def _add_group_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("--fasta", required=True, help="genome, FASTA, plain or bgzip")
    added.add_argument("--genes", required=True, help="gene models, GTF or GFF3, plain or gzip")
    added.add_argument("-o", "--output", required=True, help="TSV to write: gene_id, group")
    added.add_argument(
        "--cover",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="two genes are joined if at least this share of the shorter transcript is similar to "
        "the other; default: 0.5",
    )
    added.add_argument(
        "--identity",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="least share of identical nucleotides there, from 0.7 on; default: 0.8",
    )
    _add_biotypes(added)
    _add_max_refused(added)


def _add_max_refused(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--max-refused",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="most of the genes that may be left out because they cannot be read or are not on "
        "the genome; up to ten always may, unless it is 0; default: 0.1",
    )


def _add_biotypes(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--biotypes",
        nargs="+",
        metavar="BIOTYPE",
        help="only genes of these biotypes, such as protein_coding; default: all",
    )


def _add_predict_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("model", help="model file, or the results folder that holds it")
    added.add_argument(
        "table", help="file, folder or glob of Parquet or of text (.csv, .tsv, also .gz)"
    )
    added.add_argument(
        "-o", "--output", required=True, help="file to write: .parquet, .csv or .tsv"
    )
    added.add_argument("--threads", type=_positive, default=1, help="default: 1")


def _add_simulate_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("out", help="folder to write genome.fa and genes.gtf into")
    kind = added.add_mutually_exclusive_group()
    kind.add_argument(
        "--table",
        action="store_true",
        help=f"write shards of {ROWS_PER_GENE} rows a gene into example/ and new/ instead",
    )
    kind.add_argument(
        "--like",
        choices=("document",),
        help="write shards of 9,280 genes, 3,729,279 rows and 1,167 features into example/ instead",
    )
    added.add_argument(
        "--tracks",
        action="store_true",
        help="write conservation.bw, noise.bw and SJ.out.tab beside the genome as well",
    )
    added.add_argument("--genes", type=int, help=f"not with --like; default: {GENES}")
    added.add_argument("--share", type=float, help="of all genes, with --like; default: 1")
    added.add_argument("--seed", type=_whole, default=7, help="default: 7")


def _add_plan_options(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--config",
        nargs="+",
        default=["config/config.yaml"],
        help="config files, later ones over earlier ones; default: config/config.yaml",
    )
    added.add_argument("--memory", help="memory of the run, such as 32G, or 16000 (in MB)")
    added.add_argument("--cores", type=_positive, default=1, help="cores of the run; default: 1")


def _add_rank_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("results", help="results folder of a finished run")
    added.add_argument("-o", "--output", help="TSV to write, a line per group")
    added.add_argument("--figure", help="PNG to write")
    added.add_argument(
        "--by",
        metavar="COLUMN",
        help="column of the TSV, largest first, such as log_loss, mean_log_loss, ambiguity, "
        "disagreement, errors or made, each also as weighted_COLUMN; default: log_loss, weighted "
        "where rows have weights",
    )
    added.add_argument("--top", type=_positive, default=15, help="groups to show; default: 15")
    added.add_argument(
        "--combiner", help="the combiner whose probabilities count; default: that of the ensemble"
    )
    added.epilog = "docs/how-to/add-groups.md explains the columns."


def _add_call_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("model", help="model file, or the results folder that holds it")
    added.add_argument("--fasta", required=True, help="genome, FASTA, plain or bgzip")
    added.add_argument("--genes", required=True, help="gene models, GTF or GFF3, plain or gzip")
    added.add_argument(
        "--scores",
        required=True,
        nargs="+",
        help="base scores: a table gene_id, position, donor, acceptor, or bigWig files as "
        "plus.donor=FILE plus.acceptor=FILE minus.donor=FILE minus.acceptor=FILE. Of several base "
        "models: NAME=TABLE or NAME.plus.donor=FILE and so on for each",
    )
    added.add_argument("-o", "--output", required=True, help="folder to write into")
    added.add_argument(
        "--tracks",
        nargs="+",
        metavar="NAME=FILE",
        help="the tracks that the model was trained with, of this genome; NAME.plus=FILE and "
        "NAME.minus=FILE if each strand has a file. Other tracks stand in positions.parquet only. "
        "Files .bw and .bigwig are numbers, others are splice junctions",
    )
    added.add_argument(
        "--mode",
        default="hybrid",
        help="meta re-scores every position, hybrid those in the band, base none; default: hybrid",
    )
    added.add_argument(
        "--band",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        default=(0.00003, 1.0),
        help="positions are re-scored if LOW <= larger base score < HIGH; HIGH 1 is no upper "
        "end; default: 0.00003 1",
    )
    added.add_argument(
        "--target-share", type=float, help="re-score at most this share; sets LOW of the band"
    )
    added.add_argument("--only", nargs="+", help="gene ids, or files with one a line; default: all")
    _add_biotypes(added)
    added.add_argument(
        "--threshold",
        nargs=2,
        type=float,
        metavar=("DONOR", "ACCEPTOR"),
        help="probabilities from which a position is called; default: those of the model",
    )
    added.add_argument(
        "--unscored",
        choices=("error", "zero"),
        default="error",
        help="treat a gene without any score as an error, or its scores as zero; default: error",
    )
    _add_max_refused(added)
    added.add_argument(
        "--misaligned",
        choices=("error", "warning"),
        default="error",
        help="treat sequence, genes and scores that do not fit together as an error, or warn and "
        "call all the same; default: error",
    )
    added.add_argument("--bigwig", action="store_true", help="write bigWig files as well")
    added.add_argument(
        "--transcripts",
        nargs="?",
        type=_whole,
        const=100,
        metavar="N",
        help="write the most probable transcripts of each gene as well, as GFF3: the best chain of "
        "sites, and those of N chains drawn at random that are probable enough; default of N: 100",
    )
    added.add_argument(
        "--least-posterior",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="write a chain that is drawn from this posterior on; default: 0.05",
    )
    added.add_argument(
        "--bgzip",
        nargs="?",
        choices=("tbi", "csi"),
        const="tbi",
        default="none",
        help="write calls.bed.gz, and transcripts.gff3.gz if there are transcripts, as well, with "
        "a tabix index; csi is for chromosomes of more than 536,870,912 nt; default of the index: "
        "tbi",
    )
    added.add_argument(
        "--hub",
        nargs=2,
        metavar=("GENOME", "EMAIL"),
        help="write a track hub for the UCSC Genome Browser as well; GENOME is the name of the "
        "genome there, such as hg38, or its accession, or own for one that it does not have; EMAIL "
        "is the contact",
    )
    added.add_argument("--threads", type=_positive, default=1, help="default: 1")
