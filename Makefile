# `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run adopt lakehouse serve demo wheel test test-all lint format viz ui bench lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: $(VENV)/.base ## Run from the raw file to a promoted model and predictions (ARGS="--params ..")
	@$(BIN)/kedro run $(ARGS)

adopt: $(VENV)/.base ## Describe your own file as the table (FILE=customers.csv ARGS="--target churned")
	@$(BIN)/kedro adopt $(FILE) $(ARGS)

lakehouse: $(VENV)/.spark ## Run the same on Delta tables, with Sail (MARVEL_ENGINE=spark for Apache Spark)
	@$(BIN)/kedro run --env lakehouse $(ARGS)

serve: $(VENV)/.server ## Serve the champion over HTTP, at http://127.0.0.1:8080/docs (ARGS="--port ..")
	@$(BIN)/kedro serve $(ARGS)

demo: $(VENV)/.server ## Simulate ten days: drift, an alert, a retraining, restored performance (ARGS="--open")
	@$(BIN)/kedro demo $(ARGS)

wheel: $(VENV)/.base ## Build the wheel for jobs, with its configuration, in dist/
	@rm -rf dist
	@$(BIN)/hatchling build -t wheel

# One thread per worker: LightGBM's threads would compete for the cores.
test test-all: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.dev ## Run the tests except the slow ones (ARGS="-k name")
	$(BIN)/pytest -n 3 --dist worksteal -m "not slow" $(ARGS)

test-all: $(VENV)/.dev ## Run every test, with all Hypothesis examples, as CI does
	$(BIN)/pytest -n 3 --dist worksteal --hypothesis-profile=full $(ARGS)

lint: $(VENV)/.dev ## Run ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Fix and format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Both targets start tools by name, which requires the environment on PATH.
viz ui: export PATH := $(abspath $(BIN)):$(PATH)

viz: $(VENV)/.viz ## Open the pipelines in kedro-viz
	$(BIN)/kedro viz run $(ARGS)

# Otherwise MLflow's server keeps six idle processes waiting for jobs, which this project does not use.
ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
ui: $(VENV)/.base ## Open the runs and models in MLflow
	$(BIN)/kedro mlflow ui $(ARGS)

bench: $(VENV)/.dev ## Benchmark the model, the main job, scale, serving and monitoring against their peers
	$(BIN)/python benchmarks/model_quality.py
	$(BIN)/python benchmarks/any_table.py
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/monitoring.py
	$(BIN)/python benchmarks/drift_power.py
	$(BIN)/python benchmarks/start.py

lock: $(VENV)/.dev ## Update requirements/*.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -o requirements/base.txt pyproject.toml requirements/build.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -o requirements/spark.txt --extra spark \
	  -c requirements/base.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -o requirements/server.txt --extra server \
	  -c requirements/base.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -o requirements/dev.txt --all-extras \
	  -c requirements/base.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -o requirements/viz.txt --extra server --extra viz \
	  -c requirements/dev.txt pyproject.toml

clean: ## Remove the environment and the outputs of runs; the raw file stays
	rm -rf $(VENV) .venv-mlserver mlflow.db mlartifacts data/0[2-9]*/* data/server data/warehouse dist .viz

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is required, found $$($(PYTHON) --version). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# One line that counts: pip itself prints nothing for minutes, or hundreds of lines.
define install
@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes \
    --no-deps -r $(1) || echo failed; } | awk -v all="$$(grep -c == $(1))" \
  -v terminal="$$([ -t 2 ] && echo 1)" 'BEGIN {end = terminal ? "\r" : "\n"; step = terminal ? 1 : 40} \
  /^Collecting|^Requirement already/ {if (++n % step == 0) {printf "  %3d of %d packages%s", n, all, end; fflush()}} \
  /^Installing/ {printf "  unpacking %d packages ..%s", n, end; fflush()} \
  /^failed$$/ {bad = 1} END {if (terminal) printf "%40s\r", ""; exit bad}'
endef

# Stamp files: packages are installed again only after a change of the lock or of pyproject.toml.
$(VENV)/.base: requirements/base.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the packages into $(VENV), about a minute the first time .."
	$(call install,requirements/base.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.spark: requirements/spark.txt $(VENV)/.base
	@echo "Installing Sail and pyspark into $(VENV), a minute or two the first time .."
	$(call install,requirements/spark.txt)
	@touch $@

$(VENV)/.server: requirements/server.txt $(VENV)/.base
	@echo "Installing the packages of the server into $(VENV) .."
	$(call install,requirements/server.txt)
	@touch $@

$(VENV)/.viz: requirements/viz.txt $(VENV)/.server
	@echo "Installing kedro-viz into $(VENV) .."
	$(call install,requirements/viz.txt)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.spark $(VENV)/.server
	@echo "Installing the tools for tests and views into $(VENV) .."
	$(call install,requirements/dev.txt)
	@touch $@
