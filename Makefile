# make setup: the serving environment in .venv, and the face detector's files.
# make serve, make test, make check: what their names say. Re-running any of them is quick and changes nothing.

HOST ?= $(or $(AGELENS_HOST),127.0.0.1)
PORT ?= $(or $(AGELENS_PORT),8000)
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)

# What installs has an environment of its own, .venv-setup, and none of it lies beside what serves: pip brings the locked
# uv and what builds the project, and uv makes the other environments what their locks say. uv does not read pip's
# settings, so it is told of an index that pip was told of.
TOOLS := .venv-setup/.tools
UV = UV_DEFAULT_INDEX="$(INDEX)" .venv-setup/bin/uv pip
INDEX = $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL),$(shell .venv-setup/bin/python -m pip config get global.index-url 2>/dev/null))
WITH_TOOLS := PYTHONPATH=$$(echo $$PWD/.venv-setup/lib/python3*/site-packages)
define INSTALL # environment, locks, --exact to take away what is not in them
	@$(UV) install --python $(1)/bin/python --require-hashes --no-deps $(3) $(2:%=--requirement requirements/%)
	@$(WITH_TOOLS) $(UV) install --quiet --python $(1)/bin/python --offline --no-deps --no-build-isolation --editable .
	@touch $@
endef

SERVE := .venv/.serve
DEV := .venv/.dev
TRAINING := .venv-training/.training

.PHONY: setup setup-dev setup-training serve test test-browser check test-image audit format lock clean python
.DELETE_ON_ERROR:

setup: $(SERVE)
	@$(WITH_TOOLS) .venv/bin/python -m service.inference.detection.download

# Extras of the package beside what serves: make extras EXTRAS=otel,heif
.PHONY: extras
extras: setup
	@test -n "$(EXTRAS)" || { echo "name them, as in: make extras EXTRAS=otel,heif" >&2; exit 1; }
	$(UV) install --python .venv/bin/python --editable '.[$(EXTRAS)]'

setup-dev: setup $(DEV)

setup-training: setup $(TRAINING)

serve: address setup
	.venv/bin/agelens serve --host $(HOST) --port $(PORT)

test: setup-dev setup-training
	.venv/bin/python -m pytest tests/service tests/packaging tests/docs
	@$(MAKE) --no-print-directory -j 2 test-fit test-other-training

# Two halves of training's tests side by side, a processor each: TensorFlow hardly uses two for networks as small.
# Where no bytecode is written, each of a dozen processes compiles TensorFlow anew.
TEST_TRAINING := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 \
	.venv-training/bin/python -m pytest
.PHONY: test-fit test-other-training
FIRST_HALF := $(addprefix tests/training/,ablation cli fit recipes teaching test_guide.py tracking)
test-fit:
	@bash -o pipefail -c "$(TEST_TRAINING) $(FIRST_HALF) 2>&1 | sed -u 's/^/1: /'"

test-other-training:
	@bash -o pipefail -c "$(TEST_TRAINING) tests/training tests/contract $(addprefix --ignore=,$(FIRST_HALF)) 2>&1 \
		| sed -u 's/^/2: /'"

# A cluster of two nodes on this machine, one of them killed: minutes, and as much memory as Ray takes.
.PHONY: test-cluster
test-cluster: setup-dev
	.venv/bin/python -m pytest tests/cluster

# The page in real Chromium, Debian's package: installed where it is missing and this is root.
test-browser: setup-dev
	@for tool in chromium curl; do command -v $$tool >/dev/null && continue; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "installing $$tool"; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$tool >/dev/null || exit 1; \
	else echo "make test-browser needs $$tool (Debian: sudo apt-get install chromium curl)" >&2; exit 1; fi; done
	.venv/bin/python -m pytest tests/browser

