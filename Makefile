# Every target makes its own .venv from nothing but Python 3.11 or later: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs release bench clean

demo: .venv/installed
	$(BIN)/bayes-rpp demo

test: .venv/installed
	$(BIN)/python -m pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release: .venv/installed
	$(BIN)/python scripts/check_release.py

# Some of them, or all in tiny sizes: make bench ARGS="step prior", make bench ARGS=--quick
bench: .venv/installed
	$(BIN)/python -m benchmarks $(ARGS) --json benchmarks.json

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $@

clean:
	rm -rf .venv bayes-rpp-demo site
