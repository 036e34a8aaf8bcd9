"""One set of gene models, written in the shapes of public annotations.

Every writer gives the text of a file. `readers` that understand it find the sites of `SITES`.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from genebatch.config.settings import Reading
from genebatch.genome.genes import MIN_INTRON
from genebatch.genome.left_out import MAX_REFUSED

# Gene models are read whole, as by default.
READING = Reading("all", None, MIN_INTRON, MAX_REFUSED)


class Model(NamedTuple):
    """A gene: exons of each transcript, 1-based with both ends, ascending; `cds` or None."""

    id: str
    name: str
    chrom: str
    strand: str
    transcripts: tuple[tuple[tuple[int, int], ...], ...]
    cds: tuple[int, int] | None


MODELS = (
    Model(
        *("G1", "ABC1", "chr1", "+"),
        (((201, 300), (501, 600), (901, 1000)), ((251, 300), (651, 700), (901, 980))),
        (281, 950),
    ),
    Model("G2", "ABC2", "chr1", "-", (((2001, 2100), (2401, 2500), (2801, 2900)),), (2051, 2850)),
    Model("G3", "SOLO", "chr1", "+", (((4001, 4400),),), (4101, 4300)),
    Model("G4", "LNC;4", "chr2", "-", (((301, 420), (1901, 2000)),), None),
    Model("G5", "ABC5", "chr2", "+", (((5001, 5100), (9301, 9400)),), (5001, 9400)),
)
# The coding parts of `MODELS` alone: what files without exon and UTR lines tell.
CODING = tuple(
    model._replace(
        transcripts=tuple(
            tuple(
                (max(start, model.cds[0]), min(end, model.cds[1]))
                for start, end in exons
                if start <= model.cds[1] and end >= model.cds[0]
            )
            for exons in model.transcripts
        )
    )
    for model in MODELS
    if model.cds
)

Sites = dict[tuple[str, str], tuple[set[int], set[int]]]


def sites_of(models: tuple[Model, ...]) -> Sites:
    """Donors and acceptors of each chromosome and strand, 1-based genomic positions."""
    sites: Sites = {}
    for model in models:
        donors, acceptors = sites.setdefault((model.chrom, model.strand), (set(), set()))
        for exons in model.transcripts:
            for (_, end), (start, _) in itertools.pairwise(exons):
                first, last = (end, start) if model.strand == "+" else (start, end)
                donors.add(first)
                acceptors.add(last)
    return {place: both for place, both in sites.items() if both[0]}


def _line(model: Model, source: str, kind: str, span: tuple[int, int], attributes: str) -> str:
    place = f"{span[0]}\t{span[1]}\t.\t{model.strand}\t."
    return f"{model.chrom}\t{source}\t{kind}\t{place}\t{attributes}\n"


def _span(exons: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    return exons[0][0], exons[-1][1]


def _gene_span(model: Model) -> tuple[int, int]:
    return (
        min(exons[0][0] for exons in model.transcripts),
        max(exons[-1][1] for exons in model.transcripts),
    )


def _ordered(model: Model, exons: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Exons in transcript orientation."""
    return exons if model.strand == "+" else exons[::-1]