# HTTP clients of other languages, Debian's packages: installed where they are missing and this is root. Clients that are
# generated from the OpenAPI document, by tools that the test installs into its own folder.
.PHONY: test-clients
test-clients: setup-dev
	@for tool in curl:curl java:default-jdk-headless node:nodejs; do command -v $${tool%%:*} >/dev/null && continue; \
	package=$${tool##*:}; if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "installing $$package"; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$package >/dev/null || exit 1; \
	else echo "make test-clients needs $$package (Debian: sudo apt-get install $$package)" >&2; exit 1; fi; done
	UV_DEFAULT_INDEX="$(call INDEX,.venv)" .venv/bin/python -m pytest tests/clients

# ONNX Runtime built with OpenVINO answers as the plain one. It takes the place of that, in an environment of its own.
OPENVINO := .venv-openvino/.openvino
.PHONY: test-openvino
test-openvino: x86-64 setup $(OPENVINO)
	.venv-openvino/bin/python -m pytest tests/openvino

.PHONY: x86-64
x86-64:
	@test "$$(uname -m)" = x86_64 || { echo "make test-openvino needs an x86-64 processor" >&2; exit 1; }

check: setup-dev setup-training check-platforms
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy agelens service docs/generate tests/service tests/packaging tests/docs tests/browser tests/clients \
		tests/image tests/cluster tests/openvino
	.venv-training/bin/mypy training tests/training tests/contract benchmarks

# Builds the image with buildah, runs it without a network, and checks the files that deploy it.
# Needs root and Debian's buildah, debootstrap and prometheus (for promtool); says so if one is missing.
test-image: setup-dev
	docker/build-image.sh agelens:test
	unshare --net sh -c 'ip link set lo up && exec .venv/bin/python -m pytest tests/image'
	for file in deployment service disruption network; do \
		.venv/bin/kubernetes-validate --strict --quiet docker/kubernetes/$$file.yaml || exit 1; done
	promtool check rules docker/alerts.yml

# Trains on torch and exports that run. Torch and its libraries are 5 GB and in no lock: the newest is fetched.
.PHONY: test-torch
test-torch: setup-training
	$(UV) install --quiet --python .venv-training/bin/python --target build/torch --upgrade torch
	PYTHONPATH=build/torch .venv-training/bin/python -m pytest tests/contract/test_smoke.py -k torch

# Whether what is locked for serving can be installed elsewhere than here: asks the package index, installs nothing.
.PHONY: check-platforms
check-platforms: setup-dev
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do for python in 3.11 3.12 3.13; do \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(UV) install --dry-run --quiet \
			--target build/platforms --python-platform $$platform --python-version $$python --only-binary :all: \
			--no-deps --require-hashes --requirement requirements/serve.txt || exit 1; done; done

# Asks the package index for known vulnerabilities of every locked package, so it needs an index that tells them.
audit: setup-dev
	.venv/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/training.txt
	.venv/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/build.txt

format: setup-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Keeps what is locked and adds what pyproject.toml newly asks for; UPGRADE=--upgrade takes the newest of everything.
# training.txt comes first and constrains the others: both environments decode, crop and infer with the same versions.
COMPILE = $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(UPGRADE)
DEVELOP := pyproject.toml --group dev --extra heif --extra openvino --extra otel --extra ray

lock: $(TOOLS)
	$(COMPILE) $(DEVELOP) --extra training --extra mediapipe --extra wandb -o requirements/training.txt
	$(COMPILE) $(DEVELOP) -c requirements/training.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/training.txt -o requirements/serve.txt
	$(COMPILE) --group build -c requirements/training.txt -o requirements/build.txt
	$(COMPILE) --group sbom -c requirements/training.txt -o requirements/sbom.txt
	$(COMPILE) --group docs -c requirements/training.txt -o requirements/docs.txt
	$(COMPILE) --group clients -o requirements/clients.txt # another typer than ours
	$(COMPILE) pyproject.toml --group openvino -c requirements/training.txt --no-emit-package onnxruntime \
		-o requirements/openvino.txt

clean:
	rm -rf .venv .venv-training .venv-docs .venv-openvino .venv-setup build dist .mypy_cache .pytest_cache .ruff_cache

python:
	@test -n "$(PYTHON)" || { echo "agelens needs Python 3.11, 3.12 or 3.13 with its venv module; none was found. \
	Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c "$$LOCKED_FOR" || { echo "agelens is installed on Linux (x86-64 or ARM64, glibc 2.28 or later) and on macOS \
	(Apple silicon); elsewhere, run it in Docker: docs/quickstart.md" >&2; exit 1; }

# The machines that requirements/ is locked for; see check-platforms.
define LOCKED_FOR
import platform, sys
libc, version = platform.libc_ver()
known = (sys.platform, platform.machine()) in (('linux', 'x86_64'), ('linux', 'aarch64'), ('darwin', 'arm64'))
glibc = libc == 'glibc' and [int(part) for part in version.split('.')[:2]] >= [2, 28]
sys.exit(not (known and platform.python_implementation() == 'CPython' and (glibc or sys.platform == 'darwin')))
endef
export LOCKED_FOR

# Minutes of installing are not to end at a port that another program uses.
.PHONY: address
address: python
	@$(PYTHON) -c "import socket, sys; host, port = sys.argv[1:]; socket.create_server((host, int(port)), \
	family=socket.AF_INET6 if ':' in host else socket.AF_INET)" "$(HOST)" "$(PORT)" 2>/dev/null || { \
	echo "$(HOST):$(PORT) cannot be listened on; choose another port or host: make serve PORT=8001 HOST=127.0.0.1" >&2; exit 1; }

.venv/bin/python .venv-training/bin/python .venv-docs/bin/python .venv-openvino/bin/python: | python
	@echo "creating $(patsubst %/bin/python,%,$@) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --without-pip $(patsubst %/bin/python,%,$@)

$(TOOLS): requirements/build.txt | python
	@echo "creating .venv-setup, which installs the others"
	@test -x .venv-setup/bin/python || $(PYTHON) -m venv .venv-setup
	@.venv-setup/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--requirement requirements/build.txt
	@touch $@

$(SERVE): requirements/serve.txt pyproject.toml | $(TOOLS) .venv/bin/python
	@echo "installing what serving needs into .venv"
	$(call INSTALL,.venv,serve.txt)
	@# Compiled once and here: a start takes half as long as where it compiles, and some machines never keep what it makes.
	@env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -c "import service.cli.main, service.api.server"

$(DEV): $(SERVE) requirements/build.txt requirements/dev.txt
	@echo "installing the developer's tools into .venv"
	$(call INSTALL,.venv,build.txt dev.txt,--exact)

$(TRAINING): requirements/build.txt requirements/training.txt pyproject.toml | $(TOOLS) .venv-training/bin/python
	@echo "installing what training needs into .venv-training"
	$(call INSTALL,.venv-training,build.txt training.txt,--exact)

# The running service under load and abuse, two hours or so; `make soak WHAT="bombs drain"` for some of it, MINUTES=5
# for a shorter `adversarial`, PICTURES=10000 for fewer `mutations`.
.PHONY: soak
soak: setup-dev
	.venv/bin/python -m benchmarks.soak $(WHAT) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PICTURES),--pictures $(PICTURES))

