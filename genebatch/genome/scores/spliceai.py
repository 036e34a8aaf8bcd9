"""Scores every position of genes by the published SpliceAI models.

The PyPI package `spliceai` carries the five networks (Jaganathan et al., Cell 2019, SpliceAI-10k).
Illumina provides them under CC BY-NC 4.0, for academic and non-commercial use.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genebatch.genome.fasta import Fasta, gene_codes
from genebatch.genome.genes import Gene, stretches
from genebatch.genome.scores.sparse_file import FLOOR, ScoredStretch, join_scores, write_scores
from genebatch.io.files import InputError, digest

log = logging.getLogger(__name__)

FLANK = 5_000  # nt that the networks see on either side of a position
# Positions of one pass. The flanks add half to the work; with blocks of 5,000 they treble it.
BLOCK = 20_000
PART = 2_000_000  # positions between two savings; 4 minutes on a core
DONOR, ACCEPTOR = 2, 1  # columns of the networks' output; 0 is neither
PACKAGES = ("tensorflow", "keras", "spliceai")


class SpliceModel(NamedTuple):
    """A model that scores a sequence.

    Attributes
    ----------
    identity
        Tells this model from others; scores saved under another identity are not used.
    predict
        Takes one-hot bases (n + 2 * FLANK, 4) float32 in the order A, C, G, T, with rows of zeros
        for unknown bases. Returns the probabilities of neither, acceptor and donor (n, 3).
    """

    identity: str
    predict: Callable[[np.ndarray], np.ndarray]


def published_model(threads: int = 1) -> SpliceModel:
    """Load the mean of the five published networks; needs the extra `spliceai`.

    One and two threads, and blocks of 5,000 to 80,000 positions, gave the same scores bit by bit
    (TensorFlow 2.21 on a CPU). Holds 0.8 GB at first. TensorFlow keeps a plan for each length of a
    block: 1.1 GB after a few hundred lengths.

    Parameters
    ----------
    threads
        Threads of one pass. TensorFlow takes the number only once in a process.

    Raises
    ------
    InputError
        If TensorFlow, Keras or the package with the networks is not installed.
    """
    files = _weight_files()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A user's keras.json may name another backend, for which the graph below does not work.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # The files carry no training configuration, and none is needed to predict.
    networks = [keras.models.load_model(path, compile=False) for path in files]

    # Keras' own predict makes a new graph for each length of a sequence.
    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32)])
    def mean(bases):
        outputs = [network(bases[None], training=False)[0] for network in networks]
        return tf.add_n(outputs) / len(outputs)

    seen = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    log.info(
        "SpliceAI %s, Keras %s, TensorFlow %s; the networks are under CC BY-NC 4.0: academic and "
        "non-commercial use only",
        *(version("spliceai"), keras.__version__, tf.__version__),
    )
    return SpliceModel(seen, lambda bases: mean(bases).numpy())


def score_genes(
    genome: Fasta,
    genes: Sequence[Gene],
    model: SpliceModel,
    out: str | PathLike,
    part: int = PART,
) -> int:
    """Score every position of the genes and write `out` as `sparse_file.write_scores` does.

    The networks see a position in transcript orientation with 5,000 nt on either side, also beyond
    the gene's ends; bases beyond the contig are unknown. The program of the package blanks the
    sequence beyond the transcript instead, which tells the networks where the annotation lets it
    end. Scores from sequence alone are lower, but right for genes whose ends are not known.
    Average precision of donors and acceptors in 60 human genes of 3 to 14 kb: .948, .931; blanked:
    .980, .961.

    Scores are saved in the folder `{out}.parts` whenever `part` positions are done. A later call
    with the same model, genes and sequence goes on from there. The folder is removed at the end.
    Holds the networks, one block and a row group of entries.

    Parameters
    ----------
    genome
        The genome, on which all genes lie.
    genes
        The genes, sorted by id.
    model
        The networks, such as `published_model`.
    out
        Parquet file to write.
    part
        Positions between two savings.

    Returns
    -------
    int
        Number of rows written.
    """
    folder, saved = Path(f"{out}.parts"), []
    for number, members in enumerate(parts := list(_parts(genes, part)), start=1):
        path = folder / f"{_key(genome, members, model)}.parquet"
        saved.append(path)
        fact = "was saved before" if path.exists() else _score(path, genome, members, model)
        log.info("part %d/%d: %s genes, %s", number, len(parts), f"{len(members):,}", fact)
    rows = join_scores(saved, out)
    shutil.rmtree(folder)
    return rows


def gene_scores(
    genome: Fasta, gene: Gene, model: SpliceModel, block: int = BLOCK
) -> Iterator[ScoredStretch]:
    """Score successive stretches of at most `block` positions that cover a gene once.

    The scores of a position depend only on the 10,001 bases around it, so no result depends on
    `block`. Holds one block.
    """
    for start, codes in _windows(genome, gene, block):
        probabilities = model.predict(one_hot(codes))
        yield ScoredStretch(gene.id, start, probabilities[:, [DONOR, ACCEPTOR]].T)


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Encode codes A 0, C 1, G 2, T 3 as one-hot rows (n, 4) float32; unknown 4 is zeros."""
    return np.eye(5, 4, dtype=np.float32)[codes]


def _windows(genome: Fasta, gene: Gene, block: int) -> Iterator[tuple[int, np.ndarray]]:
    """First gene position and codes of each block, with `FLANK` more codes on either side."""
    for start, stop in stretches(gene, block):
        yield start, gene_codes(genome, gene, start - FLANK, stop + FLANK)


def _parts(genes: Sequence[Gene], least: int) -> Iterator[list[Gene]]:
    """Cut the genes into runs of at least so many positions; the last may be shorter."""
    part, size = [], 0
    for gene in genes:
        part.append(gene)
        size += gene.length
        if size >= least:
            yield part
            part, size = [], 0
    if part:
        yield part


def _key(genome: Fasta, genes: Sequence[Gene], model: SpliceModel) -> str:
    """Digest of everything that decides the scores of some genes: model, names and bases."""
    bases = hashlib.sha256()
    for gene in genes:
        for _, codes in _windows(genome, gene, BLOCK):
            bases.update(codes.tobytes())
    names = [(gene.id, gene.length) for gene in genes]
    return digest(model.identity, FLOOR, names, bases.hexdigest())


def _score(path: Path, genome: Fasta, genes: Sequence[Gene], model: SpliceModel) -> str:
    """Score the genes into `path`; return the log's text about it."""
    started = time.monotonic()
    rows = write_scores(
        path, (stretch for gene in genes for stretch in gene_scores(genome, gene, model))
    )
    seconds, positions = time.monotonic() - started, sum(gene.length for gene in genes)
    pace = 1000 * seconds / positions
    return f"{positions:,} positions, {rows:,} entries, {pace:.2f} s per 1,000 positions"


def _weight_files() -> list[Path]:
    """Find the networks without importing their package, which needs the retired pkg_resources."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"sequence.scorer is spliceai, but this environment lacks {', '.join(missing)}; run "
            "`pip install 'genebatch[spliceai]'` (weights under CC BY-NC 4.0, non-commercial use "
            "only), or set sequence.scores to scores you have"
        )
    folder = Path(find_spec("spliceai").submodule_search_locations[0]) / "models"
    files = [folder / f"spliceai{number}.h5" for number in range(1, 6)]
    absent = [path.name for path in files if not path.is_file()]
    if absent:
        raise InputError(f"{folder} lacks {', '.join(absent)}; install spliceai 1.3.1 anew")
    return files
