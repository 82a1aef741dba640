# Each target sets up what it needs; the second run of each starts at once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

EVENTS ?= 10000
ARGS ?=
WORKERS ?= 4
SEEDS ?= 1000
FROM ?= 0
SEED ?=
ROUNDS ?= 20
cluster: ROUNDS := 9
SCOPE ?=
LANES ?=
MINUTES ?= 2
PEERS ?=
KEEP ?=
# The oldest revision whose checkpoints this program reads, until releases have tags.
OLD ?= bbb6c15

BIN := .venv/bin
PY := $(BIN)/python
CODE := service tests $(wildcard bench)

# .venv is current if it was made here, in this way, from this lock and these entry points.
STAMP := .venv/.made-from-$(shell (echo '$(CURDIR)'; cat requirements/dev.txt pyproject.toml scripts/venv.sh) \
	| sha256sum | cut -c1-16)

# What a tool says is shown only if it fails.
quietly = said=$$($(1) 2>&1) || { echo "$$said"; exit 1; }

.PHONY: help setup venv kafka redis browser demo check test acls chaos cluster upgrades rotation simulate mutations \
	matrix limit latency idle \
	fairness replay-drill bench profile growth performance \
	pages bench-core screenshots alerts stack dashboards image helm chart schemas sbom format lock clean

help: ## lists the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/make \1\t\2/p' Makefile | expand -t 19

setup: venv kafka redis ## makes .venv, and fetches Kafka unless KAFKA_BOOTSTRAP names a broker

venv: $(STAMP)

$(STAMP):
	@scripts/venv.sh '$@'

kafka: venv
ifndef KAFKA_BOOTSTRAP
	@scripts/need.sh java=openjdk-17-jre-headless mvn=maven
	@$(PY) -m service.demo.kafka_jars >/dev/null
endif

redis:
	@scripts/need.sh redis-server=redis-server

helm: venv
	@$(PY) -m tests.chart.tools >/dev/null

browser:
	@scripts/need.sh chromium=chromium

demo: setup ## runs everything on one machine: EVENTS=10000, more options in ARGS
	@$(BIN)/call-dispatcher demo --events $(EVENTS) $(ARGS)

check: venv ## format, lint, types, floors, packaging: all but the tests
	@$(BIN)/ruff format --quiet --check --output-format concise $(CODE) || { echo "run make format"; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy --no-error-summary $(CODE)
	@$(call quietly,$(BIN)/lint-imports)
	@$(call quietly,$(BIN)/validate-pyproject pyproject.toml)
	@$(call quietly,$(BIN)/hatchling build --target wheel --directory build/wheel)
	@echo "check: all is well"

test: setup browser helm ## runs all tests on WORKERS=4 processes, on a real Kafka; more options in ARGS
	@$(BIN)/pytest --quiet --numprocesses $(WORKERS) $(ARGS)

chaos: setup ## breaks real processes for ROUNDS=20 rounds; SEED plays one run's faults again
	@$(PY) -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

cluster: setup ## three brokers and two replicas: kills a broker a round, in turns; ROUNDS=9 SEED=n
	@$(PY) -m tests.chaos --brokers 3 --replicas 2 --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

upgrades: setup ## replaces replicas by another release and back under load, and the security-id; OLD=revision
	@$(PY) -m tests.upgrades $(OLD)

rotation: setup ## changes password, mechanism, certificates and token of two replicas under load
	@$(PY) -m tests.rotation

simulate: venv ## runs SEEDS=1000 worlds FROM=0 in virtual time, or SEED=n with its trace
	@$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM)) $(ARGS)

mutations: venv ## breaks the code in one way after the other: each must be noticed
	@$(PY) -m tests.mutations $(ARGS)

matrix: setup ## plays every answer of the provider after every history; case names in ARGS
	@$(PY) -m tests.matrix $(ARGS)

limit: setup ## measures the limit by the provider's clock: SCOPE=lane|redis LANES=1|2|4 MINUTES=2
	@$(PY) -m tests.limit --minutes $(MINUTES) $(if $(SCOPE),--scope $(SCOPE)) \
		$(if $(LANES),--lanes $(LANES)) $(ARGS)

latency: setup ## measures from event to committed outcome at half of the limit
	@$(PY) -m tests.limit.latency

# EVENTS has a default for the demo: here 50,000 unless it is given.
replay-drill: EVENTS := $(if $(filter file,$(origin EVENTS)),50000,$(EVENTS))
replay-drill: setup ## sends EVENTS=50000 dead letters again beside live traffic, killed twice
	@$(PY) -m tests.replay_drill --events $(EVENTS) $(ARGS)

idle: setup ## measures CPU and transactions with nothing to do, and CPU at the limit
	@$(PY) -m tests.limit.idle

fairness: setup ## measures how long ten calls wait behind 100,000 of other flows
	@$(PY) -m tests.limit.fairness $(ARGS)

bench: EVENTS := $(if $(filter file,$(origin EVENTS)),1000000,$(EVENTS))
bench: setup ## measures CPU per call, calls per second and memory; PEERS=1 beside others; LANES=2 scaling
ifdef LANES
	@$(PY) -m bench.lanes --lanes $(LANES) $(ARGS)
