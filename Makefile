# make demo and make test are the two commands of the README; both set everything up first and skip what is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready-$(shell cat pyproject.toml constraints.txt 2>/dev/null | cksum | cut -d' ' -f1)
RECIPE ?= data/recipes/tiny.yaml
EXIT ?=
MONTHS ?= 2
EXPERIMENTS ?= core report
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false
export OMP_WAIT_POLICY ?= passive

.PHONY: setup page demo test check bench experiments serve

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@sh .ci/tools $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python cannot make a virtual environment: install the venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Setting up .venv (the first time takes about 10 minutes: llama.cpp is compiled for this machine)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	CMAKE_ARGS="$${CMAKE_ARGS:--DLLAVA_BUILD=OFF}" $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]"
	@$(MAKE) --no-print-directory page
	@rm -f $(VENV)/.ready-*
	@touch $@

page:
	@sh .ci/page-assets $(BIN)

demo: setup
	$(BIN)/perennial demo --recipe $(RECIPE) --months $(MONTHS) $(if $(EXIT),--exit,)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup
	$(BIN)/python -m bench

experiments: setup
	$(BIN)/python -m experiments $(EXPERIMENTS)

serve: setup
	$(BIN)/perennial up
