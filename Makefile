# The one entry for people and CI. `make` alone lists the targets; the work is in scripts/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET_DIR)/release/fanfare
# Seconds for each fuzz target in `make fuzz`.
FUZZ_SECONDS ?= 60
# Interleaved rounds of each scenario in `make bench`.
RUNS ?= 3
# Records a second in `make demo-kafka`.
RATE ?= 20
export FUZZ_SECONDS RUNS

.PHONY: help prerequisites build run demo-kafka test test-coverage lint fmt bench autobahn fuzz soak clean

help: ## this list
	@echo "Fanfare: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

prerequisites:
	@scripts/prerequisites.sh

build: prerequisites ## release build: target/release/fanfare
	cargo build --release --locked --package fanfare-server --bin fanfare

run: build ## release build, then the server with no configuration (FLAGS="--set server.port=9000")
	@echo "Starting Fanfare without configuration; open the address it prints below (http://localhost:8080 unless PORT says otherwise). Ctrl-C stops it."
	@exec $(BINARY) serve $(FLAGS)

demo-kafka: build ## a real Kafka, a producer of the three topics and the server (RATE=20); Ctrl-C stops all
	@RATE=$(RATE) scripts/demo-kafka.sh $(FLAGS)

test: prerequisites ## everything, the same in each run: tests, fuzz targets, Autobahn, browser; installs what it needs, ends with the counts
	@scripts/test.sh

test-coverage: prerequisites ## line coverage of `cargo test`: a summary and target/coverage/html
	@scripts/coverage.sh

lint: prerequisites ## format, clippy, documentation, licences, dependency directions, texts
	@scripts/lint.sh

fmt: prerequisites ## format the code
	cargo fmt --all

bench: prerequisites ## the project's own load generator against the release build (RUNS=3)
	@scripts/bench.sh

autobahn: prerequisites ## the whole Autobahn suite against crates/ws (needs Python 2.7)
	@scripts/autobahn.sh full

fuzz: prerequisites ## every fuzz target for FUZZ_SECONDS each (60), from a new seed
	@scripts/fuzz.sh explore

soak: prerequisites ## exploratory tests: the long variants of every test, new seeds, fuzz targets 10 minutes each
	@scripts/test.sh soak

clean: ## remove what was built (never data/)
	@if command -v cargo >/dev/null; then cargo clean; else rm -rf target; fi
	rm -rf fuzz/target fuzz/artifacts autobahn/work bench/results
	find tests web -name node_modules -type d -prune -exec rm -rf {} + 2>/dev/null || true
