# One verb per job. `make demo` needs a Python of 3.11 or later and a network once, to install; `make test` is what CI runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
TORCH := torch==2.13.0
DEMO_FLAGS ?=

# Touched at the end of an install that went well: an interrupted one is repeated.
RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed
INPUTS := pyproject.toml constraints.txt

BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

.PHONY: demo test check-all lint format bench clean system-packages

demo: $(RUNTIME)
	$(BIN)/secondread demo $(DEMO_FLAGS)

test: lint system-packages
	$(BIN)/python -m pytest

check-all: lint system-packages
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -m "slow or not slow"

lint: $(TOOLS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy src tests $(if $(BENCHMARKS),benchmarks)
	$(BIN)/lint-imports

format: $(TOOLS)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(TOOLS)
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python "$$script"; done
	@test -n "$(BENCHMARKS)" || echo "benchmarks/ holds no script"

# What the project made and can make again. The environment stays: `rm -rf .venv` removes it.
clean:
	rm -rf build dist demo src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

system-packages:
	@sh tests/system-packages.sh

# torch has an install of its own, before anything else: a looser request beside other packages may pick a CUDA build.
$(RUNTIME): $(INPUTS) | $(BIN)/pip
	@echo "installing into $(VENV): once, and for some minutes"
	$(PIP) -c constraints.txt '$(TORCH)'
	$(PIP) -c constraints.txt -e '.[export,serve]'
	@touch $@

$(TOOLS): $(INPUTS) $(RUNTIME)
	$(PIP) -c constraints.txt -e '.[export,serve,search,dev]'
	@touch $@

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "secondread needs Python 3.11 or later, and '$(PYTHON)' is not on the PATH." >&2; \
	    echo "Install it, or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "secondread needs Python 3.11 or later, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	    echo "Name a later one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "'$(PYTHON)' cannot make environments (no venv or ensurepip)." >&2; \
	    echo "On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
