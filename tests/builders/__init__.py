"""What tests share: made data, altered tables, runs of the workflow."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / "tests" / "data"
THOROUGH = bool(os.environ.get("GENEBATCH_THOROUGH"))  # more examples of every kind
