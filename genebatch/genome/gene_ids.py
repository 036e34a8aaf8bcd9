"""Compares the gene ids that a file names with those of the gene models."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from genebatch.genome.genes import Gene
from genebatch.io.files import InputError, first_names

log = logging.getLogger(__name__)

VERSION = re.compile(r"\.\d+(?=(_PAR_Y)?$)")


def id_hint(genes: Sequence[Gene], ids: Collection[str]) -> str:
    """Say how ids of a file that are no gene's resemble genes that the file does not name.

    Empty if they resemble none.
    """
    for gene in genes:
        if gene.name in ids:
            return f"; its ids look like gene names: {gene.name!r} is gene {gene.id!r}"
    for gene, near in other_versions((gene.id for gene in genes), ids).items():
        return f"; its ids have other versions: {near!r} there, {gene!r} in the gene models"
    return ""


def other_versions(genes: Iterable[str], ids: Collection[str]) -> dict[str, str]:
    """Gene id to the id of a file that is the same but for its version, such as `.5`.

    Ids that several share without what looks like a version have none, such as `MSTRG.1` and
    `MSTRG.2`.
    """
    genes = list(genes)
    counts = [Counter(map(_bare, names)) for names in (genes, ids)]
    of_bare = {_bare(name): name for name in ids}
    return {
        gene: of_bare[bare]
        for gene, bare in zip(genes, map(_bare, genes), strict=True)
        if all(count[bare] == 1 for count in counts) and of_bare[bare] != gene
    }


def _bare(gene: str) -> str:
    return VERSION.sub("", gene)


def check_group_ids(
    path: str | Path,
    ids: Collection[str],
    genes: Sequence[Gene],
    known: Collection[str],
    source: str | Path,
    key: str = "sequence.groups",
) -> None:
    """Log how many ids of a table of groups are genes, and warn of those that are unknown.

    Parameters
    ----------
    path, ids
        The table, and the gene ids in it.
    genes
        The genes that are grouped.
    known
        Ids of all genes of the gene models, also of those that are left out.
    source
        The file of the gene models.
    key
        The config key of the table.

    Raises
    ------
    InputError
        If no id is known: the table is one of other genes, and would group nothing.
    """
    used = {gene.id for gene in genes}
    unknown = sorted(set(ids) - used - set(known))
    hint = id_hint([gene for gene in genes if gene.id not in ids], set(unknown))
    if len(unknown) == len(ids):
        raise InputError(
            f"{path}: none of its {len(ids):,} gene ids is in {source}: "
            f"{first_names(unknown) or 'it has none'}{hint}; the genes there are "
            f"{first_names(sorted(known))}; wanted the ids of these genes; set {key} to "
            "a table of them, as genebatch group-genes makes, or to null"
        )
    n_used = len(used & set(ids))
    log.log(
        logging.INFO if n_used else logging.WARNING,
        "%s: %s of %s gene ids are genes of the table, %s are of genes left out",
        *(path, f"{n_used:,}", f"{len(ids):,}", f"{len(ids) - len(unknown) - n_used:,}"),
    )
    if unknown:
        log.warning(
            "%s: %s of %s gene ids are not in %s and they join nothing: %s%s",
            *(path, f"{len(unknown):,}", f"{len(ids):,}", source, first_names(unknown), hint),
        )
