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
	$(BIN)/python -m pip install -q -e '.[camera,train,export,openvino,ncnn,web,mqtt,encryption,archive,fleet,dev]'
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
	for script in apps/*.py; do $(BIN)/mypy $$script || exit; done

REFERENCE := runs/reference

reference: $(READY)  ## Draw people, train the model that the project carries in two runs, and put it in its place (three hours on 2 cores)
	test -d $(REFERENCE)/people || $(BIN)/edge-reid synth $(REFERENCE)/people --identities 4000 --cameras 48 --seed 1
	test -d $(REFERENCE)/people2 || $(BIN)/edge-reid synth $(REFERENCE)/people2 --identities 4000 --cameras 48 --seed 2
	$(BIN)/edge-reid train $(REFERENCE)/people --out $(REFERENCE)/first --width 0.25 --size 256 128 \
	  --granularities 2 4 --part-dim 64 --identities 16 --pictures 2 --epochs 31 --steps 200 --shares 0.74 0.26 \
	  --learning-rate 3e-3 --weight-decay 1e-2 --warm-up 0.03 --teacher-from 0.3 --identity-weight 0.3 \
	  --attribute-weight 8 --parsing-weight 2 --set metric_of_parts=joined --validate 100
	$(BIN)/edge-reid train $(REFERENCE)/people2 --init $(REFERENCE)/first/model.safetensors --out $(REFERENCE)/second \
	  --identities 32 --epochs 26 --steps 200 --shares 0.65 0.35 --learning-rate 2e-3 --teacher-from 0.1 \
	  --validate 100 --amp bf16
	cp $(REFERENCE)/second/model.safetensors edge_reid/reference/
	for run in first second; do cp $(REFERENCE)/$$run/log.csv edge_reid/reference/$$run.csv; \
	  cp $(REFERENCE)/$$run/curve.svg edge_reid/reference/$$run.svg; done
	$(BIN)/edge-reid export reference --int8 --calibration $(REFERENCE)/people2 --out edge_reid/reference/bundle --overwrite
	test -d $(REFERENCE)/people3 || $(BIN)/edge-reid synth $(REFERENCE)/people3 --identities 0 --test-identities 300 \
	  --pictures 32 --cameras 24 --seed 77
	$(BIN)/edge-reid calibrate-matching edge_reid/reference/bundle --data $(REFERENCE)/people3

clean:  ## Remove the environment and all runs
	rm -rf $(VENV) runs
