# Needs only Python >= 3.11 and make: each target makes the environment that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
CLOUDS := .venv-clouds
CLOUDS_LOCK := requirements-clouds.lock
PYTEST := $(BIN)/python -m pytest --dist loadgroup --no-loadscope-reorder
ACCESS_TESTS := tests/e2e tests/run/test_run.py tests/examples/test_quickstart.py tests/cli tests/client
# Often set in containers. The tests start a thousand processes, and each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint unit e2e test-access test-access-all test-kafka test-access-kafka test-clouds e2e-kafka bench bench-kafka soak wheel docs lock clean help
.DEFAULT_GOAL := help

help: ## say what there is to make
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Penstock needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml $(LOCK)
	$(BIN)/python -m pip install -q -c $(LOCK) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml $(LOCK)
	$(BIN)/python -m pip install -q -c $(LOCK) -e '.[dev]'
	@touch $@ $(VENV)/.demo

# Of its own: Pulumi wants an older protobuf than the models' libraries do, and a Pulumi project has its own too.
$(CLOUDS)/.ready: $(BIN)/python pyproject.toml $(CLOUDS_LOCK)
	test -x $(CLOUDS)/bin/python || $(BIN)/python -m venv $(CLOUDS)
	$(CLOUDS)/bin/python -m pip install -q -c $(CLOUDS_LOCK) -e '.[clouds-dev]'
	@touch $@

demo: $(VENV)/.demo ## real flights in, predictions out, a model swapped half-way
	$(BIN)/penstock demo

test: lint unit e2e test-access ## style, types, floors, and all tests that need nothing but this

lint: $(VENV)/.dev ## ruff, mypy --strict, import floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## the tests, but for those end to end
	$(PYTEST) -m 'not soak and not broker and not clouds' -n 4 --ignore tests/e2e

e2e: $(VENV)/.dev ## those end to end: fewer at once, for they are several processes each
	$(PYTEST) -m 'not soak and not broker and not clouds' -n 3 tests/e2e

test-access: $(VENV)/.dev ## some of them again, on runs that want keys, each with the least key that suffices
	$(PYTEST) --access some -m 'not soak and not broker and not clouds' -n 3 $(ACCESS_TESTS)

test-access-all: $(VENV)/.dev ## all of them that can be run so, also with their logs on a real broker
	$(PYTEST) --access all -m 'not soak and not clouds' -n 3 $(ACCESS_TESTS)

test-kafka: test-access-kafka $(VENV)/.dev ## the tests that need a Kafka broker, on brokers of their own (Java 17, or KAFKA_BOOTSTRAP)
	$(PYTEST) -m 'broker and not soak' -n 3

test-access-kafka: $(VENV)/.dev ## the same as test-access, with their logs on a real broker
	$(PYTEST) --access some -m 'broker and not soak' -n 3 tests/e2e

test-clouds: $(CLOUDS)/.ready ## the tests of what is deployed, with Pulumi's SDKs
	$(CLOUDS)/bin/python -m pytest --dist loadgroup --no-loadscope-reorder -m clouds -n 2 tests/deploy

e2e-kafka: $(VENV)/.dev ## the end-to-end tests again, with their logs on a real broker
	$(PYTEST) -m 'not soak and not clouds' -n 3 tests/e2e --log kafka

bench: $(VENV)/.dev ## every figure of docs/performance.md, in one run
	$(BIN)/python -m bench

bench-kafka: $(VENV)/.dev ## the flights job on Kafka, beside its peers; into docs/performance.md
	$(BIN)/python -m bench.kafka

soak: $(VENV)/.dev ## the long fault runs
	$(BIN)/python -m pytest -m soak

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel

docs: $(VENV)/.dev ## write docs/api.md from the docstrings, docs/metrics.md from what is declared
	$(BIN)/python docs/reference.py

lock: $(VENV)/.dev ## pin what CI uses, for every supported Python
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --extra dev --python-version 3.11 pyproject.toml -o $(LOCK)
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --extra clouds-dev --python-version 3.11 pyproject.toml -o $(CLOUDS_LOCK)

clean: ## remove the environment and what the tools left
	rm -rf $(VENV) $(CLOUDS) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
