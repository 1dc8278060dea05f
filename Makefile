# Two commands are all a new machine needs: `make run` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_NO_PROGRESS ?= 1

.DEFAULT_GOAL := help
.PHONY: help run test check lint types layers lock clean

help:                   ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making the environment in $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: $(VENV)/installed  ## Run everything on real flights: features, training, evaluation, packaging, monitoring
	@$(BIN)/kedro run $(ARGS)

test: $(VENV)/installed ## Run the tests (ARGS="-m ''" for the slow ones too)
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

check: lint types layers ## Check style, types and layers

lint: $(VENV)/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/installed
	@$(BIN)/mypy

layers: $(VENV)/installed
	@$(BIN)/lint-imports

lock:                   ## Resolve the newest versions that fit into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-header \
	  --no-annotate --extra dev --output-file requirements.lock pyproject.toml

clean:                  ## Remove the environment and everything that runs have made
	@rm -rf $(VENV) data
