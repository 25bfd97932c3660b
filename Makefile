# Two commands: `make quickstart` shows the whole line on synthetic phantoms, `make test` runs the checks and tests.
# `make test-fast` is for every save; `make test-all` adds what starts browsers and Java or proves a law once more.
# `make fuzz N=2000 SEED=1` damages more inputs of every reader (READER="set coco" of one; CASE=17 one of them again).
# `make install` alone makes the environment in .venv.
PYTHON ?= python3
BIN := .venv/bin
# Without an NVIDIA GPU the versions of the lock file constraints-cpu.txt are installed; with one, the newest that fit.
CONSTRAINTS := $(shell nvidia-smi -L >/dev/null 2>&1 || echo "-c constraints-cpu.txt")

# Waiting threads sleep instead of spinning: beside other load, spinning makes a step ten times slower.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: install quickstart test test-fast test-all fuzz check real docs shown lock clean

# As many workers as cores, each with one thread; one that runs out of tests takes some of another.
PYTEST := $(BIN)/pytest -q -n auto --dist worksteal

install: .venv/installed

.venv/installed: pyproject.toml constraints-cpu.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(CONSTRAINTS) -e ".[dev]"
	mkdir -p .venv/typing/medglip
	for room in grounding vqa report eval scripts; do ln -sfn ../../../$$room .venv/typing/medglip/$$room; done
	for file in __init__ __main__; do ln -sfn ../../../scripts/package/$$file.py .venv/typing/medglip/$$file.py; done
	touch $@

quickstart: install
	$(BIN)/medglip run recipes/quickstart.yaml

real: install
	$(BIN)/medglip run recipes/real_small.yaml

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

test: check
	$(PYTEST) -m "not thorough"

test-fast: install
	$(PYTEST) -m "not thorough and not slow"

test-all: test
	$(PYTEST) -m thorough

fuzz: install
	FUZZ_N=$(or $(N),500) FUZZ_SEED=$(SEED) FUZZ_CASE=$(CASE) $(PYTEST) \
		"tests/fuzz/test_fuzz.py::test_damaged_input_is_held$(if $(READER),[$(READER)])"

# The site in build/site; a warning is an error.
docs: install
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(CONSTRAINTS) -e ".[docs]"
	$(BIN)/mkdocs build --strict --quiet

# What README, tour and docs show, after weights have changed: sample images stay, outputs and pictures are made again.
shown: install
	$(BIN)/python -m medglip.scripts.release.tour
	$(BIN)/python -m medglip.scripts.release.pictures runs/quickstart

# The lock file, of what is installed here; all extras but gpu are needed.
lock: install
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e ".[app,serve,ray,negation,docs,dev]"
	$(BIN)/python -m medglip.scripts.release.lock

clean:
	rm -rf runs build *.egg-info .pytest_cache .ruff_cache
