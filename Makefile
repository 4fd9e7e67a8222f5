# make demo | demo-colour | faces | eyes | gallery | test | test-all | test-next | bench-gpu | lock | check | docs | docs-check | clean; each creates .venv when it must.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell for v in python3.13 python3.12 python3.11 python3.10 python3; do \
	$$v -c 'import sys; sys.exit(not (3,10) <= sys.version_info < (3,14))' 2>/dev/null && echo $$v && break; done)
BIN := .venv/bin
# Threads that wait sleep: on a machine shared with others, spinning ones slow a run down tenfold.
export OMP_WAIT_POLICY ?= PASSIVE
DEMO := outputs/demo
DEMO_EXPERIMENT := demo

# What comes next: another environment, the newest of everything, pre-releases of what is named, and the newest
# Python at hand even where ganlab does not claim it. A failure is news, not an error of this checkout.
NEXT_PYTHON ?= $(shell command -v python3.14 || echo "$(PYTHON)")
NEXT := 'hydra-core>=1.4.0rc1' 'omegaconf>=2.4.1rc1' torch lightning
# Of our own limit alone may pip be told nothing: else it takes versions that this Python cannot build.
NEXT_LIMITS = $(shell "$(NEXT_PYTHON)" -c 'import sys; sys.version_info < (3, 14) or print("--ignore-requires-python")')
NEXT_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: help demo demo-colour faces eyes gallery test test-all test-next bench-gpu lock check format docs docs-serve docs-links docs-check clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.core: pyproject.toml constraints.txt scripts/install
	@PYTHON="$(PYTHON)" scripts/install .
	@touch $@

.venv/.test: .venv/.core
	@PYTHON="$(PYTHON)" scripts/install '.[test]'
	@touch $@

.venv/.test-all: .venv/.test
	@PYTHON="$(PYTHON)" scripts/install '.[test,slurm,ray,hub,onnx,tiff,parquet,huggingface,video,docs,mlflow,trackio,app]'
	@touch $@

.venv/.docs: .venv/.core
	@PYTHON="$(PYTHON)" scripts/install '.[docs]'
	@touch $@

# Interrupted, the demo goes on from its last checkpoint; finished, it prints its report's path at once.
$(DEMO)/train/.done: | .venv/.core
	@$(BIN)/python train.py experiment=$(DEMO_EXPERIMENT) hydra.run.dir=$(DEMO)/train resume=auto
	@touch $@

$(DEMO)/activation_rates/.done: $(DEMO)/train/.done
	@$(BIN)/python evaluate.py ckpt=$(DEMO)/train/checkpoints/last.ckpt study=activation_rates \
		study.num_latents=4000 hydra.run.dir=$(@D)
	@touch $@

$(DEMO)/sequential_ablation/.done: $(DEMO)/train/.done
	@$(BIN)/python evaluate.py ckpt=$(DEMO)/train/checkpoints/last.ckpt study=sequential_ablation \
		study.num_latents=4000 study.latents=0:1000 'study.rates=[0.3,0.5]' \
		'study.layer_sets=[[1],[1,2]]' hydra.run.dir=$(@D)
	@touch $@

demo: $(DEMO)/train/.done $(DEMO)/activation_rates/.done $(DEMO)/sequential_ablation/.done ## train DCGAN on Fashion-MNIST, score it, look into its neurons, write one report
	@$(BIN)/python -m ganlab report $(DEMO)/train $(DEMO)/activation_rates $(DEMO)/sequential_ablation

demo-colour: ## the same on emoji, 64 px in colour; fetches 17 MB once
	@$(MAKE) demo DEMO=outputs/demo_colour DEMO_EXPERIMENT=emoji_demo

gallery: .venv/.core ## train the small preset of every model, half an hour each at most; interrupted, it goes on; writes docs/gallery
	@$(BIN)/python scripts/gallery.py $(GALLERY)
# A DCGAN of faces trained elsewhere (ckpt=faces): rates of all layers, then the studies that read them.
FACES := outputs/faces
FACES_RATES := study.num_latents=10000 study.rates_file=$(FACES)/activation_rates

$(FACES)/activation_rates/.done: | .venv/.core
	@$(BIN)/python evaluate.py ckpt=faces study=activation_rates study.num_latents=10000 hydra.run.dir=$(@D)
	@touch $@

$(FACES)/artifact_detection/.done: $(FACES)/activation_rates/.done
	@$(BIN)/python evaluate.py ckpt=faces study=artifact_detection $(FACES_RATES) 'study.layers=[0,1]' \
		study.num_samples=10000 study.num=500 study.num_shown=36 hydra.run.dir=$(@D)
	@touch $@

