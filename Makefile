# Needs only Python >= 3.11 and make: each target makes the environment that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
# The end-to-end tests that also run on a real broker in `make test`; `make e2e-kafka` runs all of them there.
ON_KAFKA := $(addprefix tests/e2e/, test_flights.py::test_each_departure_is_predicted_once \
  test_faults.py::test_a_worker_that_stood_still_is_fenced test_order.py::test_a_slow_group_holds_up_no_other \
  test_wait.py::test_the_answer_carries_what_every_worker_made_of_these_events_and_no_others)

.PHONY: demo test lint types unit e2e-kafka bench bench-kafka soak wheel lock clean help
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

demo: $(VENV)/.demo ## real flights in, predictions out, a model swapped half-way
	$(BIN)/penstock demo

test: lint unit ## all that must hold: style, types, floors, tests

lint: $(VENV)/.dev ## ruff, mypy --strict, import floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## the tests; those with a system of their own one after the other, the rest in three processes
	$(BIN)/python -m pytest -m 'not soak' -n 3 --dist loadfile --ignore tests/e2e
	$(BIN)/python -m pytest -m 'not soak' tests/e2e
	$(BIN)/python -m pytest $(ON_KAFKA) --log kafka

e2e-kafka: $(VENV)/.dev ## the end-to-end tests again, with their logs on a real broker
	$(BIN)/python -m pytest -m 'not soak' tests/e2e --log kafka

bench: $(VENV)/.dev ## every figure of docs/performance.md, in one run
	$(BIN)/python -m bench

bench-kafka: $(VENV)/.dev ## the flights job on Kafka, beside its peers; into docs/performance.md
	$(BIN)/python -m bench.kafka

soak: $(VENV)/.dev ## the long fault runs
	$(BIN)/python -m pytest -m soak

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel

lock: $(VENV)/.dev ## pin what CI uses, for every supported Python
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --extra dev --python-version 3.11 pyproject.toml -o $(LOCK)

clean: ## remove the environment and what the tools left
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
