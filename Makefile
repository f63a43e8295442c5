# What a person or CI types. Everything that is made lands in .venv and .cache.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Which folder of examples/ `make run` runs.
EXAMPLE ?= quickstart
# What the table at its end is sorted by.
SORT_sweep := --sort result.accuracy
# Which features' Debian packages and tests to leave out, by name: `make test WITHOUT='s3 skypilot'`.
WITHOUT ?=
# The interpreter that .venv is made with; found when not given.
PYTHON ?=
# How many processes run the tests; further arguments for pytest.
TEST_PROCESSES ?= 2
PYTEST_ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
# The code that also runs on the VMs, from Python 3.10 on.
VM_SIDE := $(wildcard vm_worker gliderport_prefect/protocol gliderport_prefect/store gliderport_prefect/errors.py \
	gliderport_prefect/bundle/bootstrap.py)
SOURCES := $(wildcard gliderport_prefect vm_worker flows tests)

# feature: Debian packages that its tests need (a feature is also the name of a pytest marker).
FEATURES := s3 skypilot
PACKAGES_s3 := radosgw ceph-mon ceph-osd ceph-common
PACKAGES_skypilot := slurm-wlm munge openssh-server openssh-client rsync curl python3 procps util-linux passwd
WANTED := $(filter-out $(WITHOUT),$(FEATURES))
UNKNOWN := $(filter-out $(FEATURES),$(WITHOUT))
NOT_WITHOUT := $(if $(WITHOUT),-m 'not ($(subst $(eval ) , or ,$(strip $(WITHOUT))))')

# Nothing that runs here reports home.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export SKYPILOT_DISABLE_USAGE_COLLECTION := 1

.PHONY: help
help: ## Say what can be typed
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo 'Variables: EXAMPLE=sweep (run), WITHOUT=skypilot (test), PYTHON=python3.12 (setup), TEST_PROCESSES=2, PYTEST_ARGS='

.PHONY: setup
setup: $(INSTALLED) ## Make .venv with everything that is needed, if it is not there yet

# The stamp holds what was installed: a change of the tools' settings in pyproject.toml installs nothing.
$(INSTALLED): pyproject.toml constraints.txt
	@wanted=$$(sed '/^# Everything below/,$$d' pyproject.toml; cat constraints.txt)
	if [[ "$$(cat $@ 2>/dev/null)" == "$$wanted" ]]; then touch $@; exit; fi
	rm -f $@
	if [[ ! -x $(BIN)/python ]]; then
	    python=$$(PYTHON='$(PYTHON)' .ci/find-python)
	    "$$python" -m venv .venv || {
	        rm -rf .venv
	        echo "$$python has no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	fi
	echo "Installing into .venv; the first time takes one to three minutes …"
	$(BIN)/python -m pip install --quiet --quiet -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --no-build-isolation -e '.[dev,examples]'
	printf '%s\n' "$$wanted" > $@
.ONESHELL:

.PHONY: run
run: setup ## Run an example campaign from start to end on this machine
	@example=$(notdir $(EXAMPLE:%/=%))
	if [[ ! -d "examples/$$example" ]]; then
	    echo "there is no example '$$example'; there are: $(notdir $(patsubst %/.,%,$(wildcard examples/*/.)))" >&2; exit 2
	fi
	export PATH="$$PWD/$(BIN):$$PATH"   # jobs find the Python that has what the examples need
	results=examples/$$example/results campaign=$$example-$$(date +%Y%m%d-%H%M%S)
	gliderport run "examples/$$example" --campaign "$$campaign" --results "$$results"
	echo
	gliderport results "$$campaign" $(SORT_$(notdir $(EXAMPLE:%/=%)))
	echo
	echo "The files are in $$results. To look closer: source $(BIN)/activate; gliderport jobs; gliderport --help"

.PHONY: test
test: setup debian check ## Check and test everything
	@mkdir -p .cache/coverage
	$(BIN)/pytest -n $(TEST_PROCESSES) $(NOT_WITHOUT) --cov --cov-report=term $(PYTEST_ARGS)

.PHONY: debian
debian: # Debian packages that the tests need: installed when root, else named
	@$(if $(UNKNOWN),echo 'WITHOUT names an unknown feature: $(UNKNOWN). Known: $(FEATURES)' >&2; exit 2,\
	    .ci/debian-packages $(foreach f,$(WANTED),$(f): $(PACKAGES_$(f))))

CHECKS := lint format-check types types-3.10 layers dependencies dead-code spelling
.PHONY: check $(CHECKS)
check: setup ## Check without running: lint, format, types, layers, dependencies, dead code, spelling
	@$(MAKE) -j2 --keep-going --output-sync=target $(CHECKS)

lint:
	@$(BIN)/ruff check .
format-check:
	@$(BIN)/ruff format --check --quiet . || { echo 'Files are not formatted: `make format`' >&2; exit 1; }
types:
	@$(BIN)/pyright
types-3.10:
	@$(BIN)/pyright --pythonversion 3.10 $(VM_SIDE)
layers:
	@$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
dependencies:
	@$(BIN)/deptry . 2>&1
# A field belongs to its record whether or not our own code reads it; unused locals are ruff's to find.
dead-code:
	@found=$$($(BIN)/vulture $(SOURCES)) || [[ $$? -eq 3 ]]
	! grep -v 'unused variable' <<<"$$found"
spelling:
	@$(BIN)/codespell

.PHONY: format
format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

.PHONY: rig rig-down
rig: setup ## Bring up a real SkyPilot with a Slurm cluster of virtual nodes, all on this machine's loopback
	@.ci/debian-packages skypilot: $(PACKAGES_skypilot)
	$(BIN)/python -m tests.skypilot.rig up
rig-down: ## End that SkyPilot and its cluster
	@$(BIN)/python -m tests.skypilot.rig down

.PHONY: bench
bench: setup ## Measure speed, gaps, latency, requests and scale beside bare loops and public clients (minutes)
	@$(BIN)/pytest tests/bench -o python_files='bench_*.py' -p no:randomly --timeout=1800 -s $(PYTEST_ARGS)

.PHONY: constraints
constraints: ## Pin the newest versions that pyproject.toml allows in constraints.txt
	@.ci/pin-versions

.PHONY: clean
clean: ## Remove caches and builds; `make distclean` removes .venv too
	@rm -rf .cache build dist .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean
	@rm -rf .venv
