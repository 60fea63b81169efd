# The two commands a newcomer needs are `make demo` and `make test`; each builds its own .venv first.
PYTHON ?= python3
# One exact PyTorch for reproducible runs; the package itself accepts any torch >= 2.4.
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-slow lint format docs clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet -e ".[geant4]" || echo "no geant4-pybind here: its tests will be skipped"
	touch $@

demo: $(VENV)/.ready ## train, generate and judge a small model on the embedded sample (minutes)
	$(BIN)/caloforge demo -o demo

test: $(VENV)/.ready ## the default test suite (under five minutes on two cores)
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.ready ## every test, the long ones too
	$(BIN)/python -m pytest -n 2 -m "slow or not slow" --timeout 3600

lint: $(VENV)/.ready ## ruff and mypy, as CI runs them
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

format: $(VENV)/.ready ## let ruff rewrite the sources
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

clean: ## remove the virtual environment and what the demo wrote
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
