# Everything runs from .venv in this folder; `make env` makes it.
PYTHON ?= python3
# `pip install torch` brings CUDA where the platform has it. For a CPU build elsewhere:
#   make env TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread a process: worker processes fill the cores, and tblite slows down with more.
export OMP_NUM_THREADS ?= 1

.PHONY: env study test test-slow test-mace check bench bench-accuracy docs clean

env: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

study: env
	$(BIN)/breadth study tradeoff --preset demo --out runs/demo

test: env
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: env
	$(BIN)/python -m pytest -m slow

# MACE needs e3nn 0.4.4, and so an environment without the other universal potentials.
MACE := .venv-mace

test-mace: $(MACE)/.ready
	$(MACE)/bin/python -m pytest tests/mace

$(MACE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(MACE)
	$(MACE)/bin/python -m pip install --quiet $(TORCH)
	$(MACE)/bin/python -m pip install --quiet --editable '.[mace]' hypothesis pytest
	touch $@

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Peers that fit breadth's own process stand beside its environment, so that none moves a version.
PEERS := benchmarks/.venvs/measures

bench: env $(PEERS)
	@$(BIN)/python benchmarks/run.py

$(PEERS): benchmarks/requirements-measures.txt
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ --requirement $<
	touch $@

bench-accuracy: env
	@$(BIN)/python benchmarks/accuracy.py

# The site: every page, the commands, keys and formats as the code has them, the Python reference. A
# link that leads nowhere, a page that no other lists or a docstring that cannot be read ends it.
docs: env
	$(BIN)/sphinx-build -E -W --keep-going -q docs docs/_build
	@echo docs/_build/index.html

clean:
	rm -rf $(VENV) $(MACE) runs dist docs/_build docs/reference .pytest_cache .mypy_cache .ruff_cache
