# Everything is set up in .venv/. Servers are fetched or built on first use and kept in the user's cache.
.DEFAULT_GOAL := help
.PHONY: help setup tools node engines demo check quick test thorough bench lock clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.done ## Make .venv/ from the pinned and hashed lock
$(VENV)/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

tools: setup ## Fetch or build the servers (once; a quarter of an hour on two cores where they must be built)
	$(BIN)/mod209 tools --fetch

node: tools ## Get or build the node image for tests on kind clusters (needs a Docker daemon)
	MOD209_KEEP_BUILD=1 $(BIN)/mod209 tools --fetch --for kind
	$(BIN)/python -m environments.kind.nodeimage

engines: setup ## Build the policy engines beside OPA on kind: Gatekeeper and Kyverno
	$(BIN)/mod209 tools --fetch --for engines

demo: setup ## Bring a footprint up, grade three real submissions, show the report
	$(BIN)/mod209 demo --out demo

check: setup ## Format, lint, types, layers and fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n auto --dist worksteal -m "not slow and not servers"

quick: tools ## Tests without the slow ones
	$(BIN)/pytest -m "not slow"

test: tools ## All tests, with some of each kind of case; those on clusters are skipped where no Docker daemon answers
	$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/pytest -n auto --dist worksteal -m "not slow and not servers"
	$(BIN)/pytest -n 2 --dist loadfile --durations 15 -m "(slow or servers) and not (alone or clusters)"
	$(BIN)/pytest --durations 15 -m "alone or clusters"

thorough: engines ## All tests with all cases: every variant, hostile submission and combination, on clusters too (half a working day)
	@MOD209_THOROUGH=1 $(MAKE) test

bench: tools ## All benchmarks, as tables
	@for file in environments/benchmarks/bench_*.py graders/benchmarks/bench_*.py; do \
	  echo "# $$file"; $(BIN)/python -m $$(echo $${file%.py} | tr / .) || exit 1; done

lock: setup ## Write requirements.lock anew (needs uv)
	uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean: ## Remove what was set up here (not the cache of servers)
	rm -rf $(VENV) demo build *.egg-info
