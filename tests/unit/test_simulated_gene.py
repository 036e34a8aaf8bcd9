"""What genebatch.simulated_gene promises."""

import numpy as np

from genebatch.simulated_columns import KMERS
from genebatch.simulated_gene import kmer_counts


def test_kmer_counts_equal_a_naive_count():
    rng = np.random.default_rng(0)
    sequence = rng.integers(0, 4, 500).astype(np.uint8)
    text = "".join("ACGT"[code] for code in sequence)
    positions = np.array([0, 17, 379])
    names = {3: KMERS[:64], 5: KMERS[64:]}
    for k, columns in names.items():
        counts = kmer_counts(sequence, positions, k)
        for row, position in zip(counts, positions, strict=True):
            window = text[position : position + 121]
            words = [window[i : i + k] for i in range(len(window) - k + 1)]
            assert row.tolist() == [words.count(name.split("_")[1]) for name in columns]
