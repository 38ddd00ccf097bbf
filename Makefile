# `make demo` and `make test` need Python 3.11 or newer and make, nothing else: they build their own environment in
# .venv, with uv where it is installed and with plain venv and pip where it is not.
.DEFAULT_GOAL := help
.PHONY: help install demo test lint types notebook bench wheel upgrade clean
.DELETE_ON_ERROR:

VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
# The first interpreter that is new enough; set PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
UV     := $(shell uv --version >/dev/null 2>&1 && echo uv)

# Real data for measuring, where a checkout has it beside it; tests that need it skip, saying so, where it is not.
ifeq ($(origin DALLM_REAL_DATA),undefined)
ifneq ($(wildcard ../shared/data/.),)
export DALLM_REAL_DATA := $(abspath ../shared/data)
endif
endif
# Nothing here may reach a model hub.
export HF_HUB_OFFLINE := 1

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

install: $(STAMP)  ## make the environment (the other targets do this themselves)

$(STAMP): pyproject.toml constraints.txt tests/no-deps.txt
ifeq ($(strip $(PYTHON)),)
	$(error dallm needs Python 3.11 or newer; install it, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11)
endif
ifeq ($(UV),uv)
	test -x $(PY) || uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	uv pip install --quiet --python $(PY) --constraint constraints.txt --editable '.[offline,dev]'
	-uv pip install --quiet --python $(PY) --no-deps --requirement tests/no-deps.txt
else
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[offline,dev]'
	-$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/no-deps.txt
endif
	touch $(STAMP)

demo: $(STAMP)  ## the main job on a synthetic cohort: table in, evidence-backed table out
	$(PY) -m dallm demo --out demo-out --overwrite

test: $(STAMP)  ## run the tests
	$(PY) -m pytest

lint: $(STAMP)  ## check style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(STAMP)  ## check the types
	$(PY) -m mypy

notebook: $(STAMP)  ## run the notebooks and keep their output in out/notebooks
	mkdir -p out/notebooks && cp notebooks/*.ipynb out/notebooks/
	cd out/notebooks && ../../$(VENV)/bin/jupyter-execute --inplace *.ipynb

bench: $(STAMP)  ## speed and memory of filling, on synthetic reports
	$(PY) benchmarks/fill_speed.py

wheel: $(STAMP)  ## build the source archive and the wheel into dist/
ifeq ($(UV),uv)
	uv build --quiet --out-dir dist
else
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
endif

upgrade: $(STAMP)  ## take the newest versions that pyproject.toml allows, and write them to constraints.txt
ifeq ($(UV),uv)
	uv pip install --quiet --python $(PY) --upgrade --editable '.[offline,dev]'
	uv pip freeze --python $(PY) --exclude-editable > constraints.new
else
	$(PY) -m pip install --quiet --upgrade --editable '.[offline,dev]'
	$(PY) -m pip freeze --exclude-editable > constraints.new
endif
	{ sed -n '/^#/p' constraints.txt; grep '==' constraints.new; } > constraints.txt.new
	mv constraints.txt.new constraints.txt && rm constraints.new && touch $(STAMP)

clean:  ## remove what the targets made, the environment included
	rm -rf $(VENV) dist build demo-out out .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
