# Roundsman: every target does its own set-up, so any of them may be the first thing ever typed.
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
# Compiled files are kept: without them every process of the tests reads thousands of sources anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test lint types format cards docs bench kills constraints clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(VENV)/.installed ## make .venv and install the product in it (again: nothing to do)

demo: setup ## a sample company, one agent run on Prefect, and what it found
	@$(BIN)/python -m roundsman.demo

up: setup ## keep a Prefect server with its UI running for the demo's home
	@$(BIN)/python -m roundsman.demo up

down: setup ## stop that server
	@$(BIN)/python -m roundsman.demo down

test: $(VENV)/.dev ## lint, types, house rules, tests on real servers; FAST=1: only what needs no engine
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright >$(VENV)/types.log & types=$$!; \
	    $(BIN)/python -m pytest -q -n 2 --dist worksteal $(if $(FAST),-m "not engine and not needs"); tested=$$?; \
	    wait $$types; typed=$$?; tail -n 20 $(VENV)/types.log; exit $$((tested | typed))

lint: $(VENV)/.dev ## style and format, without changing anything
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev ## strict types
	@$(BIN)/basedpyright

format: $(VENV)/.dev ## put the code in order
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

cards: setup ## derive roundsman/agents.json from prefect.yaml and the flows
	@$(BIN)/python -m roundsman.catalog

docs: $(VENV)/.dev ## derive docs/reference from the code
	@$(BIN)/python docs/reference.py

bench: $(VENV)/.dev ## every figure against its goal; ONLY=name for one program
	@$(BIN)/python -m bench $(ONLY)

kills: $(VENV)/.dev ## 105 kill -9 at named points, judged from outside
	@$(BIN)/python -m tests.kills

constraints: $(VENV)/.dev ## resolve the exact versions again (needs uv)
	@uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links -o constraints.txt

clean: ## remove what the other targets made
	@rm -rf $(VENV) .roundsman *.egg-info .pytest_cache .ruff_cache .hypothesis

ifdef UV
make_venv = $(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
install = $(UV) pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt
else
make_venv = $(PYTHON) -m venv $(VENV)
install = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
endif

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	    { echo "Roundsman needs Python 3.11, 3.12 or 3.13: name one, as in  make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Installing into $(VENV) (once, one to two minutes) ..."
	@$(make_venv)
	@$(install) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) ..."
	@$(install) -e '.[dev]'
	@touch $@
