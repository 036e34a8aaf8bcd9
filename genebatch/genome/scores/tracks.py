"""Opens base scores of genes, a table or bigWig files, in transcript orientation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from genebatch.genome.genes import Gene
from genebatch.genome.scores.bigwig import BigWigTracks
from genebatch.genome.scores.checks import UNSCORED
from genebatch.genome.scores.table import open_table
from genebatch.io.files import InputError

# A table, or strand ("plus", "minus") to site ("donor", "acceptor") to bigWig file.
ScoreSource = str | Path | Mapping[str, Mapping[str, str | Path]]


class ScoreTracks(Protocol):
    """Scores of genes; a context manager."""

    def fetch(self, gene: Gene, start: int, end: int) -> np.ndarray:
        """Donor and acceptor scores of gene positions start to end - 1: (2, end - start) float32.

        In transcript orientation; 0 outside of the gene and for positions without a score.
        """

    def close(self) -> None:
        """Close the files and remove temporary ones."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def open_scores(
    source: ScoreSource,
    genes: Sequence[Gene],
    unscored: str = "error",
    key: str = "sequence.scores",
) -> ScoreTracks:
    """Open the base scores of genes.

    A table is read through once and checked. Its rows may be in any order and may leave positions
    out. Genes that are not asked for are ignored and counted in the log.

    A Parquet table is then read where it lies, if the rows of each gene follow each other with
    ascending positions, and if it has at most 1,048,576 rows or row groups of at most 262,144.
    Any other table is copied in sorted order to the temporary folder ($TMPDIR): about 14 bytes an
    entry, and for a time 24 more.

    Holds the place of every gene, one row group, and the entries of one gene. Sorting holds the
    entries of genes that add up to 2 million nt. A table of 20 million entries takes 0.3 GB.

    Parameters
    ----------
    source
        Parquet (a file, folder or glob) or TSV or CSV (gzip too) with gene_id, position (0-based
        in transcript orientation), donor, acceptor. Or a mapping {"plus": {"donor": path,
        "acceptor": path}, "minus": {...}} of bigWig files in genomic coordinates, where no value
        and NaN are 0.
    genes
        The genes that will be asked for.
    unscored
        "error" to refuse genes without any score, "zero" to give them scores of 0.
    key
        The config key or flag that names `source`.

    Raises
    ------
    InputError
        Naming file and row or line, for missing columns, values that are no probabilities,
        positions outside of their gene, repeated positions, genes without scores and missing
        chromosomes.
    """
    if unscored not in UNSCORED:
        raise InputError(f"unscored is {unscored!r}; known: {', '.join(UNSCORED)}")
    if isinstance(source, Mapping):
        return BigWigTracks(source, genes, unscored, key)
    if str(source).lower().endswith((".bw", ".bigwig")):
        raise InputError(
            f"{source} is one bigWig file; set {key} to plus and minus, each with a donor and an "
            "acceptor file"
        )
    return open_table(source, genes, unscored, key)
