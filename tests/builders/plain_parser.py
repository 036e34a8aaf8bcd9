"""A second reader of annotations, small and obvious, to compare the first with.

It keeps every line as a dictionary and knows nothing of broken files, copies and short gaps.
"""

import itertools
import re
from urllib.parse import unquote

from tests.builders.annotations import Sites


def plain_sites(text: str) -> Sites:
    """Donors and acceptors of each chromosome and strand, 1-based genomic positions."""
    sites: Sites = {}
    for (chrom, strand), exons in _transcripts(text):
        donors, acceptors = sites.setdefault((chrom, strand), (set(), set()))
        for (_, end), (start, _) in itertools.pairwise(exons):
            donors.add(end if strand == "+" else start)
            acceptors.add(start if strand == "+" else end)
    return {place: both for place, both in sites.items() if both[0]}


def _transcripts(text: str) -> list[tuple[tuple[str, str], list[tuple[int, int]]]]:
    exons: dict[tuple, list[tuple[int, int]]] = {}
    coding: dict[tuple, list[tuple[int, int]]] = {}
    for line in text.partition("##FASTA")[0].splitlines():
        if line.startswith("#") or not line.strip():
            continue
        chrom, _, kind, start, end, _, strand, _, attributes = line.split("\t")
        is_exon = kind.lower().endswith("exon")
        is_coding = kind == "CDS" or "utr" in kind.lower()
        if strand not in "+-" or not (is_exon or is_coding):
            continue
        for key in _keys(attributes):
            table = exons if is_exon else coding
            table.setdefault((chrom, strand, key), []).append((int(start), int(end)))
    chosen = coding | exons
    return [(key[:2], _joined(spans)) for key, spans in chosen.items()]


def _keys(attributes: str) -> list[str]:
    """What tells the transcript of an exon or CDS line."""
    if re.match(r"\w+=", attributes):
        values = dict(field.split("=", 1) for field in attributes.strip(";").split(";"))
        if "Parent" not in values:
            return [values["ID"]]
        # The CDS of a gene: one transcript for each ID.
        own = values.get("ID", "") if values["Parent"].startswith("gene-") else ""
        return [unquote(parent) + own for parent in values["Parent"].split(",")]
    values = {}
    for key, quoted in re.findall(r'(\w+) "((?:[^"\\]|\\.)*)";', attributes):
        values.setdefault(key, quoted)
    return [values["transcript_id"]]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans sorted; those that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
