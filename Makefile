# Every target works on a machine with only Python 3.11+ and make: the first run
# creates .venv and installs what is needed; later runs start at once.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

export TF_CPP_MIN_LOG_LEVEL ?= 2

# Of the quick tests `make test` runs one case in four on TensorFlow, at least one of
# each test, and one in eight on JAX; others every day.
ON_TENSORFLOW ?= --one-in 4 --each
ON_JAX ?= --one-in 8
# All of them in parts, as compiled programs stay in memory until a process ends.
MODELS = tests/models tests/persistent tests/optimizers tests/geometries
OTHERS = tests/lifting tests/penalties tests/updates tests/layers tests/imaging \
	tests/inversion tests/benchmarks \
	$(filter-out tests/test_zoo.py,$(wildcard tests/test_*.py))
PYTEST = $(BIN)/python -m pytest -q -n 2 --durations=5

.PHONY: demo test test-all lint benchmark docs docs-serve clean

demo: $(VENV)/examples.stamp
	$(BIN)/python benchmarks/demo.py

test: lint
	$(PYTEST) -m "not slow" $(ON_TENSORFLOW)
	KERAS_BACKEND=jax $(PYTEST) -m "not slow" $(ON_JAX)

test-all: lint
	XLA_FLAGS= $(PYTEST) tests/test_zoo.py
	XLA_FLAGS= $(PYTEST) $(MODELS)
	XLA_FLAGS= $(PYTEST) $(OTHERS) tests/devices keras_lifted
	XLA_FLAGS= KERAS_BACKEND=jax $(PYTEST) tests/test_zoo.py
	XLA_FLAGS= KERAS_BACKEND=jax $(PYTEST) $(MODELS)
	XLA_FLAGS= KERAS_BACKEND=jax $(PYTEST) $(OTHERS) keras_lifted

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks run cost
	KERAS_BACKEND=jax $(BIN)/python -m benchmarks run cost
	$(BIN)/python -m benchmarks report

docs: $(VENV)/docs.stamp
	$(BIN)/mkdocs build --strict

docs-serve: $(VENV)/docs.stamp
	$(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) demo_output site build dist *.egg-info

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

$(VENV)/docs.stamp: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@
