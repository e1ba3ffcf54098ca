# Two commands for a fresh machine: `make demo` and `make test`. Both set up a virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint reference clean help

help:  ## What there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: sudo apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[camera,train,export,dev]'
	@$(BIN)/python -c 'import cv2' || { echo "OpenCV misses a system library: sudo apt-get install libgl1 libglib2.0-0" >&2; exit 2; }
	@touch $@

demo: $(READY)  ## Set up, then the whole line: train, measure, quantise, benchmark, two cameras, report
	$(BIN)/edge-reid demo

test: $(READY)  ## Set up, then the checks and the tests
	$(MAKE) lint
	$(BIN)/python -m pytest

lint: $(READY)  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove the environment and all runs
	rm -rf $(VENV) runs
