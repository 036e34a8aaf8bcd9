"""`python -m genebatch`: the command line."""

import sys

from genebatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
