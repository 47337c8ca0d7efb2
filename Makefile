# Common tasks. `make setup` once, then the others; Python 3.11.

PYTHON ?= python3.11
ACTIVATE = . .venv/bin/activate

.PHONY: setup test fast lint format bench docs

setup:  ## the environment in .venv, with everything for development
	$(PYTHON) -m venv .venv
	$(ACTIVATE) && pip install -r requirements.txt -r requirements-dev.txt && pre-commit install

test:  ## everything, under ten minutes on two cores
	$(ACTIVATE) && pytest

fast:  ## the tests to run while you write, under two minutes on two cores
	$(ACTIVATE) && pytest -m "not slow and not long"

lint:  ## format, style and types, as .ci/run checks them
	$(ACTIVATE) && ruff format --check . && ruff check . && mypy

format:  ## apply format and style
	$(ACTIVATE) && ruff format . && ruff check --fix .

bench:  ## the short benchmarks; each module of benchmarks/ says what it measures
	$(ACTIVATE) && python -m benchmarks.largest_crystal && python -m benchmarks.read_cif --attack

docs:  ## MLproject and docs/options.md, from the options of the entry points
	$(ACTIVATE) && python -m entrypoints.generate
