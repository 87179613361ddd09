# Everything here works on a fresh Debian 12 as root with cargo (Rust 1.95), JDK 17, Maven, Go, Node and Python, and access to
# the package registries. What is installed is said, and goes below TIDEMARK_CACHE; nothing is written into the clone.
#
#   make demo    a real 3-node Cassandra, an incident, a restore elsewhere, row by row compared (KEEP=1: left running)
#   make test    everything that CI runs
#   make help    the rest

TIDEMARK_CACHE ?= $(HOME)/.cache/tidemark
TIDEMARK_TOOLS ?= $(TIDEMARK_CACHE)/tools
CARGO_TARGET_DIR ?= $(TIDEMARK_CACHE)/target
export TIDEMARK_CACHE TIDEMARK_TOOLS CARGO_TARGET_DIR

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup setup-rust setup-cassandra setup-stores build lint test unit servers demo clean-cache

CARGO := cargo
LOCKED := --locked
# Tests that start servers share two processors: one at a time.
SERVERS := $(patsubst integration/tests/%.rs,%,$(wildcard integration/tests/*.rs))
# Tests of other crates that are files of their own.
OTHERS := $(notdir $(basename $(filter-out integration/%,$(wildcard */tests/*.rs listeners/*/tests/*.rs))))
# Where the minutes of `make test` are noted.
TIMES := $(TIDEMARK_CACHE)/times
timed = integration/install/timed.sh $(TIMES) $(1)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

setup: setup-rust setup-cassandra setup-stores ## install what builds and tests need, once

setup-rust:
	@if ! $(CARGO) fmt --version >/dev/null 2>&1 || ! $(CARGO) clippy --version >/dev/null 2>&1; then
	  echo "installing rustfmt and clippy (rustup)"
	  rustup component add rustfmt clippy
	fi

setup-cassandra:
	@integration/install/cassandra.sh "$(TIDEMARK_CACHE)"

setup-stores:
	@if [ -x integration/install/stores.sh ]; then integration/install/stores.sh; fi

build: ## build every binary and test
	@$(CARGO) build $(LOCKED) --workspace --bins
	$(CARGO) test $(LOCKED) --workspace --no-run --quiet

lint: setup-rust ## formatting, clippy and documentation, warnings as errors
	@$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc $(LOCKED) --workspace --no-deps --quiet

unit: ## tests without servers
	@$(CARGO) test $(LOCKED) --workspace --lib --bins $(addprefix --test ,$(OTHERS)) --quiet

servers: setup ## tests against real servers, one after another; TESTS="kills ownership" for some of them
	@for name in $(or $(TESTS),$(SERVERS)); do
	  $(call timed,"servers: $$name") $(CARGO) test $(LOCKED) --workspace --test "$$name" -- --test-threads=1 --nocapture
	done

test: ## everything that CI runs
	@rm -f "$(TIMES)"
	trap 'echo; echo "minutes by area:"; cat "$(TIMES)"' EXIT
	$(call timed,"setup") $(MAKE) setup
	$(call timed,"build") $(MAKE) build
	$(call timed,"lint") $(MAKE) lint
	$(call timed,"unit tests") $(MAKE) unit
	$(MAKE) servers

demo: setup-cassandra ## protect, break, restore and compare a real cluster
	@$(CARGO) build $(LOCKED) --workspace --bins
	exec "$(CARGO_TARGET_DIR)/debug/demo"

clean-cache: ## remove everything that was installed and built
	rm -rf "$(TIDEMARK_CACHE)"
