# All tasks of this project; `make` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MODEL  ?= smollm2-135m
LOCK   := requirements.txt requirements-cpu.txt requirements-cuda.txt requirements-embedded.txt
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

# Large tensors in huge pages, as in the children of every command (slipway/system/process.py).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.DEFAULT_GOAL := help
.PHONY: help setup release plan up doctor ui test test-all test-long guide faults pictures test-machines redeploys check format lock bench benchmarks clean

help:           ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready   ## create .venv with the locked dependencies and the embedded model

$(VENV)/.ready: $(LOCK) pyproject.toml
	@echo "slipway: setting up $(VENV) (a few minutes, once)"
	@PYTHON=$(PYTHON) sh deployments/install.sh $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . >>$(VENV)/setup.log 2>&1 \
		|| { echo "slipway: this checkout was not installed; see $(VENV)/setup.log" >&2; exit 2; }
	@touch $@

release: setup  ## release MODEL (smollm2-135m) end to end
	@$(BIN)/slipway release $(MODEL)

plan: setup     ## show what releasing MODEL would do; writes nothing
	@$(BIN)/slipway plan $(MODEL)

up: setup       ## run Prefect, MLflow, Prefect workers, webhook receiver and model server; Ctrl-C stops
	@$(BIN)/slipway up

doctor: setup   ## check this machine and the services that run on it
	@$(BIN)/slipway doctor

ui: setup       ## start the servers of the Prefect UI and the MLflow UI; Ctrl-C stops
	@$(BIN)/slipway ui

test: setup     ## run the tests that a contributor needs, on two processes
	@$(PYTEST) -m "not slow"

test-all: test-long test-machines ## run every test

test-long: setup ## run the tests of one machine, also those that are slow by nature
	@$(PYTEST) -m "not alone and not machines"
	@$(BIN)/python -m pytest -m alone --durations=25

test-machines: setup ## run several machines, and other servers; skips what is not installed, with the reason
	@$(BIN)/python -m pytest -m machines --durations=25

guide: setup    ## run the tutorial alone
	@$(BIN)/python -m pytest tests/guide

faults: setup   ## break downloads, disks and networks, plant faults, kill commands, flip bits; print each result
	@$(BIN)/python -m pytest -q -s tests/faults/test_download_faults.py tests/faults/test_planted_faults.py
	@CRASHES=all $(BIN)/python -m pytest -q -s -rA --hypothesis-profile=new tests/faults/test_lost_replies.py tests/faults/test_crashes.py \
		tests/faults/test_promote_crashes.py tests/faults/test_looping_int4.py tests/faults/test_disk_faults.py \
		tests/registry/test_release_at_once.py tests/registry/test_two_machines.py tests/registry/test_source_order.py \
		tests/registry/test_signed_versions.py tests/registry/test_bundles.py tests/registry/test_whole_life.py \
		tests/unit/test_clean_home.py tests/unit/test_clean_decision.py
	@$(BIN)/python -m pytest -q --hypothesis-profile=new $$(grep -rl '@given' tests | grep -v test_clean_)

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

lock: setup     ## renew the locked versions and their hashes from pyproject.toml
	@PATH=$(BIN):$$PATH $(BIN)/python .ci/lock.py --upgrade

bench: setup    ## measure all figures of docs/benchmarks.md, or FIGURE; `make benchmarks` lists them
	@$(BIN)/python -m benchmarks $(FIGURE)

benchmarks:     ## list the figures, and the other benchmarks with their helpers
	@for script in benchmarks/figures/*.py benchmarks/*.py; do sed -n "1s|^\"\"\"|$$script: |p" $$script; done

clean:          ## remove all state (.slipway) and build output; keeps .venv
	@rm -rf .slipway build dist .coverage*
