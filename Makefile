# Every target works on a machine with only Python 3.11+ and make: the first run
# creates .venv and installs what is needed; later runs start at once.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

export TF_CPP_MIN_LOG_LEVEL ?= 2

# Tests that run a second time on JAX.
JAX_TESTS ?= $(wildcard tests/models tests/lifting tests/penalties \
	tests/updates tests/optimizers tests/layers/test_theory.py \
	tests/test_callbacks.py)

.PHONY: demo test test-all lint benchmark clean

demo: $(VENV)/examples.stamp
	$(BIN)/python benchmarks/demo.py

test: lint
	$(BIN)/python -m pytest -q -m "not slow"
	KERAS_BACKEND=jax $(BIN)/python -m pytest -q -m "not slow" $(JAX_TESTS)

test-all: lint
	$(BIN)/python -m pytest -q
	KERAS_BACKEND=jax $(BIN)/python -m pytest -q $(JAX_TESTS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/step_cost.py
	KERAS_BACKEND=jax $(BIN)/python benchmarks/step_cost.py

clean:
	rm -rf $(VENV) demo_output build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	f"keras_lifted needs Python 3.11 or later. Received: {v.major}.{v.minor}. \
	Name another one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/examples.stamp: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[examples]"
	touch $@

$(VENV)/dev.stamp: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev,jax]"
	touch $@
