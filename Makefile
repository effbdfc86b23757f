# `make` alone lists the verbs. Everything lives in this directory: .venv (the tools), .run (nodes
# and temporary files), build (reports). Only pip's own cache is outside.

PYTHON  ?= python3
N       ?= 3
SEED    ?= 1
SEEDS   ?= 200
JOBS    ?= 2
WORKERS ?= 3
SECONDS ?= 600

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.raftd-ready
READY_B := $(VENV)/.raftd-bench-ready
FLOORS  := .run/floors
PROTOS  := .run/protos
TESTERS := pytest pytest-timeout pytest-xdist hypothesis
READY_F := $(VENV)/.raftd-fuzz-ready

export TMPDIR := $(CURDIR)/.run/tmp
export PYTEST_DEBUG_TEMPROOT := $(TMPDIR)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export GRPC_ENABLE_FORK_SUPPORT := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test test-long floors check fmt proto sim mutants fuzz failover compose-test chaos soak clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## the virtual environment, by constraints.txt (every other verb does it when needed)

$(READY): pyproject.toml constraints.txt
	@mkdir -p $(TMPDIR)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "raftd needs Python 3.11 or newer: make PYTHON=python3.11" >&2; exit 1; }
	@echo "setting up $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## three nodes, writes, kill -9 of the leader, catch-up, every write verified (about 20 s)
	@$(BIN)/python -m scripts.demo

up: $(READY) ## start N local nodes to play with (N=3), under .run/; TLS=1: with certificates
	@$(BIN)/python -m scripts.cluster up --nodes $(N) $(if $(TLS),--tls)

down: $(READY) ## stop them (their data stays; .venv/bin/python -m scripts.cluster wipe removes it)
	@$(BIN)/python -m scripts.cluster down

status: $(READY) ## how the local nodes do
	@$(BIN)/python -m scripts.cluster status

# More WORKERS than cores: a test waits for a third of its time.
test: $(READY) ## all tests: fast ones, then real processes, last those that must have the machine alone
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m pytest -q -n $(WORKERS) -m 'not cluster and not soak and not long'
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'cluster and not alone and not soak and not long'
	$(BIN)/python -m pytest -q -m 'alone and not soak and not long'

test-long: $(READY) ## scenarios that take half a minute each: a page typed line by line, an upgrade, a migration
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'long and not alone and not soak'
	$(BIN)/python -m pytest -q -m 'long and alone and not soak'

# Not test_stubs.py, which needs grpcio-tools, and test_timers.py, whose table is of the newest gRPC.
floors: $(READY) ## tests of what leans on other libraries, with the oldest ones that pyproject.toml allows
	@mkdir -p $(TMPDIR)
	@test -x $(FLOORS)/bin/python || $(PYTHON) -m venv $(FLOORS)
	@$(BIN)/python -m scripts.floors > $(FLOORS)/floors.txt
	@$(FLOORS)/bin/python -m pip install --quiet --constraint $(FLOORS)/floors.txt '.[certs,objects]' $(TESTERS)
	$(FLOORS)/bin/python -m pytest -q -n $(JOBS) -m 'not cluster and not soak and not long' tests/objects tests/tls tests/h2 tests/etcd tests/rpc tests/client tests/test_config.py tests/test_metrics.py --ignore tests/rpc/test_stubs.py --ignore tests/rpc/test_timers.py

check: $(READY) $(PROTOS)/ready ## looks only: ruff, mypy --strict, import contracts, generated code fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache
	$(PROTOS)/bin/python scripts/gen_protos.py --check

fmt: $(READY) ## changes files: ruff format, import order, what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(PROTOS)/ready ## write raftd/_pb anew from protos/
	$(PROTOS)/bin/python scripts/gen_protos.py

$(PROTOS)/ready: pyproject.toml | $(READY)
	@$(BIN)/python -m venv --without-pip $(PROTOS)
	@$(BIN)/python -m pip --python $(PROTOS)/bin/python install --quiet --group protos
	@touch $@

sim: $(READY) ## the simulator: SEEDS runs from SEED on
	$(BIN)/python -m tests.sim --seed $(SEED) --seeds $(SEEDS) --jobs $(JOBS)

mutants: $(READY) ## plant bugs; the suite must catch every one
	$(BIN)/python -m tests.mutants --jobs $(JOBS)

fuzz: SECONDS = 60
fuzz: $(READY_F) ## every decoder under a coverage-guided fuzzer, SECONDS (60) for each; or one TARGET
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(if $(TARGET),--target $(TARGET))

$(READY_F): $(READY)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group fuzz
	@touch $(READY_F)

failover: $(READY) ## how long writes are silent when the leader dies, many times
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m scripts.failover

bench: $(READY_B) ## raftd beside etcd and PySyncObj: a table, docs/bench/ (5 minutes; QUICK=--quick)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m scripts.bench $(QUICK)

$(READY_B): $(READY)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $(READY_B)

compose-test: $(READY) ## containers: build, kill, pause, cut off (needs docker and compose)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m scripts.compose_test

chaos: $(READY) ## five real nodes under faults of all kinds for SECONDS (600), and a verdict
	$(BIN)/python -m tests.chaos run --seconds $(SECONDS) --seed $(SEED)

soak: $(READY) ## the minutes-long cluster tests
	@mkdir -p $(TMPDIR)
	RAFTD_SOAK=1 $(BIN)/python -m pytest -q -s -m soak

clean: ## remove what was made here: .venv, .run, build, caches
	@test ! -d .run || ! test -x $(BIN)/python || $(BIN)/python -m scripts.cluster wipe
	rm -rf .venv .run build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
