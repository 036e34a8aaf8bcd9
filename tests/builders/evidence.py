"""Files of evidence that are written value by value."""

import numpy as np
import pyBigWig

from genebatch.config.tracks import Tracks
from genebatch.genome.evidence.checks import Assembly
from genebatch.genome.evidence.tracks import open_tracks

CONTIGS = {"chr1": 1000, "chr2": 500}


def write_bigwig(path, values, contigs=CONTIGS):
    """Write contig to position (0-based) to value, each value of its own."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(contigs.items()))
        for contig in contigs:
            of_contig = values.get(contig, {})
            if of_contig:
                starts = sorted(of_contig)
                file.addEntries(
                    [contig] * len(starts),
                    starts,
                    ends=[start + 1 for start in starts],
                    values=[float(of_contig[start]) for start in starts],
                )
    return str(path)


def star_line(chrom, start, end, strand, motif=1, unique=1, multi=0):
    """A line of SJ.out.tab: the intron from base `start` to `end`, counted from 1."""
    return "\t".join(map(str, (chrom, start, end, strand, motif, 0, unique, multi, 20))) + "\n"


def bed_line(chrom, start, blocks, strand, score=1):
    """A line of BED12 of some blocks (start, end), counted from 0."""
    end = blocks[-1][1]
    sizes = ",".join(str(b - a) for a, b in blocks)
    starts = ",".join(str(a - start) for a, _ in blocks)
    fields = (chrom, start, end, "j", score, strand, start, end, 0, len(blocks), sizes, starts)
    return "\t".join(map(str, fields)) + "\n"


def opened(section, genes=(), contigs=CONTIGS):
    """Open the tracks of a section `sequence.tracks`."""
    return open_tracks(Tracks.build(section), genes, Assembly(contigs, "genome.fa"))


def values_of(contig, first, values):
    """Successive values from a position on; NaN is left out."""
    return {contig: {first + n: v for n, v in enumerate(values) if not np.isnan(v)}}
