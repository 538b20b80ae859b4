# Everything runs in .venv, made from pyproject.toml; `make demo` and `make test` need nothing but Python 3.11+.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
export JAX_PLATFORMS ?= cpu
# Compiled programs are kept between runs, small ones too: tests have many.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
# Threads of LAPACK spin while they wait: with several processes on the cores, a test took 43 seconds in place of 6.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: setup mpi demo test test-devices test-processes test-docs test-slow test-lowest test-newest test-slurm \
	test-accuracy test-problems test-faults lint docs build bench bench-peers clean

# Environments are made of the newest packages. CI names a file of versions, so that a release elsewhere fails nothing
# but `make test-newest`.
CONSTRAINTS ?=
INSTALL := -m pip install --quiet --disable-pip-version-check
PINNED := $(if $(CONSTRAINTS),--constraint $(abspath $(CONSTRAINTS)))

# What a command needs is installed when it is first called: `demo` needs less than `test`.
$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/plot $(VENV)/test $(VENV)/all: $(VENV)/%: $(VENV)/python pyproject.toml
	$(RUN)/python $(INSTALL) $(PINNED) --editable '.[$*]'
	touch $@

setup: $(VENV)/test

mpi: $(VENV)/mpi-installed

# The wheel of mpi4jax takes a minute or two to build and is kept.
WHEELS ?= $(CURDIR)/.cache/wheels

