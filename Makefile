# `make` alone lists what there is. Everything sets itself up first; nothing needs root or Docker.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
UV_COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
COMPOSE := docker compose --profile platform
SOURCES = $(wildcard libs/*/src services/*/src tools/*/src)
# Arguments for pytest, such as ARGS="-k outbox -x"
ARGS ?=
# A worker a core, and one that has nothing left takes over another's; WORKERS=0 runs one test after another.
WORKERS ?= auto
PARALLEL = -n $(WORKERS) --dist worksteal

##@ Start here
.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Play a café's day of trade through all five services; runs until Ctrl-C
	$(PY) -m passferry_demo

.PHONY: demo-check
demo-check: setup ## The same without a screen: ends by itself, non-zero when anything is not reconciled
	$(PY) -m passferry_demo --check

.PHONY: test
test: setup ## Every test but the slow suites, against real Kafka, Postgres and Redis
	$(PY) -m pytest $(PARALLEL) -m "not slow" $(ARGS)

.PHONY: setup
setup: ## Make .venv and fetch what the backends need; does nothing when all is there
	@./tools/setup/setup.sh

##@ Checks
.PHONY: check
check: lint types arch test ## Everything that must be green before a commit

.PHONY: lint
lint: setup ## Ruff
	$(PY) -m ruff check .

.PHONY: fmt
fmt: setup ## Format and fix what can be fixed
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.PHONY: types
types: setup ## mypy --strict over all sources
	$(PY) -m mypy $(SOURCES)

.PHONY: arch
arch: setup ## Which package may import which
	.venv/bin/lint-imports

##@ Tests in parts
.PHONY: test-unit
test-unit: setup ## Tests without backends
	$(PY) -m pytest $(PARALLEL) -m "not integration and not e2e and not slow" $(ARGS)

.PHONY: test-integration
test-integration: setup ## Tests of one part against real backends
	$(PY) -m pytest $(PARALLEL) -m "integration and not slow" $(ARGS)

.PHONY: e2e
e2e: setup ## All five services as processes
	$(PY) -m pytest -m "e2e and not slow" $(ARGS)

.PHONY: e2e-faults
e2e-faults: setup ## The slow suites: services and Kafka are killed during the day of trade
	$(PY) -m pytest -m slow --timeout 900 $(ARGS)

.PHONY: bench-end-to-end
bench-end-to-end: setup ## Events a second from command to push, and what each costs
	$(PY) bench/end_to_end.py

.PHONY: bench-ledger
bench-ledger: setup ## Commands a second of the ledger, beside its limits and peers
	$(PY) -m bench.ledger $(ARGS)

.PHONY: bench-render
bench-render: setup ## Passes that one core draws and signs, beside raw RSA and a peer
	$(PY) -m bench.render $(ARGS)

.PHONY: bench-issuer
bench-issuer: setup ## Balance changes a second until rendered, unsigned and signed, beside raw RSA
	$(PY) -m bench.issuer $(ARGS)

.PHONY: bench-issuer-bulk
bench-issuer-bulk: setup ## A file of 100,000 passes: rows a second, and peak memory
	$(PY) -m bench.issuer_bulk $(ARGS)

##@ Running it
.PHONY: backends
backends: setup ## Kafka, Postgres and Redis until Ctrl-C; prints their addresses
	$(PY) -m passferry_devstack up

.PHONY: up
up: ## The whole platform in Docker, on 127.0.0.1
	./deploy/local/prepare.sh $(COMPOSE) up --build --detach --wait

.PHONY: down
down: ## Stop it; data stays in its volumes
	./deploy/local/prepare.sh $(COMPOSE) down

##@ Upkeep
.PHONY: lock
lock: setup ## Pin the requirements anew, with hashes
	$(UV_COMPILE) requirements/build.in -o requirements/build.txt
	$(UV_COMPILE) requirements/runtime.in -o requirements/runtime.txt
	$(UV_COMPILE) requirements/dev.in -o requirements/dev.txt

.PHONY: lock-check
lock-check: setup ## Fail when a pinned file does not follow from its .in file
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; cp requirements/* "$$fresh"; \
	for name in build runtime dev; do \
		(cd "$$fresh" && "$(CURDIR)"/$(UV_COMPILE) $$name.in -o $$name.txt); \
		diff -u requirements/$$name.txt "$$fresh/$$name.txt"; \
	done

.PHONY: docs
docs: setup ## Write the generated pages
	$(PY) docs/generate.py

.PHONY: docs-check
docs-check: setup ## Fail when a generated page is out of date
	$(PY) docs/generate.py --check

.PHONY: clean
clean: ## Remove .venv, caches and the data of past runs; secrets stay
	rm -rf .venv .passferry/run .passferry/setup.lock .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
