# Everything runs in .venv, made from pyproject.toml; `make demo` and `make test` need nothing but Python 3.11+.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
export JAX_PLATFORMS ?= cpu
# Compiled programs are kept between runs.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.5

.PHONY: setup mpi demo test test-slow test-lowest test-slurm test-accuracy test-problems lint docs build bench clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

mpi: $(VENV)/mpi-installed

# The wheel of mpi4jax takes a minute or two to build and is kept.
WHEELS ?= $(CURDIR)/.cache/wheels

# mpi4py and mpi4jax are built against the MPI of the wheel `mpich`. An empty CUDA_PATH keeps mpi4jax from building
# its GPU bridge where nvcc is found without its headers.
$(VENV)/mpi-installed: $(VENV)/installed
	$(RUN)/python -m pip install --quiet --disable-pip-version-check mpich mpi4py
	mkdir -p $(VENV)/no-cuda
	PATH="$(CURDIR)/$(RUN):$$PATH" CUDA_PATH="$(CURDIR)/$(VENV)/no-cuda" \
		$(RUN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--wheel-dir $(WHEELS) --find-links $(WHEELS) 'mpi4jax>=0.9.1'
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --find-links $(WHEELS) '.[mpi]'
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: setup
	$(RUN)/python scripts/demo.py --devices 4 --emulate

# Most of a short test's time is compilation: less optimization saves a quarter of all. A jaxlib that does not know these
# flags does without. Slow tests, and programs that are launched, are compiled as users' are.
QUICK := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false
quick = flags="$(QUICK)"; XLA_FLAGS="$$flags" $(1) -c "import jax; jax.devices()" 2> /dev/null || flags=; \
	XLA_FLAGS="$$flags" $(1) -m pytest -n 2 -m "not slow and not slurm"

test: setup mpi
	$(call quick,$(RUN)/python)

test-slow: setup mpi
	$(RUN)/python -m pytest -n 2 -m "slow and not slurm"

# The core of the suite with the lowest jax that pyproject.toml admits, in an environment of its own.
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/installed
	$(call quick,$(LOWEST)/bin/python) \
		tests/oracle tests/lower tests/expr tests/nn tests/domain tests/solve tests/invariance

$(LOWEST)/installed: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	sed -n 's/^  "jax>=\(.*\)",$$/jax==\1/p' pyproject.toml > $(LOWEST)/constraints.txt
	grep -q jax== $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(LOWEST)/constraints.txt \
		--editable '.[dev]'
	touch $@

# The batch files on a Slurm of four nodes that is started for it. Root installs what is missing.
test-slurm: setup mpi
	PYTHON=$(RUN)/python tests/slurm/run.sh

# The cheapest errors of docs/benchmarks.md.
test-accuracy: setup
	$(RUN)/python benchmarks/accuracy.py --cases poisson-1d tutorial --methods gauss-newton --seeds 3

# A short run of every problem of the library; each has an error that it must have reached.
test-problems: setup
	$(RUN)/python benchmarks/problems.py --smoke

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright --pythonpath $(RUN)/python

# The documentation as a site, in site/. What it needs reads the code and does not run it, so its environment holds the
# extra `docs` alone. The variable silences a notice of mkdocs-material about its successor. (With
# --quiet, mkdocs 1.6 would not count warnings, and --strict let them pass.)
DOCS := .venv-docs
docs: $(DOCS)/installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

$(DOCS)/installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -c 'import tomllib as t; f = open("pyproject.toml", "rb"); \
		print(*t.load(f)["project"]["optional-dependencies"]["docs"], sep="\n")' > $(DOCS)/requirements.txt
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(DOCS)/requirements.txt
	touch $@

build: setup
	$(RUN)/python -m build --outdir dist

bench: setup mpi
	$(RUN)/python benchmarks/train_step.py
	$(RUN)/python benchmarks/rows.py
	$(RUN)/python benchmarks/gram.py
	$(RUN)/python benchmarks/large_kernel.py
	$(RUN)/python benchmarks/accuracy.py --cases poisson-1d tutorial soft-1d poisson-2d --seeds 1
	$(RUN)/python benchmarks/scaling.py
	$(RUN)/python benchmarks/checkpoints.py

clean:
	rm -rf $(VENV) $(LOWEST) $(DOCS) .cache dist runs site
