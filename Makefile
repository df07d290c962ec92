# Every verb of the project. It needs only python3 (3.11 to 3.14) and make: what a verb needs is installed into .venv
# when the verb is first used. Settings: .env (see .env.example), the environment, or NAME=value after the verb.
.DEFAULT_GOAL := help
.PHONY: help setup up doctor down status restart logs trace events-dead events-replay rotate-keys psql demo load chaos bench-telemetry bench-kit bench-abuse bench-page bench-scale manifests migrate clean test test-docker test-kubernetes test-verbs test-logstash test-rules test-stack test-versions fuzz check lint typecheck format lock dashboards registry

PYTHON ?= python3
# With a PYTHONDONTWRITEBYTECODE of the caller's shell, every process would compile the tree once more.
RUN    := PYTHONPATH=.:dev-environment PYTHONDONTWRITEBYTECODE= .venv/bin/python
STACK  := $(RUN) -m stack
CHOICE  = $(if $(MODE),--mode "$(MODE)") $(if $(PARTS),--parts "$(PARTS)")
NUMBERS = $(if $(SCALE),--scale "$(SCALE)")
need    = @$(PYTHON) dev-environment/install.py $(1)
SCRIPTS = .ci/run .ci/stand-ins $(wildcard dev-environment/*/*.sh)

help:       ## list the verbs (what plain `make` does)
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:      ## install everything, for all verbs
	$(call need,runtime local test lint load bench)

up:         ## start the stack and wait until it is ready [MODE=local|docker|kubernetes] [PARTS="metrics logs traces"] [SCALE=budget=2] [CONTEXT=]
	$(call need,runtime local)
	@$(STACK) up $(CHOICE) $(NUMBERS)

doctor:     ## list what would keep the stack from starting on this machine, and the remedy [MODE=] [PARTS=] [SCALE=]
	$(call need,runtime local)
	@$(STACK) doctor $(CHOICE) $(NUMBERS)

down:       ## stop the stack and keep its data
	$(call need,runtime local)
	@$(STACK) down

status:     ## show what runs where, and whether it is ready
	$(call need,runtime local)
	@$(STACK) status

restart:    ## restart one service, or all [SERVICE=auth]
	$(call need,runtime local)
	@$(STACK) restart $(SERVICE)

logs:       ## follow the log lines of all services [SERVICE=auth] [LEVEL=warning] [TRACE=id] [FOLLOW=0]
	$(call need,runtime local)
	@$(STACK) logs $(if $(SERVICE),--service $(SERVICE)) $(if $(LEVEL),--level $(LEVEL)) \
	    $(if $(TRACE),--trace $(TRACE)) $(if $(filter 0,$(FOLLOW)),--no-follow) $(if $(filter 1,$(FOLLOW)),--follow)

trace:      ## draw one trace with its log lines, or print where Jaeger shows it; the last one if none is named [ID=first-digits]
	$(call need,runtime local)
	@$(STACK) trace $(ID)

events-dead: ## list the events that have failed every attempt [JSON=1] [LIMIT=100]
	$(call need,runtime local)
	@$(STACK) events-dead $(if $(filter 1,$(JSON)),--json) $(if $(LIMIT),--limit "$(LIMIT)")

events-replay: ## send dead events again: ID=event, SERVICE=budget (those that budget has not accepted) or ALL=1
	$(call need,runtime local)
	@$(STACK) events-replay $(if $(ID),--id "$(ID)") $(if $(SERVICE),--service "$(SERVICE)") $(if $(filter 1,$(ALL)),--all)

rotate-keys: ## publish a new key for access tokens, which signs once every service has it
	$(call need,runtime local)
	@$(STACK) rotate-keys

psql:       ## open psql on the databases as their superuser [SERVICE=auth] [SQL="select 1"]
	$(call need,runtime local)
	@$(STACK) psql $(if $(SERVICE),--service $(SERVICE)) $(if $(SQL),--sql "$(SQL)")

demo:       ## play the story of three tenants on the running stack
	$(call need,runtime local)
	@$(STACK) run -- python -m libs.journey

load:       ## send realistic traffic until Ctrl-C [USERS=8] [RATE=1] [DURATION=5m]
	$(call need,runtime local load)
	@$(STACK) run -- python -m locust --config dev-environment/load/locust.conf \
	    $(if $(USERS),-u $(USERS)) $(if $(DURATION),-t $(DURATION))

chaos:      ## break each part of the running stack under load, and check the books [SHORT=1] [ONLY="postgres kill"] [ARGS="--json --help"]
	$(call need,runtime local test)
	@$(RUN) -m tests.chaos $(if $(filter 1,$(SHORT)),--short) $(if $(ONLY),--only $(ONLY)) $(ARGS)

bench-telemetry: ## measure what telemetry costs, against none and against that of tutorials [ARGS="--json --help"]
	$(call need,runtime local bench)
	@$(RUN) -m bench $(ARGS)

bench-kit:  ## measure what the service kit costs per request, and events end to end [ARGS="--json --help"]
	$(call need,runtime local)
	@$(RUN) -m bench_kit $(ARGS)

bench-abuse: ## send a service each kind of abuse: its memory, its liveness, what others notice [ARGS="--json --help"]
	$(call need,runtime local)
	@$(RUN) -m bench_abuse $(ARGS)

bench-page: ## measure what the page takes from the services of the running stack [ARGS="--json --help"]
	$(call need,runtime local)
	@$(RUN) -m bench_page $(ARGS)

bench-scale: ## measure one, two and four replicas of budget, and a database of 2,000 tenants [ARGS="--json --help"]
	$(call need,runtime local)
	@$(RUN) -m bench_scale $(ARGS)

migrate:    ## bring the databases up to date, of one service or of all [SERVICE=auth]
	$(call need,runtime local)
	@$(STACK) migrate $(SERVICE)

manifests:  ## print every object of an overlay for Kubernetes, as YAML for kubectl [OVERLAY=production]
	$(call need,runtime local)
	@$(STACK) manifests $(OVERLAY)

clean:      ## stop the stack and remove its data, logs and traces
	$(call need,runtime local)
	@$(STACK) clean

test:       ## run the tests [T=tests/libs]
	$(call need,runtime local test)
	@$(RUN) -m pytest $(if $(T),$(T),-n 3 --no-loadscope-reorder) $(PYTEST)

test-docker: ## run the tests that need a Docker Engine
	$(call need,runtime local test)
	@$(RUN) -m pytest tests/docker $(PYTEST)

test-kubernetes: ## start the stack in a cluster of this machine, change nothing, roll out and kill under load (half an hour) [SHORT=1: without pairs and autoscaler]
	$(call need,runtime local test)
	@$(RUN) -m pytest tests/kubernetes -rs $(if $(SHORT),--ignore-glob="*/test_ha.py" --ignore-glob="*/test_autoscaling.py") $(PYTEST)

test-verbs: ## start and stop whole stacks by the verbs, and kill these at every stage (eight minutes)
	$(call need,runtime local test)
	@$(RUN) -m pytest tests/verbs $(PYTEST)

test-logstash: ## send log lines of every kind through the official Logstash, if it can be pulled [STRICT=1]
	$(call need,runtime local test)
	@$(RUN) -m pytest tests/docker/test_logstash.py -rs $(PYTEST)

test-rules: ## change every rule of Prometheus in each number, window, clause and label: do its tests notice? [RULES="WatcherDown"] [STRICT=1]
	$(call need,runtime local test)
	@$(RUN) -m tests.rules $(RULES)

test-stack: ## test the running stack through its own interfaces [STRICT=1]
	$(call need,runtime local test)
	@$(RUN) -m pytest tests/stack -v -rs $(PYTEST)

test-versions: ## test libs/observability, and a copy of it, with the oldest packages it supports and with the newest
	$(call need,runtime local test lint)
	@$(RUN) dev-environment/versions.py

fuzz:       ## send generated requests to the five services, many more than `make test` does
	$(call need,runtime local test)
	@FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),500) $(RUN) -m pytest tests -m fuzz