# mpi4py and mpi4jax are built against the MPI of the wheel `mpich`. An empty CUDA_PATH keeps mpi4jax from building
# its GPU bridge where nvcc is found without its headers.
$(VENV)/mpi-installed: $(VENV)/all
	$(RUN)/python $(INSTALL) $(PINNED) mpich mpi4py
	mkdir -p $(VENV)/no-cuda
	PATH="$(CURDIR)/$(RUN):$$PATH" CUDA_PATH="$(CURDIR)/$(VENV)/no-cuda" \
		$(RUN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps $(PINNED) \
		--wheel-dir $(WHEELS) --find-links $(WHEELS) 'mpi4jax>=0.9.1'
	$(RUN)/python $(INSTALL) $(PINNED) --find-links $(WHEELS) '.[mpi]'
	$(RUN)/python $(INSTALL) --no-deps --editable .
	touch $@

demo: $(VENV)/plot
	$(RUN)/python scripts/demo.py --devices 4 --emulate

# A third of a short test's time is compilation: less optimization saves a quarter of all. A jaxlib does without the flags
# that it does not know. Programs that tests start are compiled as users' are, unless they take `own_flags`.
UNOPTIMIZED := --xla_backend_optimization_level=0
QUICK := $(UNOPTIMIZED) --xla_cpu_use_fusion_emitters=false
quick = for flags in "$(QUICK)" "$(UNOPTIMIZED)" ""; do \
		XLA_FLAGS="$$flags" $(1) -c "import jax; jax.devices()" 2> /dev/null && break; \
	done; XLA_FLAGS="$$flags" $(1) -m pytest $(WORKERS)
# A file's tests stay on one worker: they share compiled programs. Programs that are started wait for each other: a
# third worker fills the cores.
WORKERS := -n 2 --dist loadfile
WAITING := -n 3
FAST := not slow and not slurm and not processes and not pages
# Annotations of shapes and types are checked while tests run; that takes a third of their time.
CHECKED := --jaxtyping-packages=tangrax,typechecker.checked

test: $(VENV)/test
	$(call quick,$(RUN)/python) -m "$(FAST)"

# Tests of points, which `make test` runs on 3 devices, on others.
DEVICES ?= 1,8
test-devices: $(VENV)/test
	$(call quick,$(RUN)/python) -m "devices and $(FAST)" --devices=$(DEVICES) $(CHECKED)

# Stages that run once take all numbers of devices; few of their tests ask for them.
EVERY := --devices=1,3,8

# Tests that start programs: the command line, processes, MPI ranks.
test-processes: mpi
	$(RUN)/python -m pytest $(WAITING) --dist loadgroup -m "processes and not slow and not slurm" $(EVERY)

# Python blocks of the pages that `make test` leaves out.
test-docs: $(VENV)/test
	$(call quick,$(RUN)/python) tests/test_docs.py -m pages --dist load

test-slow: mpi
	$(call quick,$(RUN)/python) $(WAITING) --dist loadgroup -m "slow and not slurm" $(EVERY)

# The core of the suite, what asks most of jax, with the lowest jax that pyproject.toml admits, and with the newest
# packages there are for an interpreter: `make test-newest PYTHON=python3.13`, which asks numpy and its like too.
# SUITE=tests runs all of it.
SUITE ?= tests/oracle tests/lower tests/nn tests/solve tests/invariance
LOWEST := .venv-lowest
NEWEST := .venv-newest
test-lowest: $(LOWEST)/installed
	$(call quick,$(LOWEST)/bin/python) -m "$(FAST)" $(SUITE)

$(LOWEST)/installed: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	sed -n 's/^  "jax>=\(.*\)",$$/jax==\1/p' pyproject.toml > $(LOWEST)/constraints.txt
	grep -q jax== $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python $(INSTALL) --constraint $(LOWEST)/constraints.txt --editable '.[test]'
	touch $@

test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python $(INSTALL) --upgrade --upgrade-strategy eager --editable '.[test]'
	$(call quick,$(NEWEST)/bin/python) -m "$(FAST)" $(SUITE) tests/expr tests/domain

# The batch files on a Slurm of eight nodes that is started for it. Root installs what is missing.
test-slurm: mpi
	PYTHON=$(RUN)/python tests/slurm/run.sh

# The cheapest errors of docs/benchmarks.md.
test-accuracy: $(VENV)/test
	$(RUN)/python benchmarks/accuracy.py --cases poisson-1d tutorial --methods gauss-newton --seeds 3

# A short run of every problem of the library; each has an error that it must have reached.
test-problems: $(VENV)/test
	$(RUN)/python benchmarks/problems.py --smoke

# Which test sees each of fifteen faults: docs/testing.md. Not part of CI.
test-faults: mpi
	XLA_FLAGS="$(QUICK)" $(RUN)/python tests/seeded_faults.py

# pyright reads types of what the package imports.
LINT := .venv-lint
lint: $(VENV)/test $(LINT)/installed
	$(LINT)/bin/ruff check .
	$(LINT)/bin/ruff format --check .
	$(LINT)/bin/pyright --pythonpath $(RUN)/python

# The documentation as a site, in site/. What it needs reads the code and does not run it, so its environment holds the
# extra `docs` alone. The variable silences a notice of mkdocs-material about its successor. (With
# --quiet, mkdocs 1.6 would not count warnings, and --strict let them pass.)
DOCS := .venv-docs
docs: $(DOCS)/installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# Environments of an extra alone, without the package.
$(DOCS)/installed $(LINT)/installed: .venv-%/installed: pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -c 'import tomllib as t; f = open("pyproject.toml", "rb"); \
		print(*t.load(f)["project"]["optional-dependencies"]["$*"], sep="\n")' > .venv-$*/requirements.txt
	.venv-$*/bin/python $(INSTALL) $(PINNED) --requirement .venv-$*/requirements.txt
	touch $@

build: $(VENV)/all
	$(RUN)/python -m build --outdir dist

bench: mpi
	$(RUN)/python benchmarks/train_step.py
	$(RUN)/python benchmarks/rows.py
	$(RUN)/python benchmarks/gram.py
	$(RUN)/python benchmarks/large_kernel.py
	$(RUN)/python benchmarks/accuracy.py --cases poisson-1d tutorial soft-1d poisson-2d --seeds 1
	$(RUN)/python benchmarks/scaling.py
	$(RUN)/python benchmarks/checkpoints.py

# Five problems in jinns, DeepXDE, jNO and Tangrax, each library in an environment in .cache/peers: about an hour.
bench-peers: $(VENV)/all
	cd benchmarks && $(CURDIR)/$(RUN)/python -m peers

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) $(DOCS) $(LINT) .cache dist runs site
