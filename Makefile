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

# install-requirements <venv> <lock file>
define install-requirements
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	@echo "setup: $(1) from $(2)"
	@test -x $(1)/bin/pip || $(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2)
endef

$(VENV): requirements/dev.txt tools/link_packages.py | system-packages
	$(call install-requirements,.venv,requirements/dev.txt)
	@.venv/bin/python tools/link_packages.py
	@touch $@

$(NODE): package.json package-lock.json .npmrc | $(VENV)
	@echo "setup: node_modules from package-lock.json"
	@.venv/bin/npm ci --silent
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
