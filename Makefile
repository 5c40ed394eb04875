# Needs python3 (3.11 or newer) and make. Everything else is installed into .venv from requirements.lock.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP_QUIET := --quiet --disable-pip-version-check --no-input
SOURCES := engine adapters replay benchmarks tests

# The number of workers is set in tests/conftest.py. Idle workers take tests from busy ones.
TEST_OPTIONS := --numprocesses auto --dist worksteal --durations 10

# Without bytecode each of the hundreds of processes that the tests start would compile all of its imports.
unexport PYTHONDONTWRITEBYTECODE

# Installed only while requirements.lock is written.
LOCK_VENV := .venv/lock
LOCK_TOOL := pip-tools>=7.5,<8

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help docs demo test test-browser test-search test-stores test-deep simulate fuzz check bench sample lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## trade on the sandbox for a minute, then verify the day (ARGS="--for 10s" passes options)
	@$(VENV)/bin/engine demo $(ARGS)

test: $(STAMP) ## run all tests on all cores (ARGS="-k journal" passes options to pytest)
	@$(PY) -m pytest $(TEST_OPTIONS) $(ARGS)

test-browser: $(STAMP) ## test the dashboard in Chromium, which root installs if it is missing (ARGS="-k ticket")
	@$(PY) -m tests.browser.install
	@RETAPE_BROWSER_TESTS=1 $(PY) -m pytest -p no:xdist tests/browser $(ARGS)

test-search: $(STAMP) ## test sweeps on a Dask cluster and with Optuna, which are installed if they are missing
	@$(PY) -m tests.search.install
	@RETAPE_SEARCH_TESTS=1 $(PY) -m pytest $(TEST_OPTIONS) tests/search $(ARGS)

test-stores: $(STAMP) ## test stores on real servers, which are installed if they are missing (ARGS="-k postgres")
	@$(PY) -m tests.stores.servers.install
	@RETAPE_STORE_TESTS=1 $(PY) -m pytest --numprocesses auto --dist loadgroup --durations 10 tests/stores/servers $(ARGS)

test-deep: $(STAMP) ## run the same tests with 25 times as many examples and the longest sessions
	@HYPOTHESIS_PROFILE=deep $(PY) -m pytest $(TEST_OPTIONS) $(ARGS)

simulate: $(STAMP) ## simulate the whole engine with faults (SEED=7 or SEED=1-50, HOURS=2, ARGS="--shrink")
	@$(PY) -m tests.simulation.run $(or $(SEED),1-5) --hours $(or $(HOURS),1) $(ARGS)

fuzz: $(STAMP) ## fuzz the readers of bytes from outside, two minutes each (ARGS="--minutes 10 market" passes options)
	@$(PY) -m tests.fuzz.run $(ARGS)

check: $(STAMP) ## check format, lint, types and the structure of the code
	@echo "check: ruff format"
	@$(PY) -m ruff format --check --quiet . || { echo "check: run '$(PY) -m ruff format .'" >&2; exit 1; }
	@echo "check: ruff lint"
	@$(PY) -m ruff check --quiet .
	@echo "check: mypy"
	@$(PY) -m mypy
	@echo "check: structure"
	@$(PY) -m pytest tests/test_house.py

bench: $(STAMP) ## run the benchmarks
	@$(PY) -m benchmarks.run

sample: $(STAMP) ## record the sample day again
	@$(PY) -m benchmarks.sample journal/2024-12-05

docs: $(STAMP) ## write the generated tables in docs/
	@$(PY) -m tests.docs_tables

lock: ## resolve the dependencies in pyproject.toml and pin them with hashes
	@echo "lock: resolving dependencies"
	@$(PYTHON) -m venv --clear $(LOCK_VENV)
	@$(LOCK_VENV)/bin/python -m pip install $(PIP_QUIET) '$(LOCK_TOOL)'
	@$(LOCK_VENV)/bin/pip-compile --quiet --upgrade --strip-extras --generate-hashes --allow-unsafe \
		--no-header --annotation-style=line --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-emit-options --extra dev --extra parquet --build-deps-for editable \
		--output-file requirements.lock pyproject.toml
	@rm -rf $(LOCK_VENV)
	@{ echo '# Everything this project installs, pinned with hashes. Written by make lock; not edited by hand.'; \
		grep -v '^# ' requirements.lock; } > requirements.lock.new && mv requirements.lock.new requirements.lock
	@! grep -nE '://|file:' requirements.lock || { echo "lock: requirements.lock contains an address" >&2; exit 1; }
	@echo "lock: wrote requirements.lock; run 'make test' before you commit it"

clean: ## remove everything that was built, but no recorded days
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
	@find engine adapters replay benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "install: $(PYTHON) is older than 3.11; try 'make PYTHON=python3.12'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "install: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "install: $(VENV) from requirements.lock (first use, or the lock changed)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install $(PIP_QUIET) --require-hashes -r requirements.lock
	@PYTHONWARNINGS=ignore $(PY) -m pip install $(PIP_QUIET) --no-deps --no-build-isolation -e .
	@touch $@
