# Everything runs from .venv in this folder; `make env` makes it.
PYTHON ?= python3
# `pip install torch` brings CUDA where the platform has it. For a CPU build elsewhere:
#   make env TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The versions that were tested together; another Python may have no wheels of them.
PINNED := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" * (sys.version_info[:2] == (3, 11)))')

# One thread a process: worker processes fill the cores, and tblite slows down with more.
export OMP_NUM_THREADS ?= 1

.PHONY: env study test test-slow test-mace soak notebooks check bench bench-accuracy bench-scale docs constraints wheel clean

env: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PINNED) $(TORCH)
	$(BIN)/python -m pip install --quiet $(PINNED) --editable '.[dev]'
	touch $@

study: env
	$(BIN)/breadth study tradeoff --preset demo --out runs/demo

test: env
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: env
	$(BIN)/python -m pytest -m slow

# Each in a kernel of its own, 60 s of a processor at most; one of them: make notebooks ONLY=03
notebooks: env
	$(BIN)/python notebooks/execute.py $(ONLY)

# Kills, damaged files, full disks: half an hour or more; see docs/reliability.md.
soak: env
	@$(BIN)/python -m tests.reliability.soak $(PARTS)

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

# Takes an hour, and 5 GB there.
SCALE ?= /tmp/breadth-scale

bench-scale: env
	@nice $(BIN)/python benchmarks/scale.py --folder $(SCALE)

# Newest versions of everything, in constraints.txt: look at the difference, run the tests, commit.
FRESH := .venv-fresh

constraints:
	$(PYTHON) -m venv --clear $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --upgrade pip
	$(FRESH)/bin/python -m pip install --quiet $(TORCH)
	$(FRESH)/bin/python -m pip install --quiet --editable '.[dev]'
	@echo '# Tested together on Python 3.11. `make constraints` writes it anew; see CONTRIBUTING.md.' > constraints.tmp
	$(FRESH)/bin/python -m pip freeze --exclude-editable | sed '/^nvidia-/d; /^triton/d; s/+.*//' >> constraints.tmp
	mv constraints.tmp constraints.txt
	rm -rf $(FRESH)

# Builds the distributions, and uses the wheel where there is no repository.
wheel: env
	rm -rf dist $(FRESH)
	$(BIN)/python -m hatchling build -d dist
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet $(PINNED) dist/*.whl
	cd $(FRESH) && bin/breadth doctor
	cd $(FRESH) && bin/breadth study tradeoff --preset smoke --out smoke
	rm -rf $(FRESH)

clean:
	rm -rf $(VENV) $(MACE) $(FRESH) runs dist docs/_build docs/reference .pytest_cache .mypy_cache .ruff_cache
