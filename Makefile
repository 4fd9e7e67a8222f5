# make demo | gallery | test | test-all | check | docs-check | clean; each creates .venv when it must.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell for v in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$v -c 'import sys; sys.exit(not (3,10) <= sys.version_info < (3,14))' 2>/dev/null && echo $$v && break; done)
BIN := .venv/bin
# Threads that wait sleep: on a machine shared with others, spinning ones slow a run down tenfold.
export OMP_WAIT_POLICY ?= PASSIVE
DEMO := outputs/demo

.PHONY: help demo gallery test test-all check format docs-check clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.core: pyproject.toml constraints.txt scripts/install
	@PYTHON="$(PYTHON)" scripts/install .
	@touch $@

.venv/.test: .venv/.core
	@PYTHON="$(PYTHON)" scripts/install '.[test]'
	@touch $@

# Interrupted, the demo goes on from its last checkpoint; finished, it prints its report's path at once.
$(DEMO)/train/.done: | .venv/.core
	@$(BIN)/python train.py experiment=demo hydra.run.dir=$(DEMO)/train \
		$(if $(wildcard $(DEMO)/train/checkpoints/last.ckpt),ckpt=$(DEMO)/train/checkpoints/last.ckpt)
	@touch $@

$(DEMO)/activation_rates/.done: $(DEMO)/train/.done
	@$(BIN)/python evaluate.py ckpt=$(DEMO)/train/checkpoints/last.ckpt study=activation_rates \
		study.num_latents=4000 hydra.run.dir=$(@D)
	@touch $@

$(DEMO)/sequential_ablation/.done: $(DEMO)/train/.done
	@$(BIN)/python evaluate.py ckpt=$(DEMO)/train/checkpoints/last.ckpt study=sequential_ablation \
		study.num_latents=4000 'study.layer_sets=[[1],[1,2]]' hydra.run.dir=$(@D)
	@touch $@

demo: $(DEMO)/train/.done $(DEMO)/activation_rates/.done $(DEMO)/sequential_ablation/.done ## train DCGAN on Fashion-MNIST, score it, look into its neurons, write one report
	@$(BIN)/python -m ganlab report $(DEMO)/train $(DEMO)/activation_rates $(DEMO)/sequential_ablation

gallery: .venv/.core ## train the small preset of every model, hours; interrupted, it goes on; writes docs/gallery
	@$(BIN)/python scripts/gallery.py $(GALLERY)

test: .venv/.test ## the whole suite
	@$(BIN)/python -m pytest -m "not slow"

test-all: .venv/.test ## the suite with its long checks
	@$(BIN)/python -m pytest

check: .venv/.test ## lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.test ## let ruff rewrite the files
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs-check: .venv/.test ## compare every number in the docs with its run's result.json
	@$(BIN)/python scripts/docs_check.py

clean: ## remove the environment and the demo
	rm -rf .venv $(DEMO)
