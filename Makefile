# Everything here runs in .venv, which every target makes or renews first where that is needed.

PYTHON ?= python3
.DEFAULT_GOAL := help
.SHELLFLAGS := -ec
MAKEFLAGS += --no-builtin-rules --no-print-directory
# A process that has to compile all modules anew starts at a third of the speed, and the tests start about a hundred.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Tests wait more than they compute: three at a time keep two cores busy.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist worksteal
SETUP := .venv/.complete
GENERATE := .venv-generate/.complete
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
WHEELS := --require-hashes --only-binary :all:
PROTOS := $(sort $(wildcard proto/webhooks/v1/*.proto))
SERVICES := $(filter %_service.proto,$(PROTOS))
CLIENT := $(wildcard clients/python/pyproject.toml)

.PHONY: help setup run test test-long test-faults check lint types generate generate-check bench fmt lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup: $(SETUP) ## Make .venv from the hash-locked requirements

run: $(SETUP) ## Start a server with the default settings
	@exec $(BIN)/webhooks-server serve

test: $(SETUP) ## Run the tests, but for the long ones
	$(PYTEST) -m "not long and not faults"

test-long: $(SETUP) ## Run the long tests: crowds, crashes, an older PostgreSQL
	$(PYTEST) -m long

# One after the other and alone: they measure how long things take.
test-faults: $(SETUP) ## Kill and stop what runs, and count; FULL=1 in full size, SEED= as once before
	FAULTS_FULL=$(FULL) FAULTS_SEED=$(SEED) $(BIN)/python -m pytest tests/faults --capture=no

check: $(SETUP) $(GENERATE) ## Run everything that must hold before a change lands
	@failed=; \
	for step in lint types generate-check test test-long; do \
		printf '\n== %s ==\n' "$$step"; \
		$(MAKE) "$$step" || failed="$$failed $$step"; \
	done; \
	if [ -n "$$failed" ]; then printf '\nFAILED:%s\n' "$$failed"; exit 1; fi

# Each step runs, so that one look shows all there is to mend.
lint: $(SETUP) ## Check style, import rules and the contract
	@failed=; \
	for step in \
		'ruff check' \
		'ruff format --check' \
		'lint-imports' \
		'buf lint' \
		'buf format proto --diff --exit-code' \
		'buf breaking proto --against proto/released.binpb'; \
	do \
		printf -- '-- %s\n' "$$step"; \
		$(BIN)/$$step || failed="$$failed [$$step]"; \
	done; \
	if [ -n "$$failed" ]; then printf 'failed:%s\n' "$$failed"; exit 1; fi

types: $(SETUP) ## Check types
	$(BIN)/mypy

generate: $(GENERATE) ## Write generated/ anew from proto/
	@rm -f generated/python/webhooks/v1/*_pb2*
	@$(call generate_python,generated/python)

generate-check: $(GENERATE) ## Fail where generated/ is not what `make generate` writes
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(call generate_python,$$fresh); \
	diff -r --exclude=__init__.py --exclude=py.typed --exclude=__pycache__ generated/python "$$fresh" \
		|| { echo 'generated/ is not current: run `make generate`'; exit 1; }

bench: $(SETUP) ## Measure, as ratios to the limit; ONLY=B1,B2 and STORE=postgres pick, QUICK=1 shortens
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(STORE),--store $(STORE)) \
		$(if $(filter-out 0,$(QUICK)),--quick)

fmt: $(SETUP) ## Format the code and the contract
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/buf format -w proto

lock: $(GENERATE) ## Renew requirements/*.lock to the newest allowed versions
	cd requirements && $(call compile,../pyproject.toml,runtime)
	cd requirements && $(call compile,-c runtime.lock --extra otel ../pyproject.toml dev.in,dev)
	cd requirements && $(call compile,grpcurl.in,grpcurl)
	cd requirements && $(call compile,generate.in,generate)

# One fixed route, because the bytes differ between compilers. The plugins are found through PATH.
define generate_python
export PATH="$(CURDIR)/.venv-generate/bin:$$PATH"; \
python -m grpc_tools.protoc -I proto -I third_party \
	--python_out=$(1) --mypy_out=quiet:$(1) $(PROTOS); \
python -m grpc_tools.protoc -I proto -I third_party \
	--grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(SERVICES)
endef

compile = ../.venv-generate/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
	--python-version 3.11 --no-emit-index-url --no-header $(1) --output-file $(2).lock

SERVER_VERSIONS := (3, 11) <= sys.version_info
SERVER_NEEDS := Python 3.11 or newer is needed: make PYTHON=python3.12 …
# The compiler of generated/ is old on purpose, see requirements/generate.in, and has no wheels for a newer Python.
GENERATE_VERSIONS := (3, 11) <= sys.version_info < (3, 14)
GENERATE_NEEDS := Python 3.11, 3.12 or 3.13 is needed for the compiler of generated/: make PYTHON=python3.13 …

# An environment, the Pythons to look at, what their version must be, what to say where none is.
define make_venv
@for python in $(1)/bin/python $(2); do \
	"$$python" -c 'import sys; sys.exit(not $(3))' 2>/dev/null && break; \
done || { echo '$(4)'; exit 1; }; \
test "$$python" = $(1)/bin/python || "$$python" -m venv --clear $(1)
endef

$(SETUP): requirements/dev.lock requirements/grpcurl.lock pyproject.toml $(CLIENT)
	$(call make_venv,.venv,$(PYTHON),$(SERVER_VERSIONS),$(SERVER_NEEDS))
	@echo 'Installing into .venv …'
	@$(BIN)/python $(PIP_INSTALL) $(WHEELS) -r requirements/dev.lock
	@$(BIN)/python $(PIP_INSTALL) --require-hashes --no-build-isolation -r requirements/grpcurl.lock
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e . $(if $(CLIENT),-e clients/python)
	@touch $@

$(GENERATE): requirements/generate.lock
	$(call make_venv,.venv-generate,$(PYTHON) python3.13 python3.12 python3.11,$(GENERATE_VERSIONS),$(GENERATE_NEEDS))
	@echo 'Installing into .venv-generate …'
	@.venv-generate/bin/python $(PIP_INSTALL) $(WHEELS) -r requirements/generate.lock
	@touch $@
