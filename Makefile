# Every target works from a clean clone with only Python 3.11 or newer and make: the virtual environment is made first.
PYTHON ?= python3
# Most tests wait for a clock, so two processes halve the time even on two cores; files stay whole, for what they share.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo test test-long breaks mutate check schema format reference screenshots bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## the main job against two embedded hubs on this machine, one of which goes down on the way
	$(BIN)/python -m tests.demo

test: $(DEV_STAMP) ## all tests
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test-long: $(DEV_STAMP) ## what takes minutes: power loss at every moment, hundreds of kills and of random faults
	$(BIN)/python -m pytest -m long --numprocesses $(WORKERS) --dist loadfile

breaks: $(DEV_STAMP) ## break each promise of docs/reliability.md in a copy, and see that a test notices
	$(BIN)/python -m tests.breaks

mutate: $(DEV_STAMP) ## break core/ in every small way and list what its tests do not notice (an hour or so)
	$(BIN)/python -m tests.mutation --workers $$(nproc 2>/dev/null || echo 2)

check: $(DEV_STAMP) ## format, lint, types and the layer rule
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

schema: $(DEV_STAMP) ## write down again what the JSON lines look like, after an event has changed
	$(BIN)/python -m acestep_fetch.display.schema

format: $(DEV_STAMP) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(DEV_STAMP) ## write docs/cli.md and the manual page anew from the parsers (after a change of flags or commands)
	$(BIN)/python -m tests.reference

screenshots: $(DEV_STAMP) ## take docs/images/*.svg anew, of real runs against two embedded hubs
	$(BIN)/python -m tests.screenshots

bench: $(DEV_STAMP) ## time the program side by side with the hubs' own clients
	$(BIN)/python -m tests.bench

clean: ## remove everything that was made here, but no checkpoint
	rm -rf $(VENV) .demo dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .mutants
	find . -name __pycache__ -prune -exec rm -rf {} +
