# The commands of Carteira. `make help` lists them; each does the set-up that it needs.
.DEFAULT_GOAL := help
.PHONY: help install install-dev lock run run-debug test test-unit test-integration check format bench bench-assistant clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv --quiet

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A Debian Python without ensurepip still has pip more often than not: the second form of each line serves it.
$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Carteira needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --without-pip $(VENV)
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	else \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check uv==$(UV_VERSION); fi

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/uv
	@echo "Installing Carteira into $(VENV) …"
	@$(UV) pip install --require-hashes -r requirements.lock
	@$(UV) pip install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@$(UV) pip install --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed ## Install what `make run` needs into .venv

install-dev: $(VENV)/.installed-dev ## Install what tests and checks need too

lock: | $(BIN)/uv ## Resolve the dependencies again and write the hashed locks
	@$(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(LOCK_FLAGS) \
	  pyproject.toml --group build --group dev -o requirements-dev.lock
	@$(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  -c requirements-dev.lock pyproject.toml --group build -o requirements.lock

run: install ## Start everything on http://localhost:8000 (PORT=8123, CARTEIRA_HOME=folder)
	@exec $(BIN)/carteira run

run-debug: install ## The same with reload on change and debug logs
	@exec $(BIN)/carteira run --debug

test: install-dev ## Run the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist worksteal

test-unit: install-dev ## Only the tests that need no server
	@$(BIN)/python -m pytest -m unit

test-integration: install-dev ## Only the tests that run against the embedded servers
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m integration

check: install-dev ## Lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install-dev ## Format and mend what can be mended
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

bench: install-dev ## Measure the authorizer
	@$(BIN)/python -m benchmarks.authorizer

bench-assistant: install-dev ## Measure how well and how fast the assistant understands
	@$(BIN)/python -m benchmarks.assistant

clean: ## Remove the environment, the caches and the data under .carteira
	rm -rf $(VENV) .carteira .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
