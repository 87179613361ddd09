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
.PHONY: help check setup setup-rust setup-cxx setup-deny setup-cassandra setup-cassandra-4 setup-stores build lint test unit unit-built fuzz servers soak soak-damage soak-fuzz soak-differential soak-generated soak-numbers soak-policies soak-cluster soak-collection soak-wide demo demo-cluster bench-segments bench-decode setup-readers setup-prometheus setup-etcd setup-secantus alerts clean-cache soak-simulation

CARGO := cargo
LOCKED := --locked
# Test executables of the last build, a line each.
TESTS_BUILT := $(CARGO_TARGET_DIR)/tests-built

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

setup: setup-rust setup-cxx setup-deny setup-cassandra setup-cassandra-4 setup-stores setup-readers setup-prometheus setup-etcd setup-secantus ## install what builds and tests need, once

setup-rust:
	@if ! $(CARGO) fmt --version >/dev/null 2>&1 || ! $(CARGO) clippy --version >/dev/null 2>&1; then
	  echo "installing rustfmt and clippy (rustup)"
	  rustup component add rustfmt clippy
	fi

# libFuzzer is C++.
setup-cxx:
	@command -v c++ >/dev/null || { echo "installing g++ (apt)"; apt-get update -qq && apt-get install -y -qq g++; }

setup-deny:
	@integration/install/cargo-deny.sh

setup-cassandra:
	@integration/install/cassandra.sh "$(TIDEMARK_CACHE)" 5.0.9

setup-cassandra-4:
	@integration/install/cassandra.sh "$(TIDEMARK_CACHE)" 4.1.10 4.0.19

setup-stores:
	@if [ -x integration/install/stores.sh ]; then integration/install/stores.sh; fi

setup-readers:
	@integration/install/readers.sh

setup-prometheus:
	@integration/install/prometheus.sh

setup-etcd:
	@integration/install/etcd.sh

setup-secantus:
	@integration/install/secantus.sh

build: ## build every binary and test
	@mkdir -p "$(CARGO_TARGET_DIR)"
	$(CARGO) build $(LOCKED) --workspace --all-targets --message-format=json-render-diagnostics >"$(TESTS_BUILT).json"
	integration/install/executables.py <"$(TESTS_BUILT).json" >"$(TESTS_BUILT)"

lint: setup-rust setup-deny ## formatting, dependencies, clippy and documentation, warnings as errors
	@$(CARGO) fmt --all --check
	integration/install/deny.sh
	integration/install/features.sh
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc $(LOCKED) --workspace --no-deps --quiet

unit: build setup-secantus ## tests without servers but a stand-in of one; PART=simulation, mongodb or rest for some of them
	@$(MAKE) unit-built PART="$(PART)"

# The same of what is built already.
unit-built:
	@built="$$(cat "$(TESTS_BUILT)")"
	ran=0 failed=""
	while read -r area name executable directory; do
	  [ "$$area" = unit ] || continue
	  only=""
	  case "$(PART):$$name" in
	    simulation:tidemark_orchestrator) only="simulation::" ;;
	    rest:tidemark_orchestrator) only="--skip simulation::" ;;
	    mongodb:*mongodb* | :*) ;;
	    simulation:* | mongodb:* | rest:*mongodb*) continue ;;
	  esac
	  ran=$$((ran + 1))
	  (cd "$$directory" && "$$executable" --quiet $$only) || failed="$$failed $$name"
	done <<<"$$built"
	[ "$$ran" -gt 0 ] || { echo "no tests are built"; exit 1; }
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

alerts: setup-prometheus ## the alerting rules, by promtool
	@cd docs/alerts
	"$(TIDEMARK_TOOLS)/prometheus/promtool" check rules tidemark.rules.yml
	"$(TIDEMARK_TOOLS)/prometheus/promtool" test rules tidemark.rules.test.yml

fuzz: setup-cxx ## parsers and the merge under libFuzzer; SECONDS=… for each, 4 if not said; TARGETS="data open" for some
	@listeners/cassandra-format/fuzz/run.sh "$(or $(SECONDS),4)" $(TARGETS)

servers: setup build ## tests against real servers; TESTS="kills ownership" for some of them, ONLY=name for tests below one, LANES=… at a time
	@integration/install/areas.py --servers-only --only "$(TESTS)"

test: ## everything that CI runs, with the minutes of each area beside its budget at the end
	@integration/install/areas.py

check: setup-rust ## format, clippy and unit tests of the packages that changed since SINCE=… (the last commit), for people who change something
	@$(CARGO) fmt --all --check
	integration/install/check.sh "$(or $(SINCE),HEAD)"

