"""Settings of Sphinx. The source folder is the repository, so that its pages link to each other."""

import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

import genebatch

# The page of `make demo`, which is part of the site if it is there.
EXAMPLE = Path(__file__).parents[1] / "results" / "report" / "index.html"

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "genebatch"
copyright = "The genebatch developers"
release = version = genebatch.__version__

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "docs/**.rst",
    "config/README.md",
    "benchmarks/*.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = [".*", "benchmarks/results", "build", "data", "results", "tests"]
extensions = [
    "config_keys",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxarg.ext",
]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4

nitpicky = True
# Types of other libraries, and of this one beside its public names.
nitpick_ignore_regex = [("py:class", r"(numpy|polars|genebatch)\..+|Coverage")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
napoleon_google_docstring = False
napoleon_use_ivar = True
default_role = "code"  # as docstrings have it between single backticks
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = "genebatch"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def copy_example(app: Sphinx, error: Exception | None) -> None:
    """Put the page of the built-in example beside the page that explains it."""
    if error is None and app.tags.has("example"):
        shutil.copyfile(EXAMPLE, Path(app.outdir) / "docs" / "reference" / "example.html")


def setup(app: Sphinx) -> None:
    """Tell the pages whether the example is there."""
    if EXAMPLE.is_file():
        app.tags.add("example")
    app.connect("build-finished", copy_example)
