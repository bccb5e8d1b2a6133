# make demo   install into .venv and train the first classifier
# make test   install with the test tools and run the tests
# make slow   the tests that train for minutes
# make check  lint, types, format
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
JOBS ?= 2

.PHONY: demo test slow check clean

demo: $(VENV)/.installed
	$(BIN)/python train.py task=classify model=cnn3d snr=0.03

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not gpu"

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