soak: ## all that is random, at length, from another seed each time; SEED=… for the same again
	@seed="$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '))"
	echo "make soak SEED=$$seed"
	for part in cluster collection completeness damage fuzz differential generated numbers policies simulation wide; do
	  $(MAKE) "soak-$$part" SEED="$$seed"
	done

soak-completeness: ## 50 versions while rows are written, each with every row acknowledged before its cut; SEED=… VERSIONS=…
	@export TIDEMARK_SEED="$(or $(SEED),1)" TIDEMARK_VERSIONS="$(or $(VERSIONS),50)"
	CI=1 $(MAKE) servers TESTS=completeness

soak-damage: build ## harms to files by the ten thousand; SEED=…
	@export TIDEMARK_FLIPS=5000 TIDEMARK_CUTS=200 TIDEMARK_HARMS=10000 TIDEMARK_SEED="$(or $(SEED),1)"
	"$$(awk '$$2 == "harms" { print $$3 }' "$(TESTS_BUILT)")" --nocapture
	CI=1 $(MAKE) servers TESTS=damage ONLY=files

soak-fuzz: ## minutes of fuzzing; SECONDS=… for each target
	@$(MAKE) fuzz SECONDS=$(or $(SECONDS),180)

soak-differential: ## our merge against Cassandra's on random schemas, 200 from seed 1 on; SEED=… SCHEMAS=… for others
	@export TIDEMARK_SEED="$(or $(SEED),1)" TIDEMARK_SCHEMAS="$(or $(SCHEMAS),200)"
	CI=1 $(MAKE) servers TESTS=differential

soak-generated: ## random schemas there and back, 40 from seed 1 on; SEED=… SCHEMAS=… for others
	@export TIDEMARK_SEED="$(or $(SEED),1)" TIDEMARK_SCHEMAS="$(or $(SCHEMAS),40)"
	CI=1 $(MAKE) servers TESTS=replicas ONLY=generated

soak-numbers: ## what every run has less of: write levels, rows, kills
	@export TIDEMARK_LEVELS=4 TIDEMARK_DELETED=250000 TIDEMARK_COUNTERS=6000 TIDEMARK_S3_KILLS=2
	CI=1 $(MAKE) servers TESTS="placement undo counters s3"

soak-policies: ## a policy that runs by itself for an hour while the daemon is killed at random; SECONDS=…
	@CI=1 TIDEMARK_POLICY_SECONDS=$(or $(SECONDS),3600) $(MAKE) servers TESTS=policies

soak-collection: ## collection raced against all others, 5,000 times in memory and in a directory; SEED=… ROUNDS=…
	@export TIDEMARK_SEED="$(or $(SEED),1)" TIDEMARK_COLLECT_ROUNDS="$(or $(ROUNDS),2500)"
	$(CARGO) test $(LOCKED) -p tidemark-catalog --lib nothing_that_is_needed -- --nocapture

soak-simulation: ## a cluster of daemons by 20,000 seeds; SEED=… for the first one, SEEDS=…
	@export TIDEMARK_SEED="$(or $(SEED),1)" TIDEMARK_SEEDS="$(or $(SEEDS),20000)"
	$(CARGO) test $(LOCKED) -p tidemark-orchestrator --lib simulation::whatever -- --nocapture

soak-cluster: ## 300 kills of daemons in all phases of their work; ROUNDS=… of twelve
	@CI=1 TIDEMARK_KILL_ROUNDS=$(or $(ROUNDS),25) $(MAKE) servers TESTS=cluster

soak-wide: ## a partition of more than 256 MiB, consolidated in less memory
	@CI=1 TIDEMARK_WIDE_ROWS=350000 $(MAKE) servers TESTS=wide

demo: ## protect, break, restore and compare a real cluster
	@$(MAKE) setup-cassandra & installing=$$!
	$(CARGO) build $(LOCKED) --workspace --bins
	wait $$installing
	exec "$(CARGO_TARGET_DIR)/debug/demo"

demo-cluster: ## three daemons, three members of etcd, three Cassandra nodes: one of each is killed in turn
	@$(MAKE) setup-cassandra setup-etcd & installing=$$!
	$(CARGO) build $(LOCKED) --workspace --bins
	wait $$installing
	exec "$(CARGO_TARGET_DIR)/debug/demo-cluster"

bench-decode: ## how fast SSTables are decoded: name, MB of content per second of a core, goal
	@$(CARGO) run $(LOCKED) --quiet --release -p tidemark-cassandra-format --example bench_decode

bench-segments: setup-cassandra ## stored bytes by column, against Cassandra's own files; DATA=directory keeps these
	@$(CARGO) build $(LOCKED) --workspace --bins
	exec "$(CARGO_TARGET_DIR)/debug/bench-segments"

clean-cache: ## remove everything that was installed and built
	rm -rf "$(TIDEMARK_CACHE)"
