# The two commands that matter: `make course` and `make test`. Each sets everything up on first use.
# Every target may be interrupted and repeated.

# `make PYTHON=python3.12 …` chooses the interpreter, `make PIP_ARGS="…" …` passes pip whatever your network needs.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

# Two builds of torch: `cpu` (the default; its Linux wheels live on PyTorch's own index) or `cuda`. Once chosen it stays.
TORCH ?= $(or $(firstword $(patsubst $(VENV)/.ready-%,%,$(wildcard $(VENV)/.ready-*))),cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_VERSION = $(shell sed -n 's/^torch==//p' constraints.txt)
READY := $(VENV)/.ready-$(TORCH)

# Tiny models run many times slower on two threads than on one when the cores are shared.
export OMP_NUM_THREADS ?= 1

.PHONY: course test lab setup data bench refresh export text lint lock binder clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

course: data ## run every notebook at laptop scale and print the scoreboard
	@$(BIN)/python -m companion run --all --scale laptop --jobs $(JOBS); status=$$?; \
	    $(BIN)/python -m companion scoreboard --run laptop; exit $$status

test: data lint ## lint, types and all tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests

lab: data ## open JupyterLab on the first page
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

setup: $(READY) ## make .venv with everything in it

data: setup ## fetch the data into the cache (once)
	$(BIN)/python -m companion data fetch

bench: data ## seconds and memory of every notebook at two scales, as docs/benchmark.md
	$(BIN)/python -m companion run --bench

refresh: data ## run the notebooks again, store their outputs, their cost and their times
	$(BIN)/python -m companion refresh $(NB)

export: setup ## the notebooks as HTML pages in build/html/
	$(BIN)/jupyter nbconvert --to html --template-file scripts/export.html.j2 --output-dir build/html notebooks/[0-9]*.ipynb

text: setup ## a notebook as a Python script in build/: make text NB=notebooks/00_start_here.ipynb
	@test -f "$(NB)" || { echo "make text: name a notebook, as in make text NB=notebooks/00_start_here.ipynb"; exit 1; }
	$(BIN)/jupytext --to py:percent --output build/$(basename $(notdir $(NB))).py "$(NB)"

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A stamp that is missing means an environment that is missing or incomplete: it is created again. A stamp that is
# merely old is removed while pip works, so that an interrupted update counts as incomplete too.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("companion needs Python 3.11 or newer, and \
	$(PYTHON) is %d.%d: name a newer one, as in make PYTHON=python3.12 setup" % sys.version_info[:2])'
	@if [ -f $@ ]; then rm $@; else echo "Making $(VENV): some minutes, 2 GB ..."; $(PYTHON) -m venv --clear $(VENV); fi
ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
	$(BIN)/python -m pip install -q --no-deps --retries 0 --timeout 10 $(TORCH_INDEX:%=--extra-index-url %) $(PIP_ARGS) \
	    "torch==$(TORCH_VERSION)+cpu" || echo "No CPU-only torch found: taking the default build, which is larger."
endif
	$(BIN)/python -m pip install -q -c constraints.txt $(PIP_ARGS) -e ".[dev]"
	@touch $@

lock: ## write constraints.txt again from the newest releases that pyproject.toml allows
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install -q $(PIP_ARGS) "torch==$(TORCH_VERSION)" -e ".[dev]"
	{ sed -n '/^#/p' constraints.txt; build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -r build/lock

binder: ## print the Binder link of the repository that this clone came from
	@echo "https://mybinder.org/v2/git/$$(git remote get-url origin | sed 's|/|%2F|g; s|:|%3A|g')/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb"

clean: ## remove .venv and build/
	rm -rf $(VENV) build
