# make setup: the serving environment in .venv, and the face detector's files.
# make serve, make test, make check: what their names say. Re-running any of them is quick and changes nothing.

HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)

# Every package is in the locks with its hash, so pip has nothing to resolve.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
PROJECT := -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .

SERVE := .venv/.serve
DEV := .venv/.dev
TRAINING := .venv-training/.training

.PHONY: setup setup-dev setup-training serve test check format lock clean python
.DELETE_ON_ERROR:

setup: $(SERVE)
	@.venv/bin/python -m service.native_libraries
	@.venv/bin/python -m service.detector_files

setup-dev: setup $(DEV)

setup-training: setup $(TRAINING)

serve: setup
	.venv/bin/agelens serve --host $(HOST) --port $(PORT)

test: setup-dev setup-training
	.venv/bin/python -m pytest tests/unit tests/service
	.venv-training/bin/python -m pytest tests/training tests/contract

check: setup-dev setup-training
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy service tests/unit tests/service
	.venv-training/bin/mypy training tests/training tests/contract

format: setup-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Keeps what is locked and adds what pyproject.toml newly asks for; UPGRADE=--upgrade takes the newest of everything.
# training.txt comes first and constrains the others: both environments decode, crop and infer with the same versions.
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(UPGRADE)
EXTRAS := --extra heif --extra openvino --extra otel --extra ray

lock: $(DEV)
	$(COMPILE) pyproject.toml $(EXTRAS) --extra training --extra wandb --group dev -o requirements/training.txt
	$(COMPILE) pyproject.toml $(EXTRAS) --group dev -c requirements/training.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/training.txt -o requirements/serve.txt
	$(COMPILE) --group build -o requirements/build.txt

clean:
	rm -rf .venv .venv-training build dist .mypy_cache .pytest_cache .ruff_cache

python:
	@test -n "$(PYTHON)" || { echo "agelens needs Python 3.11, 3.12 or 3.13 with its venv module; none was found. \
	Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }

.venv/bin/python .venv-training/bin/python: | python
	@echo "creating $(patsubst %/bin/python,%,$@) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(SERVE): requirements/build.txt requirements/serve.txt pyproject.toml | .venv/bin/python
	@echo "installing what serving needs into .venv"
	@.venv/bin/python $(INSTALL) -r requirements/build.txt -r requirements/serve.txt
	@.venv/bin/python $(PROJECT)
	@touch $@

$(DEV): $(SERVE) requirements/dev.txt
	@echo "installing the developer's tools into .venv"
	@.venv/bin/python $(INSTALL) -r requirements/dev.txt
	@touch $@

$(TRAINING): requirements/build.txt requirements/training.txt pyproject.toml | .venv-training/bin/python
	@echo "installing what training needs into .venv-training (TensorFlow among it: some minutes)"
	@.venv-training/bin/python $(INSTALL) -r requirements/build.txt -r requirements/training.txt
	@.venv-training/bin/python $(PROJECT)
	@touch $@
