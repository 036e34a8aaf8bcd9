"""A genome that is held in memory: contigs and score tracks with the interface of the files."""

import numpy as np

from genebatch.genome.genes import Gene, Transcript

CODES = {"+": np.arange(5, dtype=np.uint8), "-": np.array([3, 2, 1, 0, 4], np.uint8)}


class HeldFasta:
    """Contigs as codes of their plus strand."""

    def __init__(self, contigs):
        self._codes = contigs
        self.contigs = {name: len(codes) for name, codes in contigs.items()}

    def fetch(self, chrom, start, end, strand):
        contig = self._codes[chrom]
        codes = np.full(end - start, 4, np.uint8)
        low, high = max(start, 0), min(end, len(contig))
        if low < high:
            codes[low - start : high - start] = contig[low:high]
        return CODES[strand][codes[::-1] if strand == "-" else codes]


class HeldScores:
    """(2, length) scores of each gene; notes what was asked for."""

    def __init__(self, tracks):
        self.tracks = tracks
        self.asked = []

    def fetch(self, gene, start, end):
        assert 0 <= start < end <= gene.length
        self.asked.append((start, end))
        return self.tracks[gene.id][:, start:end]


def made_gene(start, end, strand="+", name="g", chrom="c", exons=()):
    """A gene with one transcript for each tuple of exons."""
    transcripts = tuple(
        Transcript(f"{name}.{number}", tuple(blocks)) for number, blocks in enumerate(exons)
    )
    return Gene(name, name, chrom, strand, start, end, "protein_coding", transcripts)


def made_scores(length, seed=0):
    """Scores of which one in twenty is strong, (2, length) float32."""
    rng = np.random.default_rng(seed)
    scores = 10.0 ** rng.uniform(-8, -4, (2, length))
    strong = rng.random((2, length)) < 0.05
    return np.where(strong, rng.random((2, length)) / 2, scores).astype(np.float32)


def made_codes(length, seed=0):
    """Codes of a sequence in which one base in fifty is unknown."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(length) < 0.02, 4, rng.integers(0, 4, length)).astype(np.uint8)


def write_gtf(path, genes):
    """Exon lines of all genes."""
    with open(path, "w") as stream:
        for gene in genes:
            for transcript in gene.transcripts:
                names = f'gene_id "{gene.id}"; transcript_id "{transcript.id}";'
                for start, end in transcript.exons:
                    line = (gene.chrom, "made", "exon", start + 1, end, ".", gene.strand, ".")
                    stream.write("\t".join(map(str, (*line, names))) + "\n")
    return path


def write_genome(folder, contigs, genes):
    """FASTA of name -> text; GTF of id -> (contig, strand, start, end), one exon each."""
    fasta, gtf = folder / "genome.fa", folder / "genes.gtf"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    models = [
        made_gene(start, end, strand, name, chrom, [[(start, end)]])
        for name, (chrom, strand, start, end) in genes.items()
    ]
    return fasta, write_gtf(gtf, models)
