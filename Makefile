# The few commands of this project; `make help` lists them. Everything is installed in .venv, nothing elsewhere.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

VENV := .venv
PY := $(VENV)/bin/python
UV_VERSION := 0.13.9
# The first of these that is Python 3.11 or newer makes .venv; choose another with `make start PYTHON=...`.
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python3.12 python3.13 python3.14,$(shell \
  $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

# A stamp is named for the checksum of its list: an unchanged list is not installed again.
checksum = $(shell cksum < $(1) | cut -d' ' -f1)
RUN_STAMP := $(VENV)/.run-$(call checksum,requirements.txt)
DEV_STAMP := $(VENV)/.dev-$(call checksum,requirements-dev.txt)
# In this order: those that take longest come first.
SIDE_BY_SIDE = -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder
PIP := $(PY) -m pip install --disable-pip-version-check --require-hashes

.PHONY: help start install install-dev test containers faults check format coverage lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

start: install ## Install what is missing, then run everything until Ctrl-C (make start ARGS=--verbose)
	@exec $(PY) start.py $(ARGS)

install: $(RUN_STAMP) ## Make .venv with what the service needs

install-dev: $(DEV_STAMP) ## Make .venv with what tests and checks need as well

test: install-dev ## Install what is missing, then run all tests, JOBS (2) files at once (make test ARGS="-k start")
	@$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)

containers: install-dev ## Try the image and docker-compose.yml on this machine's Docker engine
	@$(PY) -m pytest -m containers tests/containers $(ARGS)

faults: install-dev ## Break a service for MINUTES (20) in the order of SEED (1): STAGE=processes, compose, machines
	@$(PY) -m tests.faults.campaign --stage $(or $(STAGE),processes) --minutes $(or $(MINUTES),20) \
	  --seed $(or $(SEED),1) $(ARGS)

check: install-dev ## Lint, format, types, architecture, documents, Dockerfile
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	@told=$$($(PY) -m pytest -qq --collect-only -m "" 2>&1) || { echo "$$told"; exit 1; }
	$(PY) -m pytest -q tests/test_architecture.py tests/test_docs.py tests/test_guarantees.py
	$(VENV)/bin/hadolint Dockerfile

format: install-dev ## Put the source into its one format
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

coverage: install-dev ## Run all tests and show which branches none of them takes
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest $(SIDE_BY_SIDE) $(ARGS)
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage report

lock: install-dev ## Pin the newest allowed versions in requirements.txt and requirements-dev.txt
	@$(PY) -m pip install --disable-pip-version-check --quiet uv==$(UV_VERSION)
	$(PY) -m uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.txt
	$(PY) -m uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean: ## Remove .venv and caches; tasks, settings and logs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): requirements.txt | $(PY)
	@echo "Installing packages in $(VENV) (about half a minute the first time) ..."
	@$(PIP) -r requirements.txt
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_STAMP): requirements-dev.txt | $(PY)
	@echo "Installing packages for tests and checks in $(VENV) (about a minute the first time) ..."
	@$(PIP) -r requirements-dev.txt
	@rm -f $(VENV)/.dev-* $(VENV)/.run-* && touch $@ $(RUN_STAMP)

$(PY):
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Python 3.11 or newer is needed; on Debian and Ubuntu: sudo apt-get install python3 python3-venv" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
