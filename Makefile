# The commands of this project. `make` lists them.

BIN := .venv/bin
SERVER := $(BIN)/taskbadger-server
BIND ?= 127.0.0.1:8000
JOBS ?= 2
KILLS ?= 1000
RETRIES ?= 1000
STORM ?= 10000
UPGRADE ?= 1000000
FIRST ?= 100000
WRITES ?= 50000
CUTS ?= 30
HOSTILE ?= 10000
SLOW_CLIENTS ?= 300
SOAK ?= 150000
JUMPS ?= 60
DEAD_QUEUED ?= 1000
BACKUPS ?= 10
BACKUP_TASKS ?= 200000
DATABASE_TIMEOUT ?= 1
TEMPLATES := taskbadger/blueprints taskbadger/channels
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Each process would compile the code anew, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

# In a folder that was moved or copied, or after an upgrade of Python, .venv is of no use.
ifneq ($(wildcard .venv/installed*),)
ifneq ($(shell $(BIN)/python -Ic 'import os, taskbadger_server as ours; \
    print(os.path.samefile(ours.__file__, "taskbadger_server.py"))' 2>/dev/null),True)
$(shell rm -rf .venv)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help serve seed test newest coverage check lint front types format docs bench faults

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

serve: .venv/installed instance/secret_key ## set up and run the server; BIND=host:port
	@$(SERVER) serve --demo --bind $(BIND) $(ARGS)

seed: .venv/installed instance/secret_key ## add demo tasks; ARGS="--tasks 1000000" adds more
	$(SERVER) db upgrade
	$(SERVER) seed $(ARGS)

test: .venv/installed-test ## run all tests; ARGS="-k name" selects some
	$(PYTEST) $(ARGS)

newest: .venv/installed-test ## try the main things with the newest packages that setup.cfg allows
	tools/newest.sh $(ARGS)

coverage: .venv/installed-test ## run all tests and measure which lines they run; slower
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=97

check: lint front types docs ## run all other checks: style, layers, pages, types, documents

lint: .venv/installed-check ## check style and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/shellcheck taskbadger/blueprints/doors/static/*.sh

front: .venv/installed-check node_modules/.installed ## check scripts, styles and templates
	node_modules/.bin/biome ci --error-on-warnings
	$(BIN)/djhtml --check --tabwidth 2 $(TEMPLATES)
	$(BIN)/djlint --lint --quiet $(TEMPLATES)

types: .venv/installed-check ## check types
	$(BIN)/mypy

docs: .venv/installed-check node_modules/.installed ## check the documents and the OpenAPI document
	$(BIN)/python -m pytest -q tests/test_docs.py
	mkdir -p .cache
	$(SERVER) openapi write .cache/openapi.json
	$(BIN)/openapi-spec-validator .cache/openapi.json
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true node_modules/.bin/redocly lint .cache/openapi.json

format: .venv/installed-check node_modules/.installed ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	node_modules/.bin/biome check --write
	$(BIN)/djhtml --tabwidth 2 $(TEMPLATES)

bench: .venv/installed-test ## benchmark the API against a bare Flask route, and keep the result
	PYTHONPATH=. $(BIN)/python bench/keep.py api batch $(ARGS)

faults: .venv/installed-test ## run the fault tests at full size; KILLS=…, WRITES=…, CUTS=…, HOSTILE=…, SLOW_CLIENTS=…, SOAK=…, JUMPS=…, DEAD_QUEUED=…, BACKUPS=…, BACKUP_TASKS=…, RETRIES=…, STORM=…, UPGRADE=…, FIRST=…
	TASKBADGER_TEST_KILLS=$(KILLS) TASKBADGER_TEST_STORM=$(STORM) TASKBADGER_TEST_WRITES=$(WRITES) TASKBADGER_TEST_CUTS=$(CUTS) TASKBADGER_TEST_HOSTILE=$(HOSTILE) \
	    TASKBADGER_TEST_DATABASE_TIMEOUT=$(DATABASE_TIMEOUT) TASKBADGER_TEST_SLOW_CLIENTS=$(SLOW_CLIENTS) TASKBADGER_TEST_SOAK=$(SOAK) TASKBADGER_TEST_JUMPS=$(JUMPS) \
	    TASKBADGER_TEST_DEAD_QUEUED=$(DEAD_QUEUED) TASKBADGER_TEST_BACKUPS=$(BACKUPS) TASKBADGER_TEST_BACKUP_TASKS=$(BACKUP_TASKS) \
	    TASKBADGER_TEST_RETRIES=$(RETRIES) TASKBADGER_TEST_UPGRADE=$(UPGRADE) TASKBADGER_TEST_FIRST=$(FIRST) TASKBADGER_TEST_EVERYTHING=1 \
	    $(BIN)/python -m pytest -q tests/faults tests/acceptance/test_sdk_celery_retries.py \
	    tests/acceptance/test_incident_mail.py tests/acceptance/test_crontabs.py tests/worker/test_embedded.py tests/test_serving.py $(ARGS)

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "Biome (scripts and styles) and Redocly CLI (OpenAPI) need Node.js with npm." \
	    "Debian: apt-get install nodejs npm; macOS: brew install node." >&2; exit 1; }
	npm ci --silent
	@touch $@

.venv/installed: setup.cfg pyproject.toml requirements.lock tools/install.sh
	tools/install.sh
	@touch $@

.venv/installed-test: setup.cfg pyproject.toml requirements.lock requirements-test.lock tools/install.sh
	tools/install.sh test
	@touch $@

.venv/installed-check: setup.cfg pyproject.toml requirements.lock requirements-test.lock tools/install.sh
	tools/install.sh test,check
	@touch $@

instance/secret_key: | .venv/installed
	@umask 077 && mkdir -p instance
	@umask 077 && $(BIN)/python -c 'import secrets; print(secrets.token_hex(32))' >$@.new
	@mv $@.new $@
