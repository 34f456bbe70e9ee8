# Everything a person or a pipeline does here. `make demo` and `make test` need nothing but Debian 12, Python 3.11 and git.
PYTHON ?= /usr/bin/python3.11
# Another interpreter gets an environment of its own: make test PYTHON=python3.12
VENV ?= .venv$(if $(filter-out /usr/bin/python3.11,$(PYTHON)),-$(subst /,-,$(patsubst /%,%,$(PYTHON))))
WORKERS ?= 2
DIR ?= $(CURDIR)/.lab
KEEP ?=
ARGS ?=

# Servers that the lab runs privately: package=command.
MONITORS := prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager
DATA := postgresql-15=/usr/lib/postgresql/15/bin/postgres pgbouncer=pgbouncer redis-server=redis-server \
	rabbitmq-server=/usr/lib/rabbitmq/bin/rabbitmq-server

export PYTHON VENV
BIN := $(VENV)/bin
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test test-slow test-all check format lint types arch docs bench sim chaos sim-rule build install uninstall clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: Debian packages through apt, Python packages from uv.lock into .venv
	@tools/setup

demo: ## Show everything on real parts in about a minute; KEEP=1 leaves it running
	@tools/setup $(MONITORS)
	@$(BIN)/psactl demo $(if $(KEEP),--keep) --dir $(DIR) $(ARGS)

lab: ## As demo, with real data services, and leave it running, with hints how to go on
	@tools/setup $(MONITORS) $(DATA)
	@$(BIN)/psactl demo --keep --data --dir $(DIR) $(ARGS)

test: ## All tests but the slow ones (under 10 minutes on 2 cores); ARGS goes to pytest
	@tools/setup systemd=systemd-analyze systemd-container=systemd-nspawn wrk=wrk prometheus=promtool \
		prometheus-alertmanager=amtool $(MONITORS) $(DATA)
	@$(PYTEST) -m "not slow"

test-slow: setup ## The tests that `make test` leaves out
	@$(PYTEST) -m slow || test $$? -eq 5    # 5: nothing is marked slow

test-all: test test-slow ## Every test

check: lint types arch ## What must be clean before a commit: format, lint, types, import arrows

format: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lint: setup ## Format and lint (ruff), changes nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup ## Types (mypy, strict)
	@$(BIN)/mypy

arch: setup ## Import arrows (import-linter)
	@$(BIN)/lint-imports

docs: setup ## Write docs/reference from the models
	@$(BIN)/python tools/reference.py
	@$(BIN)/python tools/phases.py
	@$(BIN)/python tools/dashboards.py
	@$(BIN)/python tools/exported.py

bench: ## Measure the figures of the design beside this machine's floor: a quarter of an hour, idle; ARGS=decision for a part
	@tools/setup wrk=wrk
	@$(BIN)/python -m tests.bench $(ARGS)

sim: setup ## The simulation and the properties again and again, in new random worlds: ROUNDS=20
	@for round in $$(seq $(or $(ROUNDS),20)); do $(PYTEST) -q tests/simulation tests/properties || exit 1; done

chaos: ## Random trouble at the data services and everything else, on real parts: ROUNDS=20 SEED=1
	@tools/setup $(DATA)
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),1)

sim-rule: setup ## Made-up releases against the decision rule, some minutes; ARGS=--full takes a quarter of an hour
	@$(BIN)/python -m tests.sim_rule $(ARGS)

build: setup ## Wheel and source archive in dist/
	@.venv-tools/bin/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls -1 dist

install: ## As root: install this checkout for systemd (/opt/psa-reconciler, unit, user, psactl); DESTDIR= for a staged tree
	@tools/install

uninstall: ## As root: remove that again; settings and state stay, unless PURGE=1
	@tools/install remove

clean: ## Remove what the other targets made, the environments included
	@rm -rf .venv .venv-* dist .lab .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
