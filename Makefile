# setup · check · test · demo · bench · docs: everything goes through .venv.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests of one file in one process: what they share is made once.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
.DEFAULT_GOAL := check
# The suite starts hundreds of processes: each would compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: setup services check test demo bench docs lock clean

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PY) infra/scripts/setup.py

setup: $(VENV)/.ready

services: setup
	@infra/scripts/services.sh
	@infra/scripts/npm.sh
	@infra/scripts/open62541.sh
	@infra/scripts/libmodbus.sh

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo
	@$(PYTEST) -q -m "not slow and not browser and not server" --hypothesis-profile=quick

test: setup services
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo
	@$(PYTEST)

demo: setup
	@exec $(BIN)/lineside demo

bench: setup
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; PYTHONPATH=. $(BIN)/python $$bench || exit 1; done

docs: setup
	@$(BIN)/pytest -q tests/unit/test_docs.py tests/unit/test_plant_docs.py tests/unit/test_collectors_docs.py

lock: setup
	@$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --strip-extras -o requirements.txt requirements.in

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
