"""Writes a session file with which IGV opens a genome, its genes and their calls."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from genebatch.io.files import InputError, unprintable

SESSION = "calls_igv.xml"
VERSION = "8"  # of the format, as IGV 2 writes it
FEATURES, NUMBERS = "FeaturePanel", "DataPanel"
HEIGHT = "60"  # pixels of a track of numbers


class Track(NamedTuple):
    """A file that the session shows.

    Attributes
    ----------
    path
        The file.
    name
        What stands beside the track.
    colour
        Red, green and blue, such as "0,114,178"; None for a file with colours of its own.
    numbers
        Whether it is a track of probabilities, drawn from 0 to 1.
    """

    path: Path
    name: str
    colour: str | None
    numbers: bool = False


def write_session(
    path: Path, folder: Path, fasta: Path, tracks: Sequence[Track], locus: str
) -> None:
    """Write a session; its paths are relative to `folder`, where it will lie.

    The folder and the inputs may move together. Links on the way to a file are followed, but not
    a link that is the file: its index lies beside the link.

    Raises
    ------
    InputError
        If XML has no way to write a path.
    """
    home = folder.resolve()
    root = ElementTree.Element(
        "Session", genome=relative(fasta, home), locus=locus, version=VERSION, hasGeneTrack="false"
    )
    root.set("hasSequenceTrack", "true")
    resources = ElementTree.SubElement(root, "Resources")
    panels = {
        name: ElementTree.SubElement(root, "Panel", name=name) for name in (NUMBERS, FEATURES)
    }
    for track in tracks:
        name = relative(track.path, home)
        ElementTree.SubElement(resources, "Resource", path=name)
        _add(panels[NUMBERS if track.numbers else FEATURES], track, name)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


def relative(path: Path, home: Path) -> str:
    """Path of a file as seen from a folder without links.

    Raises
    ------
    InputError
        If XML has no way to write it.
    """
    seen = os.path.relpath(path.parent.resolve() / path.name, home)
    if unprintable(seen) or any("\ud800" <= letter <= "\udfff" for letter in seen):
        raise InputError(
            f"{path} cannot stand in {SESSION}: its path has a control character, or is not UTF-8 "
            "text; rename it"
        )
    return Path(seen).as_posix()


def _add(panel: ElementTree.Element, track: Track, name: str) -> None:
    element = ElementTree.SubElement(panel, "Track", id=name, name=track.name, visible="true")
    if track.colour is not None:
        element.set("color", track.colour)
    if not track.numbers:
        element.set("displayMode", "EXPANDED")
        return
    element.set("height", HEIGHT)
    element.set("autoScale", "false")
    element.set("windowFunction", "max")  # a mean hides a site among hundreds of positions
    ElementTree.SubElement(
        element,
        "DataRange",
        {"minimum": "0.0", "baseline": "0.0", "maximum": "1.0", "type": "LINEAR"},
    )