$(FACES)/sequential_ablation/.done: $(FACES)/artifact_detection/.done
	@$(BIN)/python evaluate.py ckpt=faces study=sequential_ablation $(FACES_RATES) features=classifier \
		study.latents=$(FACES)/artifact_detection study.num_artifacts=500 'study.layer_sets=[[0],[1],[0,1]]' \
		'study.rates=[0.3,0.2,0.1]' 'study.high_rates=[0.3]' study.num_shown=12 hydra.run.dir=$(@D)
	@touch $@

$(FACES)/neuron_figures/.done: $(FACES)/artifact_detection/.done
	@$(BIN)/python evaluate.py ckpt=faces study=neuron_figures $(FACES_RATES) \
		study.latents=$(FACES)/artifact_detection 'study.layers=[0,1]' hydra.run.dir=$(@D)
	@touch $@

faces: $(addprefix $(FACES)/,$(addsuffix /.done,activation_rates artifact_detection sequential_ablation neuron_figures)) ## which neurons spoil a face generator's images: detection, ablation, figures, one report
	@$(BIN)/python -m ganlab report $(FACES)/artifact_detection $(FACES)/sequential_ablation $(FACES)/neuron_figures $(FACES)/activation_rates

# A conditional DCGAN of painted eyes trained elsewhere (ckpt=eyes): a column a colour, then its neurons.
EYES := outputs/eyes
EYES_RATES := study.num_latents=4000 study.rates_file=$(EYES)/activation_rates

$(EYES)/samples/.done: | .venv/.core
	@$(BIN)/python evaluate.py ckpt=eyes study=samples study.num=64 hydra.run.dir=$(@D)
	@touch $@

$(EYES)/activation_rates/.done: | .venv/.core
	@$(BIN)/python evaluate.py ckpt=eyes study=activation_rates study.num_latents=4000 hydra.run.dir=$(@D)
	@touch $@

$(EYES)/artifact_detection/.done: $(EYES)/activation_rates/.done
	@$(BIN)/python evaluate.py ckpt=eyes study=artifact_detection $(EYES_RATES) 'study.layers=[0,1]' \
		study.num_samples=4000 study.num=200 study.num_shown=36 hydra.run.dir=$(@D)
	@touch $@

$(EYES)/sequential_ablation/.done: $(EYES)/artifact_detection/.done
	@$(BIN)/python evaluate.py ckpt=eyes study=sequential_ablation $(EYES_RATES) features=classifier \
		study.latents=$(EYES)/artifact_detection study.num_artifacts=200 'study.layer_sets=[[0],[1],[0,1]]' \
		'study.rates=[0.3,0.2,0.1]' 'study.high_rates=[0.3]' study.num_shown=12 hydra.run.dir=$(@D)
	@touch $@

eyes: $(addprefix $(EYES)/,$(addsuffix /.done,samples activation_rates artifact_detection sequential_ablation)) ## images of a generator of painted eyes by colour, their rare neurons, and what is left without them, one report
	@$(BIN)/python -m ganlab report $(EYES)/samples $(EYES)/artifact_detection $(EYES)/sequential_ablation $(EYES)/activation_rates

test: .venv/.test ## the whole suite
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: .venv/.test-all ## the suite with its long checks and the engines of clusters
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-next: ## the suite on pre-releases of Hydra, the newest torch and lightning, Python 3.14 where there is one; may fail
	@"$(NEXT_PYTHON)" -m venv --clear .venv-next
	@.venv-next/bin/python -m pip --disable-pip-version-check install -q --upgrade $(NEXT_LIMITS) \
		--extra-index-url "$(NEXT_INDEX)" $(NEXT) -e '.[test]'
	@.venv-next/bin/python -m ganlab doctor
	@OMP_NUM_THREADS=1 .venv-next/bin/python -m pytest -n auto --dist loadfile -m "not slow"

bench-gpu: .venv/.core ## what a GPU makes of the training steps, in under nine minutes; writes outputs/gpu.json
	@$(BIN)/python benchmarks/gpu.py --out outputs/gpu.json

lock: .venv/.test ## write requirements.lock, every package of the environment of the tests by its version
	@$(BIN)/python scripts/lock.py

check: .venv/.test ## lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.test ## let ruff rewrite the files
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs-check: .venv/.test ## compare every number in the docs with its run's result.json
	@$(BIN)/python scripts/docs_check.py

docs: .venv/.docs ## the site, from docs/, conf/ and the docstrings, into docs/_build
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-serve: docs ## the site at http://127.0.0.1:8000
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build/html 8000

docs-links: .venv/.docs ## whether every address outside of the site answers; needs a network
	@$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/links

clean: ## remove the environment, the demo, the faces and the eyes
	rm -rf .venv .venv-next docs/_build docs/keys $(DEMO) $(FACES) $(EYES)
