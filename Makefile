# `make demo` shows watchkeeper at work on a real model; `make test` runs every check. Both do their own set-up.
PYTHON := .venv/bin/python
# Tests at a time: they wait more than they work.
WORKERS ?= 4

.PHONY: demo test format lock changelog clean

# DEMO_SECONDS=60 stops by itself; DEMO_FAULT=loop|truncate|language|leak|slow|longer-prompts lets something go wrong.
demo:
	@sh scripts/set-up demo
	@$(PYTHON) -m watchkeeper demo

test:
	@sh scripts/set-up test
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo
	$(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

format:
	@sh scripts/set-up test
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

# Renews requirements/*.txt after a change of a version in pyproject.toml.
lock:
	@sh scripts/lock

# Moves the fragments of changelog.d/ into CHANGELOG.md: make changelog VERSION=0.2.0
changelog:
	@sh scripts/set-up test
	$(PYTHON) -m towncrier build --version $(VERSION) --yes

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
