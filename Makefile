# SPDX-License-Identifier: MIT OR Apache-2.0
# The commands of this project. `make demo` and `make test` do all their set-up.

SHELL        := /bin/bash
CARGO        ?= cargo
HOST         := $(shell rustc -vV | sed -n 's/^host: //p')
TARGET_DIR   := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
TOOLS        := $(CURDIR)/target/tools
PLUGIN       := $(TARGET_DIR)/$(HOST)/plugin/routed-cni
NEXTEST_VERSION := 0.9.143
DENY_VERSION    := 0.20.2
export PATH  := $(PATH):$(TOOLS)/bin

.PHONY: help demo test check lab bench fuzz plugin fmt peers nextest deny build
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

peers: ## install the Debian packages that demo, tests and benches use
	@tests/install-peers.sh

plugin: ## build the CNI plugin: static, small, quick to start
	RUSTFLAGS="-C target-feature=+crt-static" \
	  $(CARGO) build --quiet -p cni-plugin --profile plugin --target $(HOST) --target-dir $(TARGET_DIR)

build: plugin
	$(CARGO) build --release -p routed --bin routed

demo: peers build ## two racks on this machine: FRR and BIRD as ToRs, four nodes, eight workloads
	$(TARGET_DIR)/release/routed demo --plugin $(PLUGIN)

fmt: ## format the tree
	$(CARGO) fmt --all

nextest:
	@$(CARGO) nextest --version >/dev/null 2>&1 || \
	  $(CARGO) install cargo-nextest --version $(NEXTEST_VERSION) --locked --root $(TOOLS)

deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || \
	  $(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root $(TOOLS)

check: peers nextest deny ## format, lints, docs, architecture, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items
	$(CARGO) nextest run -p fabric-tests --test architecture
	$(CARGO) deny check licenses bans sources
	shellcheck $$(git ls-files '*.sh') .ci/run

test: nextest peers plugin ## unit, property, namespace and interop tests
	$(CARGO) build -p routed --bin routed
	ROUTED_BIN=$(TARGET_DIR)/debug/routed ROUTED_CNI_BIN=$(PLUGIN) \
	  $(CARGO) nextest run --workspace --no-fail-fast
	$(CARGO) test --workspace --doc --quiet

lab: nextest peers plugin ## long loops and full matrices; writes docs/lab.md
	$(CARGO) build -p routed --bin routed
	rm -rf $(TARGET_DIR)/lab
	ROUTED_LAB=$(TARGET_DIR)/lab ROUTED_BIN=$(TARGET_DIR)/debug/routed ROUTED_CNI_BIN=$(PLUGIN) \
	  $(CARGO) nextest run -p fabric-tests --profile lab --no-fail-fast
	$(CARGO) run --quiet -p fabric-tests --bin lab-report $(TARGET_DIR)/lab >$(TARGET_DIR)/lab/lab.md
	cp $(TARGET_DIR)/lab/lab.md docs/lab.md

bench: build ## measure beside the incumbents; prints a table, writes target/bench/*.json
	@tests/install-peers.sh bench
	TMPDIR=/dev/shm ROUTED_BIN=$(TARGET_DIR)/release/routed ROUTED_CNI_BIN=$(PLUGIN) \
	  $(CARGO) bench -p fabric-tests --bench attach
	ROUTED_BIN=$(TARGET_DIR)/release/routed $(CARGO) bench -p fabric-tests --bench bgp

fuzz: ## the mutation loop of the BGP codec, 10 million messages
	ROUTED_FUZZ_MESSAGES=10000000 $(CARGO) test --release -p bgp --test fuzz_wire -- --nocapture