check: lint typecheck test test-rules  ## run everything that must pass before a change is merged

lint:       ## check style, formatting, imports, the Dockerfile, YAML and shell scripts
	$(call need,runtime local test lint)
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/lint-imports
	@.venv/bin/hadolint services/Dockerfile && .venv/bin/yamllint --strict .
	@if [ -x .venv/bin/shellcheck ]; then .venv/bin/shellcheck $(SCRIPTS); \
	else echo "There is no wheel of shellcheck for this machine: $(SCRIPTS) are not checked"; fi

typecheck:  ## check the types in libs, services, dev-environment and tests/fixtures
	$(call need,runtime local test lint load bench)
	@.venv/bin/basedpyright

format:     ## format the code, and fix what can be fixed
	$(call need,lint)
	@.venv/bin/ruff check --fix-only . && .venv/bin/ruff format .

lock:       ## resolve the packages of pyproject.toml and pin them in all requirement files
	$(call need,lint)
	@.venv/bin/python dev-environment/lock.py

dashboards: ## build Grafana's dashboards from their code
	$(call need,runtime local test)
	@$(RUN) -m grafana_dashboards

registry:   ## write the tables of what the services emit, libs/TELEMETRY.md, from libs/telemetry.yml
	$(call need,runtime local test)
	@$(RUN) -m registry
