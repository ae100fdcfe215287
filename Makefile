# Everything cityproof needs to be set up, shown, tested and checked. Nothing has to be activated first.

# Another interpreter, 3.11 or newer: make setup PYTHON=python3.12
PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
READY := $(VENV)/.ready
UV_READY := $(VENV)/.uv-ready
PEERS := $(VENV)/peers
PEERS_READY := $(VENV)/.peers-ready
COMMA := ,

# pip, as it reads the settings a person has for mirrors, proxies and certificates; the locks are complete.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps

.DELETE_ON_ERROR:
.PHONY: help setup demo test check interop tools stack stack-stop telegraf chaos bench mutation docs lock clean

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

setup: tools ## Install what the locks name into .venv, under two minutes on an empty cache
	@$(MAKE) --silent --jobs=2 $(READY) $(PEERS_READY) interop

demo: $(READY) ## From simulated sensors to verified points, until Ctrl-C
	$(BIN)/cityproof demo

test: $(READY) $(PEERS_READY) tools interop ## Run the tests, those that measure time after the others and alone
	$(BIN)/python -m pytest -n logical --maxprocesses 4 -m "not serial"
	$(BIN)/python -m pytest -m serial

check: $(READY) ## Lint, format, types (twice), and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/basedpyright
	$(BIN)/lint-imports

interop: ## Build other people's code in Go and Node with which tests/interop checks ours, where there is such
	@if ! command -v go >/dev/null; then echo "No Go here: tests that need it will be named as not run."; \
	elif ! tests/interop/go/build.sh; then \
	  case " $(subst $(COMMA), ,$(CITYPROOF_REQUIRE)) " in *" go "*) exit 1;; esac; \
	  echo "The programs of tests/interop/go are not built: tests that need Go will be named as not run."; \
	fi
	@if ! command -v npm >/dev/null; then echo "No npm here: tests that need Node will be named as not run."; \
	elif ! tests/interop/node/build.sh; then \
	  case " $(subst $(COMMA), ,$(CITYPROOF_REQUIRE)) " in *" node "*) exit 1;; esac; \
	  echo "epcis2.js is not installed: tests that need Node will be named as not run."; \
	fi

tools:
	@.ci/tools

stack: $(READY) ## Start Mosquitto, Kafka and InfluxDB natively, built once into a cache
	$(BIN)/python deploy/native/servers.py start

stack-stop: $(READY) ## End exactly those
	$(BIN)/python deploy/native/servers.py stop

telegraf: $(READY) ## Build Telegraf into the cache, to measure the pipeline beside it
	$(BIN)/python deploy/native/telegraf.py

chaos: $(READY) ## Half an hour of random faults over all processes and servers, and the account: SECONDS=1800
	$(BIN)/python -m tests.servers.chaos --seconds $(or $(SECONDS),1800)

bench: $(READY) ## Measure sealing against the bare signature checks it consists of
	$(BIN)/cityproof bench sealing

mutation: $(READY) ## Change wire, log and verify a little, 4,000 times, and see what their tests notice: an hour
	$(BIN)/python bench/mutate.py pipeline/wire --tests tests/wire
	$(BIN)/python bench/mutate.py pipeline/log --tests tests/log
	$(BIN)/python bench/mutate.py pipeline/verify --tests tests/verify

docs: $(READY) ## Write the pages that are tables of the code: docs/reasons.md, quantities.md, threats.md, recovery.md
	$(BIN)/python docs/write_tables.py
	$(BIN)/python -m tests.threats.table
	$(BIN)/python -m tests.servers.faults

lock: $(UV_READY) ## Write the lock files anew from pyproject.toml, keeping the versions that still fit
	$(BIN)/python locks/compile.py $(BIN)/uv

clean: ## Remove .venv, caches and what the demo left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist demo

# A crash in any of these leaves a .venv without its stamp: the next make does the step again.
$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than Python 3.11. Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) lacks its venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(READY): $(MADE) locks/dev.txt pyproject.toml
	@echo "Installing what locks/dev.txt names into $(VENV). The first time this takes about a minute."
	@$(INSTALL) --require-hashes --requirement locks/dev.txt
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

# Other people's packages that check ours, apart from those that we use.
$(PEERS_READY): $(MADE) locks/peers.txt
	@$(PYTHON) -m venv --without-pip $(PEERS)
	@$(subst -m pip,-m pip --python $(PEERS)/bin/python,$(INSTALL)) --require-hashes --requirement locks/peers.txt
	@touch $@

$(UV_READY): $(MADE) locks/uv.txt
	@$(INSTALL) --require-hashes --requirement locks/uv.txt
	@touch $@
