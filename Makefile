# Every target makes its own .venv from nothing but Python 3.11 or later: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint hooks coverage lowest docs release bench clean

demo: .venv/installed
	$(BIN)/bayes-rpp demo

test: .venv/installed
	$(BIN)/python -m pytest -n 2

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

# git commit then checks what it commits.
hooks: .venv/installed
	$(BIN)/pre-commit install

# The tests with a count of the lines they ran; fails below the floor of pyproject.toml.
coverage: .venv/installed
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term $(ARGS)

# The tests with the oldest versions that pyproject.toml admits, of whose own deprecations nothing is to be learned.
lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -n 2 -W ignore::DeprecationWarning -W ignore::FutureWarning $(ARGS)

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release: .venv/installed
	$(BIN)/python scripts/check_release.py

# Some of them, or all in tiny sizes: make bench ARGS="step prior", make bench ARGS=--quick
bench: .venv/installed
	$(BIN)/python -m benchmarks $(ARGS) --json benchmarks.json

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,blackjax,posteriors,sbx,dev,docs]'
	touch $@

.venv-lowest/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[all,parquet,dev]'
	touch $@

clean:
	rm -rf .venv .venv-lowest .coverage bayes-rpp-demo site
