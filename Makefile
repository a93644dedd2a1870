# `make demo` and `make test` do all the set-up; everything else is for people who change the code.
# The first Python that TensorFlow has wheels for; asked by running it, since a shim may be broken.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS ?= --disable-pip-version-check --quiet --progress-bar off

.PHONY: help demo test test-slow test-cluster cluster-up cluster-down lint format clean constraints

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "installing into $(VENV) (once, about 2 minutes)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[all]'
	@touch $@

demo: $(VENV)/.ready ## train, evaluate, export and predict on built-in data
	@$(BIN)/python -m job.demo --output=$(or $(OUTPUT),demo)

test: $(VENV)/.ready ## run the tests
	@$(BIN)/python -m pytest

test-slow: $(VENV)/.ready ## run the longer variants of the proofs as well
	@$(BIN)/python -m pytest -m "slow and not cluster"

test-cluster: $(VENV)/.ready ## run the tests that need a real Kubernetes; builds it first (tests/cluster/README.md)
	@$(BIN)/python -m pytest -m cluster tests/cluster

cluster-up: $(VENV)/.ready ## start that Kubernetes and leave it running, to try the launcher on
	@$(BIN)/python -m tests.cluster up

cluster-down: $(VENV)/.ready ## end it
	@$(BIN)/python -m tests.cluster down

lint: $(VENV)/.ready ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.ready ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

constraints: $(VENV)/.ready ## write down the versions that are installed now
	@{ $(BIN)/python -m pip freeze --exclude-editable; sed -n '/^# What .tensorflow/,$$p' constraints.txt; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove the virtual environment, caches and the demo
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
