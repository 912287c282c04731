# Every target sets up what it needs first; a second run does nothing twice.

PYTHON ?= python3
PORT ?= 8443

# The node of .venv comes before any other, so that `#!/usr/bin/env node` finds it.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Each stamp is newer than what it was made from; make compares the times.
VENV := .venv/.stamp
NODE := node_modules/.stamp
EMULATOR := .emulator-venv/.stamp
SAM := .sam-venv/.stamp

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: setup
setup: system-packages $(VENV) $(NODE) ## install what the other targets need

# Not stamped: it asks the machine, which may have changed since the last run.
.PHONY: system-packages
system-packages:
	@PYTHON="$(PYTHON)" tools/install-system-packages

# install-requirements <venv> <lock file>. The lock is complete: --no-deps leaves pip nothing to choose.
define install-requirements
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	@echo "setup: $(1) from $(2)"
	@test -x $(1)/bin/pip || $(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $(2)
endef

$(VENV): requirements/dev.txt tools/link_packages.py | system-packages
	$(call install-requirements,.venv,requirements/dev.txt)
	@.venv/bin/python tools/link_packages.py
	@touch $@

# --use-system-ca: trust what the machine trusts, which may include a proxy's own certificate.
$(NODE): package.json package-lock.json .npmrc | $(VENV)
	@echo "setup: node_modules from package-lock.json"
	@NODE_OPTIONS=--use-system-ca .venv/bin/npm ci --loglevel=error --no-progress
	@touch $@

$(EMULATOR): requirements/emulator.txt | system-packages
	$(call install-requirements,.emulator-venv,requirements/emulator.txt)
	@touch $@

$(SAM): requirements/sam.txt | system-packages
	$(call install-requirements,.sam-venv,requirements/sam.txt)
	@touch $@

.PHONY: run
run: setup ## run the PCE on https://localhost:$(PORT) until Ctrl-C
	@.venv/bin/pce-local --port $(PORT) --state-dir .state/pce

# Files in the order of their names: those that wait (e2e, kernel) begin early, units fill the end.
.PHONY: test
test: setup $(EMULATOR) $(SAM) ## every test; as root also those that need a kernel
	.venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder tests --hypothesis-profile=thorough

# What is typed: all but the tests. functions/*: each handler is a module of its own name.
TYPED := layers/pce/python/pce layers/ven_protocol/python/ven_protocol ven/src/ven \
	local/pce_local infra bench tools $(wildcard app.py demo functions/*/*.py)

.PHONY: check
check: setup ## format, lint, types, quick tests: what to run before a commit
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy $(TYPED)
	.venv/bin/python -m pytest -n 2 tests/unit tests/property tests/contract

.PHONY: format
format: setup ## put the source into the one format, and mend what ruff can mend
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: demo
demo: setup ## the story: three VENs, one policy, a crash or two; the kernel's part as root
	@.venv/bin/python -m demo.run

.PHONY: deploy-local
deploy-local: setup $(EMULATOR) ## cdk deploy into the emulator, then the end-to-end tests against it
	.venv/bin/python -m tests.e2e.deploy_local

.PHONY: publish
publish: setup ## write docs/ven-api/ and docs/api/ from the code
	@.venv/bin/python -m tools.publish_ven_api
	@.venv/bin/python -m tools.publish_api

.PHONY: bench
bench: setup ## each budget beside the figure measured
	@.venv/bin/python -m bench

# UPGRADE=--upgrade takes the newest versions that the .in files allow; without it, what is locked
# stays as it is.
.PHONY: lock
lock: setup ## write requirements/*.txt and package-lock.json anew (UPGRADE=--upgrade)
	@for name in layer ven dev emulator sam public-clients; do \
		echo "lock: requirements/$$name.txt"; \
		.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			$(UPGRADE) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	@.venv/bin/npm install --loglevel=error --package-lock-only