# Every figure of the docs, measured here, an hour and a half on an idle machine: prints tables and writes
# benchmarks/results/. `make bench WHAT="stages server"` for some; LABELLED=FOLDER (index.csv with file, age, split, and
# images/) for those that need photographs of known age; QUICK=--quick to see that everything runs.
.PHONY: bench
bench: setup-dev
	.venv/bin/python -m benchmarks $(WHAT) $(QUICK) $(if $(LABELLED),--labelled $(LABELLED))

# The documents as a site in build/site, with their tables as code and measurements say. Fails where a link leads nowhere.
# Its tool has an environment of its own, .venv-docs.
DOCS := .venv-docs/.docs
.PHONY: docs
docs: setup-dev $(DOCS)
	.venv/bin/python -m docs.generate
	.venv-docs/bin/zensical build --clean --strict
	@rm -rf build/site/generate

$(OPENVINO): requirements/openvino.txt pyproject.toml | x86-64 $(TOOLS) .venv-openvino/bin/python
	@echo "installing ONNX Runtime with OpenVINO into .venv-openvino"
	$(call INSTALL,.venv-openvino,openvino.txt,--exact)

$(DOCS): requirements/docs.txt | $(TOOLS) .venv-docs/bin/python
	@echo "installing what the documents' site needs into .venv-docs"
	@$(UV) install --python .venv-docs/bin/python --require-hashes --no-deps --exact --requirement requirements/docs.txt
	@touch $@
