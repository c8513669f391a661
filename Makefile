# make demo and make test are the two commands of the README; both set everything up first and skip what is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# what llama.cpp is compiled for: auto (Metal on macOS, CUDA where nvcc and a driver are), cpu, cuda, metal or vulkan
PERENNIAL_LLAMA ?= auto
STAMP := $(VENV)/.ready-$(shell (cat pyproject.toml client/pyproject.toml constraints.txt .ci/setup.py; echo $(PERENNIAL_LLAMA)) 2>/dev/null | cksum | cut -d' ' -f1)
RECIPE ?= data/recipes/tiny.yaml
EXIT ?=
MONTHS ?= 2
WORKERS ?= 4
EXPERIMENTS ?= core report
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false
export OMP_WAIT_POLICY ?= passive

.PHONY: setup page demo real test check bench experiments serve

setup: $(STAMP)

$(STAMP): pyproject.toml client/pyproject.toml constraints.txt .ci/setup.py
	@sh .ci/tools $(PYTHON)
	@echo "Setting up $(VENV): about 7 minutes on two cores the first time, most of it compiling llama.cpp"
	@PERENNIAL_LLAMA=$(PERENNIAL_LLAMA) $(PYTHON) .ci/setup.py $(VENV)
	@$(MAKE) --no-print-directory page
	@rm -f $(VENV)/.ready-*
	@touch $@

page:
	@sh .ci/page-assets $(BIN)

demo: setup
	$(BIN)/perennial demo --recipe $(RECIPE) --months $(MONTHS) $(if $(EXIT),--exit,)

real: setup
	$(BIN)/python -m real

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

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
