# Each target sets up all that it needs by itself: .venv in the checkout, and Debian packages
# (as root) where some are missing. A second run finds them there.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# Much of a test is waiting. Each file is one process's, for the sake of what its tests share.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile
# These have a node, a guest or a package index of their own, one for all tests. Two lanes go beside
# each other: the kernel's tests wait for it most of the time, while the others compute; what they
# have in common is the machine alone. The end-to-end tests have it to themselves: their limits are
# those that the agent keeps. A lane's lines begin with its first name.
ALONE := kernel vm packaging e2e
LANES := vm 'kernel packaging'
LANE := bash -euo pipefail -c '$(PYTEST) "$${@/\#/tests/}" 2>&1 | sed -u "s/^/$$1: /"' lane
MOVER := netdevice_plugin/mover/bin/netdevice-mover
BASE := .venv/.base-is-installed
DEV := .venv/.dev-is-installed
C_FILES := $(wildcard netdevice_plugin/mover/src/*.[ch] tests/c/*.[ch])
VERSION = $(shell sed -n 's/^__version__ = "\([^"]*\)".*/\1/p' netdevice_plugin/__init__.py)
SCRIPTS := .ci/run $(wildcard hack/*.sh tests/*/*.sh)

# In CI nothing may be skipped for want of a tool or a privilege.
ifneq ($(filter true 1,$(CI)),)
export NDP_REQUIRE_ALL := 1
export NDP_REQUIRE_KERNEL := 1
endif

##@ Use

.PHONY: demo
demo: $(BASE) $(MOVER)  ## a host link into a real container and back, on this machine (root)
	@hack/demo.sh

.PHONY: bench
bench: $(DEV) $(MOVER)  ## measure, and print the ratios as a table (root)
	hack/setup.sh tools bench
	$(PYTHON) -m benchmarks

##@ Check

.PHONY: test
test: lint tools $(MOVER)  ## all that CI runs: lint, and every test (root)
	status=0; export NDP_FAILED=$$(mktemp); \
	$(PYTEST) $(SIDE_BY_SIDE) tests $(ALONE:%=--ignore=tests/%) || status=$$?; \
	printf '%s\n' $(LANES) | xargs -P 2 -L 1 $(LANE) || status=$$?; \
	$(PYTEST) tests/e2e || status=$$?; \
	cat "$$NDP_FAILED"; rm "$$NDP_FAILED"; \
	exit $$status

.PHONY: lint
lint: $(DEV)  ## style, types, import contracts
	hack/setup.sh tools lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	@echo clang-format
	@.venv/bin/clang-format --dry-run -Werror $(C_FILES)
	shellcheck $(SCRIPTS)

.PHONY: format
format: $(DEV)  ## rewrite Python and C in the project's style
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .
	.venv/bin/clang-format -i $(C_FILES)

.PHONY: test-unit
test-unit: $(DEV)  ## no root, no sockets
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit

.PHONY: test-agent
test-agent: $(DEV)  ## the kubelet's protocols, over real sockets
	$(PYTEST) $(SIDE_BY_SIDE) tests/agent

.PHONY: test-c test-kernel test-e2e test-vm test-packaging
test-c: tools $(MOVER)  ## the mover's parsers under sanitizers
test-kernel: tools $(MOVER)  ## real network namespaces (root)
test-e2e: tools $(MOVER)  ## real podman and containerd (root)
test-vm: tools $(MOVER)  ## SR-IOV, virtio, bonds, VLANs, ... in an emulated machine
test-packaging: tools $(MOVER)  ## wheel, sdist, the aarch64 mover
test-c test-kernel test-e2e test-vm test-packaging: test-%:
	$(PYTEST) $(if $(filter c,$*),$(SIDE_BY_SIDE)) tests/$*

.PHONY: fuzz
fuzz: tools  ## feed the mover's parsers for FUZZ_SECONDS (60)
	$(PYTHON) -m tests.c.fuzz --seconds $(or $(FUZZ_SECONDS),60)

##@ Ship

install.yaml: $(addprefix deploy/base/,namespace.yaml configuration.yaml agent.yaml)  ## the manifests, in one file
	{ echo "# Made of deploy/base by: make install.yaml"; \
	    awk 'FNR == 1 {print "---"} {print}' $^; } >$@

.PHONY: image
image:  ## the container image, by docker (or ENGINE=podman, as root)
	$(or $(ENGINE),docker) build --tag netdevice-plugin:$(VERSION) .

##@ Set up

.PHONY: mover
mover: $(MOVER)  ## compile the mover into the source tree

.PHONY: tools
tools: $(DEV)
	hack/setup.sh tools test

.PHONY: clean
clean:  ## remove what was built and downloaded
	rm -rf .venv .cache build dist *.egg-info netdevice_plugin/mover/bin
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} \
	    /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z0-9.-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

$(BASE): setup.cfg pyproject.toml hack/constraints.txt hack/setup.sh
	hack/setup.sh venv
	touch $@

$(DEV): setup.cfg pyproject.toml hack/constraints.txt hack/setup.sh
	hack/setup.sh venv dra,openstack,lint,test,bench
	touch $(BASE) $@

$(MOVER): $(wildcard netdevice_plugin/mover/src/*.[ch]) hack/build_mover.py \
    netdevice_plugin/__init__.py | $(BASE)
	$(PYTHON) -m hack.build_mover
