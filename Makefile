# Each target suffices alone on a fresh machine: it makes .venv, installs, and runs. Needs Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OLDEST := .venv-oldest
OLDEST_TRANSFORMERS = $(shell sed -n 's/.*"transformers>=\([0-9.]*\).*/\1/p' pyproject.toml)

.PHONY: help test test-oldest e2e demo lint install clean

help:
	@echo 'make demo         the whole method at nano scale, offline; the report lies in demo-run/'
	@echo 'make test         style, types and the fast tests'
	@echo 'make test-oldest  the tests of the model on the oldest transformers that we support'
	@echo 'make e2e          the slow tests: the method from end to end at reduced size'
	@echo 'make lint         style and types alone'
	@echo 'make install      .venv with everything that the above need'
	@echo 'make clean        remove .venv, caches and demo-run/'

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

# Only transformers and what it pins are installed a second time; the rest, torch above all, is that of .venv.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -c 'import transformers; print("transformers", transformers.__version__)'
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n auto tests/model tests/parity

$(OLDEST)/.installed: $(INSTALLED)
	rm -rf $(OLDEST)
	$(BIN)/python -m venv --without-pip $(OLDEST)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(\"%s\")" % sysconfig.get_path("purelib"))' \
	  > $$($(OLDEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rest.pth
	$(BIN)/python -m pip --disable-pip-version-check --python $(OLDEST)/bin/python \
	  install 'transformers==$(OLDEST_TRANSFORMERS)'
	@touch $@

# Tests of one file stay in one process: those of the demo share its run. The page is tried in Debian's Chromium.
e2e: install
	@command -v chromium >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends chromium; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n auto --dist loadfile

demo: install
	$(BIN)/desta2 demo -o demo-run

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

install: $(INSTALLED)

# Installs again only when pyproject.toml changed. A .venv without pip (half made, or uv's) gets one.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'error: desta2 needs Python 3.11 or newer, and $(PYTHON) is' \
	    "$$($(PYTHON) -V 2>/dev/null || echo missing)"': run "make PYTHON=/path/to/python3.11 ..."' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
	  echo 'error: $(PYTHON) cannot make a virtual environment: install its venv module,' \
	    'or run "make PYTHON=/path/to/another/python ..."' >&2; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[all,dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) demo-run .mypy_cache .pytest_cache .ruff_cache .hypothesis
