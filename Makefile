# `make` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
UV_VERSION := 0.13.9
LOCK := $(VENV)/bin/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header --generate-hashes
READY := $(VENV)/.ready
# Made again when a source of theirs changes, or when they are gone with build/.
JARS := build/cache/.ready
JAR_SOURCES := $(shell find local/kafka-broker flink-conf/job-server -type f -not -path '*/target/*')
AIRFLOW_VENV := .venv-airflow
AIRFLOW_READY := $(AIRFLOW_VENV)/.ready

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) $(JARS) ## Install the pinned Python environment and build the jars (once)

$(READY): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11, or set PYTHON=…" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "error: mvn not found: install Maven and a JDK 17" >&2; exit 1; }
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet uv==$(UV_VERSION)
	UV_LINK_MODE=copy $(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python requirements.lock
	@touch $(READY)

$(JARS): $(JAR_SOURCES) | $(READY)
	$(RUN) -m local jars
	@touch $(JARS)

.PHONY: lock
lock: ## Pin every dependency of pyproject.toml again, with hashes
	$(LOCK) --all-extras pyproject.toml -o requirements.lock
	$(LOCK) --group airflow -o requirements-airflow.lock

.PHONY: up down status logs
up: setup ## Start Kafka, Flink, Postgres and S3 on this machine
	@$(RUN) -m local up
down: ## Stop what `make up` started
	@test ! -e $(READY) || $(RUN) -m local down
status: ## Show the parts of the stack and where they are
	@$(RUN) -m local status
logs: ## Show the ends of the logs
	@$(RUN) -m local logs

.PHONY: demo
demo: setup ## A simulated day through Kafka, Flink, S3 and Postgres, then a summary
	@$(RUN) -m local.demo

.PHONY: alerts
alerts: setup ## Send alerts until Ctrl-C; the channels are set in .env (docs/alerts.md)
	@$(RUN) -m alerts

.PHONY: airflow-setup airflow airflow-test
airflow-setup: $(AIRFLOW_READY) ## Install Airflow into an environment of its own (1.5 GB, once)

$(AIRFLOW_READY): requirements-airflow.lock | setup
	test -x $(AIRFLOW_VENV)/bin/python || $(PYTHON) -m venv --without-pip $(AIRFLOW_VENV)
	UV_LINK_MODE=copy $(VENV)/bin/uv pip sync --quiet --python $(AIRFLOW_VENV)/bin/python requirements-airflow.lock
	@touch $(AIRFLOW_READY)

airflow: airflow-setup ## Start Airflow with the daily batch, show its address and login; Ctrl-C stops it
	@$(RUN) -m local.airflow
airflow-test: airflow-setup ## Run the daily batch by Airflow on a stack of its own, and check what it wrote
	$(RUN) -m pytest tests/dags tests/local/test_airflow.py tests/integration/test_airflow.py

.PHONY: dashboard
dashboard: setup ## Serve the web page and its API; `make up` or `make demo` first
	@$(RUN) -m dashboard

.PHONY: browser
browser: setup ## Find Chromium for the browser tests, or install it where apt and root are at hand
	@$(RUN) -m local.browser

.PHONY: lint format
lint: setup ## Lint and check types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
format: setup ## Format the code
	$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

.PHONY: test test-fast
test: lint browser airflow-setup ## Lint, types and all tests, on stacks of their own
	$(RUN) -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder
test-fast: setup ## The tests that need no server
	$(RUN) -m pytest -m "not integration"

.PHONY: bench-detector
bench-detector: setup ## Measure the detector against its peers, with its costs
	$(RUN) -m benchmarks.detector --output build/detector/report.md

.PHONY: bench-batch
bench-batch: setup ## Measure the daily parse on days of 0.25, 0.5 and 1 million posts; `make up` first
	$(RUN) -m benchmarks.batch

.PHONY: bench bench-peers
bench: setup ## Measure throughput: raw limit, counting, full stream, with both sources
	$(RUN) -m benchmarks.throughput --suite --json build/throughput.json
bench-peers: setup ## Measure counting beside Flink SQL and Spark (430 MB of jars, once)
	$(RUN) -m benchmarks.throughput --peers --json build/peers.json

.PHONY: clean
clean: ## Stop the stack and remove everything that was built or stored
	@test ! -e $(READY) || $(RUN) -m local.clean
	rm -rf build
