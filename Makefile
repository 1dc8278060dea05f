# Two commands are all a new machine needs: `make run` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_NO_PROGRESS ?= 1
# Images of containers forbid Python to keep what it has compiled: each command then compiles its libraries anew, in 2 to 20 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-fast soak coverage check lint types layers figures docs docs-serve benchmarks release lock clean

PYTEST = $(BIN)/python -m pytest -n logical --maxprocesses 4
# The inner loop: what needs neither TensorFlow, Feast, XGBoost, compiled kernels, a server, a browser nor a whole run.
INNER = tests/unit/spec tests/unit/engine tests/unit/evaluation tests/unit/workflow tests/contract/test_tools.py \
  $(addprefix tests/unit/test_,artifacts.py errors.py extensions.py source_code.py) \
  $(addprefix tests/unit/features/test_,queries.py views.py windows.py words.py)

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
	@$(BIN)/python -m proml_kedro.models.mixed.prepare
	@touch $@

run: $(VENV)/installed  ## Run everything on real flights: features, training, evaluation, monitoring, packaging
	@$(BIN)/kedro run $(ARGS)$(if $(findstring --pipelines,$(ARGS)),, && $(BIN)/kedro run --pipelines=materialize,package $(ARGS))

test: $(VENV)/installed ## Run the fast tests (ARGS="-m 'not soak'" for the slow ones too)
	@$(PYTEST) $(ARGS)

test-fast: $(VENV)/installed ## Run the tests of the inner loop, in a minute
	@$(PYTEST) $(INNER) $(ARGS)

soak: $(VENV)/installed ## Search for rare faults, for minutes to hours
	@$(BIN)/python -m pytest -m soak $(ARGS) && $(BIN)/python tools/benchmarks.py --write

coverage: $(VENV)/installed ## Run all tests but soak; list the lines of src that none runs, fail under 95 %
	@$(BIN)/python tools/measure_coverage.py $(ARGS)

check: lint types layers figures ## Check style, types, layers and lengths

lint: $(VENV)/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/installed
	@$(BIN)/mypy

layers: $(VENV)/installed
	@$(BIN)/lint-imports

figures: $(VENV)/installed
	@$(BIN)/python tools/figures.py && $(BIN)/python tools/repeats.py

docs: $(VENV)/installed ## Write what is generated: references, drawings, lists; build the site into `site`
	@$(BIN)/python docs/reference/generate.py && $(BIN)/python tools/architecture.py && $(BIN)/python tools/benchmarks.py --write
	@$(BIN)/python tools/api.py && $(BIN)/python tools/recording.py && $(BIN)/python tools/site.py

docs-serve: $(VENV)/installed ## Show the site on this machine while you write
	@$(BIN)/python tools/site.py --serve

benchmarks: $(VENV)/installed ## Measure (ARGS="NAME…" for some), and write benchmarks/README.md
	@$(BIN)/python tools/benchmarks.py $(ARGS)

release: check          ## Build sdist and wheel, and prove the wheel in an empty environment; uploads nothing
	@$(BIN)/python tools/release.py $(ARGS)

lock:                   ## Resolve the newest versions that fit into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-header \
	  --no-annotate --extra dev --output-file requirements.lock pyproject.toml

clean:                  ## Remove the environment and everything that runs have made
	@rm -rf $(VENV) data dist build site
