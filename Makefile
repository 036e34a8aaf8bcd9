# make demo   the built-in example, end to end
# make test   every test
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint lock clean

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("genebatch needs Python 3.11 or newer; this is " + sys.version.split()[0] + "; name another one with: make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