def _coding(model: Model, exons: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    if model.cds is None:
        return []
    low, high = model.cds
    return [(max(s, low), min(e, high)) for s, e in exons if s <= high and e >= low]


def _untranslated(model: Model, exons: tuple[tuple[int, int], ...]) -> list[tuple[str, tuple]]:
    """UTR pieces as ("five" or "three", span)."""
    if model.cds is None:
        return []
    low, high = model.cds
    before, after = ("five", "three") if model.strand == "+" else ("three", "five")
    left = [(before, (s, min(e, low - 1))) for s, e in exons if s < low]
    return left + [(after, (max(s, high + 1), e)) for s, e in exons if e > high]


def _transcripts() -> Iterator[tuple[Model, str, tuple[tuple[int, int], ...]]]:
    for model in MODELS:
        for number, exons in enumerate(model.transcripts, start=1):
            yield model, f"{model.id}.t{number}", exons


def ensembl_gtf() -> str:
    text = "#!genome-build made\n"
    for model in MODELS:
        gene = f'gene_id "{model.id}"; gene_version "3"; '
        more = f'gene_name "{model.name}"; gene_source "made"; gene_biotype "protein_coding";'
        text += _line(model, "ensembl", "gene", _gene_span(model), gene + more)
        for number, exons in enumerate(model.transcripts, start=1):
            name = f'transcript_id "{model.id}.t{number}"; transcript_version "1"; '
            text += _line(model, "ensembl", "transcript", _span(exons), gene + name + more)
            for place, exon in enumerate(_ordered(model, exons), start=1):
                numbered = f'{gene}{name}exon_number "{place}"; {more}'
                text += _line(model, "ensembl", "exon", exon, f'{numbered} exon_id "E{place}";')
                for part in _coding(model, (exon,)):
                    text += _line(model, "ensembl", "CDS", part, numbered)
            for side, part in _untranslated(model, exons):
                text += _line(model, "ensembl", f"{side}_prime_utr", part, gene + name + more)
    return text


def gencode_gtf() -> str:
    text = "##description: made\n##format: gtf\n"
    return text + ensembl_gtf().partition("\n")[2].replace("five_prime_utr", "UTR").replace(
        "three_prime_utr", "UTR"
    )


def ensembl_gff3() -> str:
    text = "##gff-version 3\n##sequence-region chr1 1 9000\n"
    text += "chr1\tmade\tchromosome\t1\t9000\t.\t.\t.\tID=chromosome:chr1;Alias=CM1\n"
    for model in MODELS:
        name = model.name.replace(";", "%3B")
        kind = "gene" if model.cds else "ncRNA_gene"
        text += _line(
            *(model, "ensembl", kind, _gene_span(model)),
            f"ID=gene:{model.id};Name={name};biotype=protein_coding;gene_id={model.id}",
        )
        for number, exons in enumerate(model.transcripts, start=1):
            key = f"transcript:{model.id}.t{number}"
            kind = "mRNA" if model.cds else "lnc_RNA"
            text += _line(
                *(model, "ensembl", kind, _span(exons)),
                f"ID={key};Parent=gene:{model.id};transcript_id={model.id}.t{number}",
            )
            for side, part in _untranslated(model, exons):
                text += _line(model, "ensembl", f"{side}_prime_UTR", part, f"Parent={key}")
            for exon in exons:
                text += _line(model, "ensembl", "exon", exon, f"Parent={key};rank=1")
            for part in _coding(model, exons):
                text += _line(model, "ensembl", "CDS", part, f"ID=CDS:P;Parent={key}")
        text += "###\n"
    return text


def refseq_gff3() -> str:
    text = "##gff-version 3\n#!gff-spec-version 1.21\n"
    text += "chr1\tRefSeq\tregion\t1\t9000\t.\t+\t.\tID=chr1:1..9000;Dbxref=taxon:9606;gbkey=Src\n"
    for number, model in enumerate(MODELS):
        name = model.name.replace(";", "%3B")
        link = f"Dbxref=GeneID:{number},HGNC:HGNC:{number}"
        text += _line(
            *(model, "BestRefSeq", "gene", _gene_span(model)),
            f"ID=gene-{model.id};{link};Name={name};gbkey=Gene;gene={name}",
        )
        for place, exons in enumerate(model.transcripts):
            key = f"rna-NM_{number}.{place}"
            text += _line(
                *(model, "BestRefSeq", "mRNA" if model.cds else "lnc_RNA", _span(exons)),
                f"ID={key};Parent=gene-{model.id};{link};gene={name};transcript_id={key[4:]}",
            )
            for rank, exon in enumerate(_ordered(model, exons), start=1):
                attributes = f"ID=exon-{key[4:]}-{rank};Parent={key};{link};gbkey=mRNA"
                text += _line(model, "BestRefSeq", "exon", exon, attributes)
            for part in _coding(model, exons):
                text += _line(model, "BestRefSeq", "CDS", part, f"ID=cds-NP_{number};Parent={key}")
    return text


def refseq_gtf() -> str:
    text = "#gtf-version 2.2\n"
    for number, model in enumerate(MODELS):
        gene = f'gene_id "{model.id}"; '
        note = f'db_xref "GeneID:{number}"; gene "{model.name}"; note "old; gene_id X; \\"y\\"";'
        text += _line(model, "RefSeq", "gene", _gene_span(model), f'{gene}transcript_id ""; {note}')
        for place, exons in enumerate(model.transcripts):
            key = f'{gene}transcript_id "NM_{number}.{place}"; {note} '
            for rank, exon in enumerate(_ordered(model, exons), start=1):
                text += _line(model, "RefSeq", "exon", exon, f'{key}exon_number "{rank}"; ')
            for part in _coding(model, exons):
                text += _line(model, "RefSeq", "CDS", part, f'{key}protein_id "NP"; ')
    return text


def ucsc_gtf() -> str:
    text = ""
    for model, key, exons in _transcripts():
        name = f'gene_id "{model.id}"; transcript_id "{key}"; '
        text += _line(model, "refGene", "transcript", _span(exons), f'{name} gene_name "N";')
        for rank, exon in enumerate(_ordered(model, exons), start=1):
            more = f'exon_number "{rank}"; exon_id "{key}.{rank}"; gene_name "N";'
            text += _line(model, "refGene", "exon", exon, name + more)
    return text


def stringtie_gtf() -> str:
    text = "# stringtie -o out.gtf\n# StringTie version 2.2.1\n"
    for model, key, exons in _transcripts():
        name = f'gene_id "{model.id}"; transcript_id "{key}"; '
        text += _line(model, "StringTie", "transcript", _span(exons), f'{name}cov "5.2";')
        for rank, exon in enumerate(exons, start=1):
            text += _line(model, "StringTie", "exon", exon, f'{name}exon_number "{rank}";')
    unstranded = MODELS[0]._replace(strand=".")
    name = 'gene_id "MSTRG.9"; transcript_id "MSTRG.9.1"; exon_number "1";'
    return text + _line(unstranded, "StringTie", "exon", (8001, 8100), name)


def braker_gtf() -> str:
    text = ""
    for model in MODELS:
        text += _line(model, "AUGUSTUS", "gene", _gene_span(model), model.id)
        for number, exons in enumerate(model.transcripts, start=1):
            key = f"{model.id}.t{number}"
            name = f'transcript_id "{key}"; gene_id "{model.id}";'
            text += _line(model, "AUGUSTUS", "transcript", _span(exons), key)
            for part in _coding(model, exons):
                text += _line(model, "AUGUSTUS", "CDS", part, name)
            for exon in exons:
                text += _line(model, "AUGUSTUS", "exon", exon, name)
            for (_, end), (start, _) in itertools.pairwise(exons):
                text += _line(model, "AUGUSTUS", "intron", (end + 1, start - 1), name)
    return text


def augustus_gtf() -> str:
    """CDS alone, with exons named by their place."""
    text = ""
    for model, key, exons in _transcripts():
        parts = _coding(model, exons)
        name = f'transcript_id "{key}"; gene_id "{model.id}";'
        for place, part in enumerate(parts):
            kind = "single" if len(parts) == 1 else ("initial" if not place else "internal")
            text += _line(model, "AUGUSTUS", kind, part, name)
            text += _line(model, "AUGUSTUS", "CDS", part, name)
    return text


def maker_gff3() -> str:
    """Genes with CDS and UTR lines alone stand beside genes with exon lines."""
    text = "##gff-version 3\n"
    text += "chr1\tblastx\tprotein_match\t150\t990\t.\t+\t.\tID=m1;Name=sp\n"
    text += "chr1\tblastx\tmatch_part\t150\t990\t.\t+\t.\tID=m1:1;Parent=m1\n"
    for model in MODELS:
        text += _line(model, "maker", "gene", _gene_span(model), f"ID={model.id};Name=x")
        for number, exons in enumerate(model.transcripts):
            key = f"{model.id}-mRNA-{number}"
            text += _line(model, "maker", "mRNA", _span(exons), f"ID={key};Parent={model.id}")
            if model.cds is None or number:
                for rank, exon in enumerate(exons):
                    text += _line(
                        model, "maker", "exon", exon, f"ID={key}:exon:{rank};Parent={key}"
                    )
            for rank, part in enumerate(_coding(model, exons)):
                text += _line(model, "maker", "CDS", part, f"ID={key}:CDS:{rank};Parent={key}")
            for side, part in _untranslated(model, exons):
                text += _line(model, "maker", f"{side}_prime_UTR", part, f"Parent={key}")
    return text + "##FASTA\n>chr1\nACGT\n"


def sgd_gff3() -> str:
    """CDS lines under their mRNA, no exons; the lines of one CDS share an ID."""
    text = "##gff-version 3\n"
    for model in CODING:
        text += _line(model, "SGD", "gene", _gene_span(model), f"ID={model.id};Name={model.id}")
        for number, exons in enumerate(model.transcripts):
            key = f"{model.id}_id{number}"
            text += _line(model, "SGD", "mRNA", _span(exons), f"ID={key};Parent={model.id}")
            for part in exons:
                text += _line(model, "SGD", "CDS", part, f"Parent={key};Name={model.id}_CDS")
    return text


def genbank_gff3() -> str:
    """CDS lines on the gene directly; several CDS of a gene are told by their ID."""
    text = "##gff-version 3\n"
    for model in CODING:
        text += _line(model, "Genbank", "gene", _gene_span(model), f"ID=gene-{model.id};gbkey=Gene")
        for number, exons in enumerate(model.transcripts):
            for part in exons:
                attributes = f"ID=cds-{model.id}.{number};Parent=gene-{model.id};gbkey=CDS"
                text += _line(model, "Genbank", "CDS", part, attributes)
    return text


def prokka_gff3() -> str:
    """CDS lines without any parent."""
    text = "##gff-version 3\n"
    for model in CODING:
        for number, exons in enumerate(model.transcripts):
            for part in exons:
                text += _line(model, "Prodigal", "CDS", part, f"ID={model.id}_{number};product=x")
    return text + "##FASTA\n>chr1\nACGT\n"


def tair_gff3() -> str:
    """Exons without an ID, CDS with a protein as second parent, a pseudogene of other types."""
    text = ""
    for model in MODELS:
        solo = model.name == "ABC2"
        kinds = ("pseudogene", "pseudogenic_transcript", "pseudogenic_exon")
        kinds = kinds if solo else ("gene", "mRNA", "exon")
        text += _line(model, "TAIR10", kinds[0], _gene_span(model), f"ID={model.id};Note=x")
        for number, exons in enumerate(model.transcripts, start=1):
            key = f"{model.id}.{number}"
            text += _line(model, "TAIR10", kinds[1], _span(exons), f"ID={key};Parent={model.id}")
            protein = f"ID={key}-Protein;Derives_from={key}"
            text += _line(model, "TAIR10", "protein", _span(exons), protein)
            for exon in exons:
                text += _line(model, "TAIR10", kinds[2], exon, f"Parent={key}")
                for part in [] if solo else _coding(model, (exon,)):
                    text += _line(model, "TAIR10", "CDS", part, f"Parent={key},{key}-Protein;")
    return text


def flybase_gff3() -> str:
    """Exons of several parents, and lines of other features of the gene."""
    text = "##gff-version 3\n"
    for model in MODELS:
        text += _line(model, "FlyBase", "gene", _gene_span(model), f"ID=FB{model.id};Name=x")
        parents: dict[tuple[int, int], list[str]] = {}
        for number, exons in enumerate(model.transcripts):
            key = f"FBtr{model.id}{number}"
            text += _line(model, "FlyBase", "mRNA", _span(exons), f"ID={key};Parent=FB{model.id}")
            for exon in exons:
                parents.setdefault(exon, []).append(key)
            for (_, end), (start, _) in itertools.pairwise(exons):
                text += _line(
                    *(model, "FlyBase", "intron", (end + 1, start - 1)),
                    f"ID=intron_{end};Parent={key}",
                )
        for exon, keys in sorted(parents.items()):
            text += _line(model, "FlyBase", "exon", exon, f"Name=e;Parent={','.join(keys)}")
        text += _line(model, "FlyBase", "transposable_element", (1, 9), f"ID=te{model.id}")
    return text


def wormbase_gff3() -> str:
    """IDs with a prefix, CDS of several parents."""
    text = "##gff-version 3\n"
    for model in MODELS:
        gene = f"Gene:WB{model.id}"
        attributes = f"ID={gene};Name=WB{model.id};sequence_name=x;biotype=protein_coding"
        text += _line(model, "WormBase", "gene", _gene_span(model), attributes)
        for number, exons in enumerate(model.transcripts):
            key = f"Transcript:{model.id}.{number}"
            text += _line(model, "WormBase", "mRNA", _span(exons), f"ID={key};Parent={gene}")
            for exon in exons:
                text += _line(model, "WormBase", "exon", exon, f"Parent={key}")
            for part in _coding(model, exons):
                text += _line(model, "WormBase", "CDS", part, f"ID=CDS:{model.id};Parent={key}")
    return text


def liftoff_gff3() -> str:
    """The GFF3 of Ensembl after a transfer, with copy numbers."""
    more = ";coverage=1.0;sequence_ID=0.99;extra_copy_number=0;copy_num_ID=x_0\n"
    lines = ensembl_gff3().splitlines()
    return "".join(line + (more if "\t" in line else "\n") for line in lines)


WHOLE: dict[str, Callable[[], str]] = {
    "ensembl.gtf": ensembl_gtf,
    "gencode.gtf": gencode_gtf,
    "ensembl.gff3": ensembl_gff3,
    "refseq.gff3": refseq_gff3,
    "refseq.gtf": refseq_gtf,
    "ucsc.gtf": ucsc_gtf,
    "stringtie.gtf": stringtie_gtf,
    "braker.gtf": braker_gtf,
    "maker.gff3": maker_gff3,
    "tair.gff": tair_gff3,
    "flybase.gff": flybase_gff3,
    "wormbase.gff3": wormbase_gff3,
    "liftoff.gff3": liftoff_gff3,
}
CODING_ALONE: dict[str, Callable[[], str]] = {
    "augustus.gtf": augustus_gtf,
    "sgd.gff3": sgd_gff3,
    "genbank.gff3": genbank_gff3,
    "prokka.gff3": prokka_gff3,
}
