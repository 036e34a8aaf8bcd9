"""Writes the address of the repository wherever it stands.

    make repository URL=https://example.org/genebatch

The address that `pyproject.toml` has under `[project.urls]` is replaced in every file of `NAMED`.
"""

import sys
import tomllib
from pathlib import Path

NAMED = (
    "pyproject.toml",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Dockerfile",
    "README.md",
    "recipe/meta.yaml",
    ".github/ISSUE_TEMPLATE/config.yml",
)


def address(folder: Path) -> str:
    """The address that the project has now."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def move(folder: Path, new: str) -> None:
    """Replace the address in every file that names it."""
    old = address(folder)
    for name in NAMED:
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        sys.exit("name the new address: make repository URL=https://...")
    move(Path(__file__).parents[1], sys.argv[1].rstrip("/"))