else
	@$(if $(PEERS),scripts/bench.sh faststream camel)
	@$(PY) -m bench --events $(EVENTS) $(if $(PEERS),--peers) $(if $(KEEP),--keep) $(ARGS)
endif

profile: setup ## measures CPU per call stage by stage of the real run, beside what each costs at least
	@scripts/bench.sh tools
	@$(PY) -m bench.profile $(if $(KEEP),--keep) $(ARGS)

growth: setup ## measures CPU, memory, turns and takeovers over partitions, flows, events, answers' time and lanes
	@$(PY) -m bench.growth $(if $(KEEP),--keep) $(ARGS)

performance: setup ## measures all of docs/performance.md anew (an hour, on a calm machine), and writes its tables and curves
	@$(MAKE) bench PEERS=1 KEEP=1
	@$(MAKE) profile KEEP=1
	@$(MAKE) profile KEEP=1 ARGS='--flows 10000 --events 300000'
	@$(MAKE) growth KEEP=1
	@$(MAKE) bench-core KEEP=1
	@$(MAKE) pages

pages: venv ## writes the tables and curves of docs/performance.md from the figures that are kept
	@scripts/bench.sh tools
	@$(PY) -m bench.page
	@PYTHONPATH=build/bench/tools $(PY) -m bench.draw

bench-core: venv ## measures the core's stages against a loop; fails if one is 1.5 times what was kept; KEEP=1
	@scripts/bench.sh tools
	@PYTHONPATH=build/bench/tools $(PY) -m bench.core --quiet --inherit-environ PYTHONPATH \
		$(if $(KEEP),--keep) $(ARGS)

alerts: setup ## each alert by promtool, and real faults to a webhook through Prometheus and Alertmanager
	@scripts/need.sh promtool=prometheus prometheus=prometheus \
		prometheus-alertmanager=prometheus-alertmanager
	@$(call quietly,promtool check rules deploy/prometheus/rules.yaml)
	@$(call quietly,promtool test rules deploy/prometheus/tests.yaml)
	@$(PY) -m tests.alerts $$(grep -c '^  - name:' deploy/prometheus/tests.yaml)

acls: setup ## a Kafka with an authorizer: what deploy/kafka/acls.txt grants suffices, and each line is needed
	@$(PY) -m tests.acls $(ARGS)

stack: setup ## everything on loopback under a small load, with Prometheus and Alertmanager; ARGS='--rate 20 --seconds 60'
	@scripts/need.sh prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager
	@$(PY) -m tests.stack $(ARGS)

dashboards: setup ## writes deploy/grafana/dashboards from the code, and asks each query of a Prometheus that watched real faults
	@scripts/need.sh prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager
	@$(PY) -m tests.dashboards $(ARGS)

chart: venv helm ## judges the Helm chart, by Helm 3 and 4 for Kubernetes 1.25 to 1.37; writes its README and schema
	@$(PY) -m tests.chart.written
	@$(PY) -m tests.chart

image: setup ## builds the Dockerfile without Docker (root, Debian), and runs it as PID 1 on files it cannot write
	@scripts/need.sh buildah=buildah debootstrap=debootstrap
	@scripts/image.sh

# Their own tools, which nothing else here needs; the versions are those that were tried.
SCHEMA_TOOLS := @asyncapi/parser@3.6.3 ajv@8.20.0 ajv-formats@3.0.1

schemas: venv ## writes docs/schemas and the chart's anew from the code, and checks them with AsyncAPI's parser and Ajv
	@scripts/need.sh node=nodejs npm=npm
	@$(PY) -m tests.support.published
	@$(PY) -m tests.chart.written
	@mkdir -p build/npm && $(call quietly,npm install --prefix build/npm --no-audit --no-fund \
		--ignore-scripts $(SCHEMA_TOOLS))
	@node scripts/check_schemas.mjs build/npm

sbom: venv ## writes the bill of materials of what is shipped (CycloneDX, build/sbom), and judges versions and licences
	@scripts/sbom.sh
	@$(PY) -m tests.supply

screenshots: MINUTES = 15
screenshots: setup browser ## lets a campaign run for MINUTES=15, and takes the pictures of the page into docs/images
	@$(PY) -m tests.page --minutes $(MINUTES)

format: venv ## formats the code, and mends what the linter can
	@$(BIN)/ruff check --quiet --fix-only $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

PIP_COMPILE = CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --no-emit-options $(ARGS)

lock: venv ## writes requirements/*.txt anew from pyproject.toml; ARGS=--upgrade for newer versions
	@$(PIP_COMPILE) --output-file requirements/runtime.txt pyproject.toml
	@$(PIP_COMPILE) --constraint requirements/runtime.txt --extra tracing \
		--output-file requirements/tracing.txt pyproject.toml
	@$(PIP_COMPILE) --constraint requirements/tracing.txt --extra tracing --extra dev \
		--output-file requirements/dev.txt pyproject.toml
	@$(PIP_COMPILE) --constraint requirements/dev.txt --only-build-deps --build-deps-for=wheel \
		--output-file requirements/build.txt pyproject.toml
	@$(PIP_COMPILE) --output-file requirements/sbom.txt requirements/sbom.in

clean: ## removes .venv and what the tools left (not the cache with Kafka)
	@rm -rf .venv .venv.lock build dist .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
