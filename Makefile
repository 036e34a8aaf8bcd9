# make demo    the built-in example, from a simulated genome to a model and its calls
# make test    linters and every test, by four workers, as many tests wait for processes
# make test-quick  linters and the unit tests without the slow ones, for the everyday
# make test-thorough  make test with more seeds and examples of the same kinds
# make test-cluster  the workflow on a SLURM of its own (Debian's packages, root)
# make bench   one batch by genebatch and by other ways to boost it: benchmarks/peers.md
# make bench-quick  costly parts against fixed baselines; fails if one is slower by more than half
# make docs    the documentation as a site: build/docs/index.html
# make dist    the wheel and the sdist, in dist
# make lock    requirements.lock and requirements-dev.lock from pyproject.toml (needs uv)
# make repository URL=https://...  writes the address of the repository wherever it stands
# make clean   removes the example, its results and the environment
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 4
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo lint test test-quick test-thorough test-cluster bench bench-quick docs dist lock repository clean

demo: data/genome.fa
	$(BIN)/genebatch run --cores 2 --memory 8G

data/genome.fa: .venv/ready
	$(BIN)/genebatch simulate data

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

test-quick: lint
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal -m 'not slow' tests/unit

test-thorough:
	GENEBATCH_THOROUGH=1 $(MAKE) test

test-cluster: .venv/dev
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[slurm]'
	$(BIN)/pytest -m cluster tests/cluster

bench: .venv/dev
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[bench]'
	$(BIN)/python benchmarks/peers.py

bench-quick: .venv/dev
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[bench]'
	POLARS_MAX_THREADS=1 $(BIN)/python benchmarks/quick.py $(KEEP)

# What the workflow needs, and with `.venv/dev` what the tests need too.
.venv/ready: .venv/packages pyproject.toml
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/ready requirements-dev.lock
	@$(BIN)/python tools/install.py --expect '20 s, 170 MB' \
	  requirements.lock requirements-dev.lock
	@touch $@

.venv/packages: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "genebatch needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python tools/install.py --expect '1 minute, 1.1 GB' requirements.lock
	@touch $@

LOCK := uv pip compile pyproject.toml --quiet --extra genomics --universal --python-version 3.11 \
  --fork-strategy fewest --generate-hashes --no-annotate --no-header --no-emit-index-url

docs: .venv/dev
	$(BIN)/python -m sphinx -W --keep-going --fresh-env -b html -c docs . build/docs

lock:
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock \
	  $$(sed -n 's/==.*//p' requirements.lock | sort -u | sed 's/^/--no-emit-package /')

dist: .venv/ready
	$(BIN)/python -m hatchling build -d dist

repository:
	@$(PYTHON) tools/repository.py $(URL)

clean:
	rm -rf .venv build data dist results .snakemake
