"""Scores genes by OpenSpliceAI models; a scorer for `sequence.scorer` of genebatch.

Reads what genebatch writes: FASTA with a record for each gene in the direction of transcription,
with bases before and behind it (`flank=` in the header). Writes a TSV file with the columns
gene_id, position, donor and acceptor. Positions whose scores are both below 1e-5 are left out.

The package `openspliceai` (GPLv3) brings no weights. Download one of its released models, a folder
of five `.pt` files, and name it in `--models`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

FLOOR = 1e-5
BLOCK = 20_000  # positions of one pass
NEITHER, ACCEPTOR, DONOR = range(3)  # channels of the networks' output


class Record(NamedTuple):
    """A gene: its id, the bases on either side, and its letters with them."""

    gene_id: str
    flank: int
    sequence: str


def main(arguments: list[str] | None = None) -> None:
    """Read the sequences, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fasta", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--models", required=True, help="folder with the weights (.pt files)")
    parser.add_argument("--context", type=int, default=10_000, help="nt that the models see")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    predict = load(given.models, given.context, given.threads)
    with given.fasta.open() as stream, given.scores.open("w") as out:
        out.write("gene_id\tposition\tdonor\tacceptor\n")
        for record in records(stream):
            for position, donor, acceptor in scored(record, given.context // 2, predict):
                out.write(f"{record.gene_id}\t{position}\t{donor:.6g}\t{acceptor:.6g}\n")


def load(models: str, context: int, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The mean of the networks: one-hot bases (4, n + context) to probabilities (3, n)."""
    import torch
    from openspliceai.predict.predict import load_pytorch_models

    torch.set_num_threads(threads)
    networks, _ = load_pytorch_models(models, torch.device("cpu"), BLOCK, context)
    files = [path for path in Path(models).glob("*") if path.suffix in (".pt", ".pth")]
    if Path(models).is_dir() and len(networks) != len(files):  # the package skips what it cannot
        sys.exit(f"{models}: {len(networks)} of {len(files)} models could be loaded; see above")

    def predict(bases: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            given = torch.from_numpy(bases[None])
            return torch.stack([network(given)[0] for network in networks]).mean(0).numpy()

    return predict


def records(stream: TextIO) -> Iterator[Record]:
    """The records of a FASTA file, one at a time."""
    head, lines = None, []
    for line in stream:
        if line.startswith(">"):
            if head is not None:
                yield _record(head, lines)
            head, lines = line[1:].rstrip("\n"), []
        else:
            lines.append(line.strip())
    if head is not None:
        yield _record(head, lines)


def _record(head: str, lines: list[str]) -> Record:
    gene_id, *facts = head.split()
    known = dict(fact.split("=", 1) for fact in facts)
    return Record(gene_id, int(known["flank"]), "".join(lines))


def scored(
    record: Record, context: int, predict: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[int, float, float]]:
    """Positions of a gene with their donor and acceptor probabilities.

    `context` are the nt that the networks need on either side; where the record has fewer, the
    rest is unknown.
    """
    lacking = max(context - record.flank, 0)
    bases = one_hot("N" * lacking + record.sequence + "N" * lacking)
    first = record.flank + lacking - context  # where the context of position 0 begins
    length = len(record.sequence) - 2 * record.flank
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        part = predict(bases[:, first + start : first + stop + 2 * context])
        for offset in np.flatnonzero(part[[DONOR, ACCEPTOR]].max(axis=0) >= FLOOR).tolist():
            yield start + offset, float(part[DONOR, offset]), float(part[ACCEPTOR, offset])


def one_hot(sequence: str) -> np.ndarray:
    """Rows A, C, G, T of a sequence, (4, n) float32; other letters are zeros."""
    letters = np.frombuffer(sequence.upper().encode(), np.uint8)
    return (letters == np.frombuffer(b"ACGT", np.uint8)[:, None]).astype(np.float32)


if __name__ == "__main__":
    main()
