# Two commands matter: `make book` and `make test`.  `make help` lists the others.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PAGES := _build/html
PORT ?= 8000
MINUTES ?= 60

# What a shell may hold that brings other packages in, or sends ours elsewhere.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

# Any Python from 3.11 on; the pins were tested on 3.11, so that one is preferred.  `make book PYTHON=...` overrides.
is_new_enough = $(shell $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(1))
version_of = $(shell $(1) -c 'import sys; print(sys.version_info[:2])' 2>/dev/null)
ASKED := $(PYTHON)
PYTHON ?= $(or $(call is_new_enough,python3.11),$(call is_new_enough,python3),$(call is_new_enough,python3.12),$(call is_new_enough,python3.13))

# An environment works in the folder where it was made, which its stamp names.  One that came with a renamed or copied
# folder, or with another Python than the one asked for, is made anew.
ifneq ($(wildcard $(BIN)),)
  ifeq ($(call is_new_enough,$(BIN)/python),)
    STALE := its Python is older than 3.11, or gone
  else ifneq ($(wildcard $(STAMP)),)
    ifneq ($(shell cat $(STAMP)),$(CURDIR))
      STALE := it was made in another folder
    endif
  endif
  ifneq ($(ASKED),)
    ifneq ($(call version_of,$(BIN)/python),$(call version_of,$(ASKED)))
      STALE := it has another Python
    endif
  endif
endif

# uv installs several times faster; where it is absent pip does the same.
UV := $(shell command -v uv 2>/dev/null)
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
INSTALL := $(if $(UV),uv pip install --quiet --compile-bytecode --python $(BIN)/python,$(BIN)/python -m pip install --quiet)

# On Linux the package index serves torch with CUDA, several gigabytes.  A machine without a GPU saves them with
#   make book TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^torch==/torch==/p' requirements.txt)

.PHONY: help anew book pdf test portable explore notebooks replicate starter gradescope lab bench serve clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew only when what it is made from has changed.
$(STAMP): requirements.txt pyproject.toml $(if $(STALE),anew)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@echo "Installing into $(VENV) with $(if $(UV),uv,pip) (minutes the first time, mostly torch)"
	@test -x $(BIN)/python || $(if $(UV),uv venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@$(if $(TORCH_INDEX),$(INSTALL) $(TORCH) --index-url $(TORCH_INDEX))
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@echo "$(CURDIR)" > $@

anew:
	@echo "Making $(VENV) anew: $(STALE)"
	@rm -rf $(VENV)

# Sphinx rebuilds the pages whose sources changed.  It does not notice a changed extension, it leaves pages that are no
# longer made, and what it warned of once it does not say again: so these cases start from nothing.  Where nothing at all
# is newer than the last build that succeeded, there is nothing to do.
BUILT := _build/.built
newer = $(shell find $(1) -newer $(BUILT) -not -name '*.pyc' -not -name __pycache__ 2>/dev/null)
CHANGED := $(call newer,_config.yml _toc.yml book/_ext)
FRESH ?= $(if $(CHANGED),yes)
NEEDED := $(or $(FRESH),$(if $(and $(wildcard $(BUILT)),$(wildcard $(PAGES)/index.html)),,yes),$(call newer,book notebooks irl_lib assignments README.md LICENSE pyproject.toml requirements.txt))

book: $(STAMP) ## build the pages (FRESH=yes: from nothing)
	@$(if $(FRESH),rm -rf $(PAGES) _build/.doctrees)
	@$(if $(NEEDED),rm -f $(BUILT) && mkdir -p _build && touch _build/.begun)
	@$(if $(NEEDED),$(BIN)/jupyter-book build -W -n --keep-going --quiet . || { rm -rf _build/.doctrees; exit 1; })
	@$(if $(NEEDED),mv _build/.begun $(BUILT))
	@echo "The book: file://$(CURDIR)/$(PAGES)/index.html"

pdf: book ## one PDF of the whole book (minutes; needs Chromium)
	@$(BIN)/python book/make_pdf.py

test: $(STAMP) ## build the book, then run every check there is; one summary at the end (FULL=1: all chapters as on Colab)
	@FULL=$(FULL) $(BIN)/python tests/run.py

portable: $(STAMP) ## chapters and package's tests as other processors compute them, and with the oldest packages allowed
	@$(BIN)/python tests/portable.py $(ONLY)

explore: $(STAMP) ## draw new examples for the property tests (MINUTES=60)
	@$(BIN)/python tests/explore.py $(MINUTES)

notebooks: $(STAMP) ## run all notebooks anew, in place (ONLY=04 for one chapter)
	@$(BIN)/python book/run_notebooks.py $(ONLY)

starter: $(STAMP) ## write the assignments' notebooks for students to starter/
	@$(BIN)/python -m assignments starter starter

gradescope: $(STAMP) ## write the assignments' packages for Gradescope to gradescope/
	@$(BIN)/python -m assignments gradescope gradescope

replicate: $(STAMP) ## run every chapter for 20 other seeds (hours; Ctrl-C keeps what is done)
	@$(BIN)/python -m benchmarks replication

# What is built and tested does not need the editor, and some of what it brings along slows the build: so it has an
# environment of its own, which sees everything in the other.
LAB := $(VENV)/lab
$(LAB)/.installed: $(STAMP)
	@$(BIN)/python -m venv $(LAB)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > $$($(LAB)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/book.pth
	@$(LAB)/bin/python -m pip install --quiet --constraint requirements.txt "jupyterlab>=4"
	@touch $@

lab: $(LAB)/.installed ## open the chapters in Jupyter, to run and to change them
	@$(LAB)/bin/python -m jupyterlab --notebook-dir=notebooks

bench: $(STAMP) ## run the benchmarks and store their results in book/results
	@$(BIN)/python -m benchmarks

serve: book ## build, then serve the pages on localhost (PORT=8000)
	@echo "http://localhost:$(PORT)/  (stop with Ctrl-C)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(PAGES) $(PORT)

clean: ## remove what building and testing made; the environment stays
	rm -rf _build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
