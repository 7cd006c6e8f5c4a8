# Backstop: everything a newcomer needs. `make` alone lists the targets.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
RUN := out/run

.DEFAULT_GOAL := help
.PHONY: help setup run test broker kafka soak chaos check schemas bench bench-kafka month clean
.SILENT:
MAKEFLAGS += --no-print-directory

help: ## list the targets
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv with exactly the versions of constraints.txt

run: $(INSTALLED) ## crash a generated market and replay it: who paid, and how much
	rm -rf $(RUN) && mkdir -p $(RUN)
	$(BIN)/backstop generate --config deploy/venue.toml --scenario crash --accounts 500 --seed 7 \
		--out $(RUN)/commands.jsonl.zst
	$(BIN)/backstop replay $(RUN)/commands.jsonl.zst --config deploy/venue.toml --out $(RUN) \
		--html --check-every 1000

test: $(INSTALLED) ## run all tests
	deploy/kafka/install.sh > /dev/null || [ -z "$$BACKSTOP_KAFKA_REQUIRED" ]
	$(BIN)/pytest -n auto

broker: ## fetch a Kafka broker (and Java and Maven, as root on Debian) into a cache outside the tree
	deploy/kafka/install.sh > /dev/null

KAFKA_PORT ?= 9092

kafka: $(INSTALLED) broker ## serve a Kafka broker on 127.0.0.1:KAFKA_PORT (9092), its data under out/kafka
	$(BIN)/python -m tests.kafka.broker --port $(KAFKA_PORT) --data out/kafka

COMMANDS ?= 1000000
SEED ?= 1

soak: $(INSTALLED) ## engine (restored again and again) and reference model, byte by byte, on COMMANDS random commands from SEED on
	$(BIN)/python -m tests.reference --commands $(COMMANDS) --seed $(SEED)

CHAOS ?= --kills 30 --broker-kills 3 --zombies 3

chaos: $(INSTALLED) broker ## kill services, standbys and the broker under load again and again; prove that nothing is lost
	$(BIN)/python -m tests.chaos --seed $(SEED) $(CHAOS)

check: $(INSTALLED) ## lint, formatting, types, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m schemas.documents --check
	$(BIN)/python -m consumers.kafka.asyncapi --check
	$(BIN)/python -m tests.venues --check

schemas: $(INSTALLED) ## write schemas/json and docs/asyncapi.json from the message types
	$(BIN)/python -m schemas.documents
	$(BIN)/python -m consumers.kafka.asyncapi

MONTH := out/month

month: $(INSTALLED) ## replay PRICES=bars.csv.gz whole: checked after every command, three hash seeds, both ledgers
	[ -n "$(PRICES)" ] || { echo "make month needs PRICES, a CSV of bars (docs/generate.md)"; exit 2; }
	rm -rf $(MONTH) && mkdir -p $(MONTH)
	$(BIN)/backstop generate --config deploy/venue.toml --prices $(PRICES) --accounts 2000 --seed 1 \
		--out $(MONTH)/commands.jsonl.zst
	PYTHONHASHSEED=0 $(BIN)/backstop replay $(MONTH)/commands.jsonl.zst --config deploy/venue.toml \
		--out $(MONTH)/0 --html --check-every 1
	for seed in 1 4294967295; do PYTHONHASHSEED=$$seed $(BIN)/backstop replay $(MONTH)/commands.jsonl.zst \
		--config deploy/venue.toml --out $(MONTH)/$$seed > /dev/null || exit 1; done
	for file in events.jsonl report.json; do cmp $(MONTH)/0/$$file $(MONTH)/1/$$file && \
		cmp $(MONTH)/0/$$file $(MONTH)/4294967295/$$file || exit 1; done
	echo "events and report, state hash included, are the same under three hash seeds"
	$(BIN)/python -m tests.ledger $(MONTH)/0

bench: $(INSTALLED) ## measure, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench --write

bench-kafka: $(INSTALLED) broker ## measure the services over a broker of their own, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench.kafka --write

clean: ## remove what was built, .venv included
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian's python3 comes without ensurepip; root can fetch it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Backstop needs Python 3.11 or later; set PYTHON to one (make PYTHON=python3.12 ...)"; exit 1; }
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing python3-venv" && \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; } || \
		{ echo "$(PYTHON) has no ensurepip; install python3-venv"; exit 1; }
	[ -x $(BIN)/pip ] || { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	echo "installing the versions of constraints.txt"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation \
		--editable '.[dev]'
	touch $@
