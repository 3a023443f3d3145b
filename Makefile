# The commands of this project. `make` alone lists them.

BIN := .venv/bin
SERVER := $(BIN)/taskbadger-server
BIND ?= 127.0.0.1:8000
JOBS ?= 2
KILLS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help serve seed test check lint types format docs bench faults

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

serve: .venv/installed instance/secret_key ## set everything up and run the server on BIND
	$(SERVER) serve --demo --bind $(BIND) $(ARGS)

seed: .venv/installed instance/secret_key ## add demo tasks; ARGS="--tasks 1000000" adds many
	$(SERVER) db upgrade
	$(SERVER) seed $(ARGS)

test: .venv/installed-test ## run all tests; ARGS="-k name" chooses
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile \
	    --cov --cov-report=term:skip-covered $(ARGS)

check: lint types docs ## all checks that are not tests: what CI runs beside them

lint: .venv/installed-check ## check style and the layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/installed-check ## check types
	$(BIN)/mypy

docs: .venv/installed-check ## check the documents and the OpenAPI document
	$(BIN)/python -m pytest -q tests/test_docs.py
	mkdir -p .cache
	$(SERVER) openapi write .cache/openapi.json
	$(BIN)/openapi-spec-validator .cache/openapi.json

format: .venv/installed-check ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-test ## measure requests against a bare Flask route
	PYTHONPATH=. $(BIN)/python bench/api.py $(ARGS)

faults: .venv/installed-test ## the long fault trials: kills, power cuts, full disks
	TASKBADGER_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -q tests/faults $(ARGS)

.venv/installed: setup.cfg pyproject.toml requirements.lock tools/install.sh
	tools/install.sh
	@touch $@

.venv/installed-test: setup.cfg pyproject.toml requirements.lock tools/install.sh
	tools/install.sh test
	@touch $@

.venv/installed-check: setup.cfg pyproject.toml requirements.lock tools/install.sh
	tools/install.sh test,check
	@touch $@

instance/secret_key: | .venv/installed
	@umask 077 && mkdir -p instance
	@umask 077 && $(BIN)/python -c 'import secrets; print(secrets.token_hex(32))' >$@.new
	@mv $@.new $@
